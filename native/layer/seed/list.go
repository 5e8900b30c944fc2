package seed

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"pyro/native/layer/copytree"
	"pyro/native/layer/fault"
)

// longest of a path that git names
const maxPath = 64 << 10

// plant turns the zero-terminated paths into a tree. What no honest index holds is dropped.
func plant(paths io.Reader, most int64) (*copytree.Node, error) {
	root := &copytree.Node{}
	cache := map[string]*copytree.Node{"": root}
	previous := ""
	scanner := bufio.NewScanner(paths)
	scanner.Buffer(make([]byte, maxPath), maxPath)
	scanner.Split(untilZero)
	for count := int64(0); scanner.Scan(); count++ {
		if most > 0 && count > most {
			return nil, fault.New("seed_too_large", "", "there are more than %d entries", most)
		}
		text := strings.TrimSuffix(scanner.Text(), "/")
		if text == previous || !honest(text) {
			continue
		}
		previous = text
		dir, base := "", text
		if cut := strings.LastIndexByte(text, '/'); cut >= 0 {
			dir, base = text[:cut], text[cut+1:]
		}
		node := grow(cache, dir)
		node.Names = append(node.Names, base)
	}
	if err := scanner.Err(); err != nil {
		return nil, fault.New("git_failed", "", "git's list of files is not understood: %v", err)
	}
	prune(root)
	return root, nil
}

func untilZero(data []byte, atEnd bool) (int, []byte, error) {
	if at := bytes.IndexByte(data, 0); at >= 0 {
		return at + 1, data[:at], nil
	}
	if atEnd && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func honest(path string) bool {
	if path == "" || path[0] == '/' {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." || strings.EqualFold(part, ".git") {
			return false
		}
	}
	return true
}

func grow(cache map[string]*copytree.Node, dir string) *copytree.Node {
	if node := cache[dir]; node != nil {
		return node
	}
	parent, base := "", dir
	if cut := strings.LastIndexByte(dir, '/'); cut >= 0 {
		parent, base = dir[:cut], dir[cut+1:]
	}
	above := grow(cache, parent)
	node := &copytree.Node{}
	if above.Dirs == nil {
		above.Dirs = map[string]*copytree.Node{}
	}
	above.Dirs[base] = node
	cache[dir] = node
	return node
}

// prune drops names that appear twice: unmerged paths are listed once for each side.
func prune(node *copytree.Node) {
	seen := make(map[string]bool, len(node.Names))
	kept := node.Names[:0]
	for _, name := range node.Names {
		if !seen[name] {
			seen[name] = true
			kept = append(kept, name)
		}
	}
	node.Names = kept
	for _, child := range node.Dirs {
		prune(child)
	}
}
