package seed

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/fault"
)

// listing is what git says belongs to the project.
type listing struct {
	root *copytree.Node
	head *string
}

// safeGit keeps a repository's own configuration from running anything, and git from writing to it.
var safeGit = []string{
	"--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null",
	"-c", "core.untrackedCache=false", "-c", "protocol.allow=never", "-c", "core.pager=cat",
}

// listGit returns nil for a directory that is in no work tree. A directory inside of somebody else's repository
// of which git knows nothing (an ignored one) counts as a plain one too.
func listGit(ctx context.Context, source string) (*listing, error) {
	here, above := inRepository(source)
	if !above {
		return nil, nil
	}
	var head []byte
	var headErr error
	headDone := make(chan struct{})
	go func() {
		defer close(headDone)
		head, headErr = git(ctx, source, "rev-parse", "--verify", "-q", "HEAD")
	}()
	paths, err := git(ctx, source, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	<-headDone
	if err != nil {
		var failure *exec.ExitError
		text := err.Error()
		if errors.As(err, &failure) {
			text = strings.TrimSpace(string(failure.Stderr))
		}
		if strings.Contains(text, "not a git repository") || strings.Contains(text, "must be run in a work tree") {
			return nil, nil
		}
		if ctx.Err() != nil {
			return nil, fault.From(ctx.Err(), "", "")
		}
		return nil, fault.New("git_failed", source, "git cannot list %s: %s", source, text)
	}
	if len(paths) == 0 && !here {
		return nil, nil
	}
	result := &listing{root: plant(paths)}
	if text := strings.TrimSpace(string(head)); headErr == nil && text != "" {
		result.head = &text
	}
	return result, nil
}

func git(ctx context.Context, source string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "git", append(append([]string{}, safeGit...), args...)...)
	command.Dir = source
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GIT_") && !strings.HasPrefix(variable, "LC_") && !strings.HasPrefix(variable, "LANG") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
	command.WaitDelay = time.Second
	return command.Output()
}

// plant turns the zero-terminated paths into a tree. What no honest index holds is dropped.
func plant(paths []byte) *copytree.Node {
	root := &copytree.Node{}
	cache := map[string]*copytree.Node{"": root}
	previous := ""
	for len(paths) > 0 {
		path, rest, _ := bytes.Cut(paths, []byte{0})
		paths = rest
		text := strings.TrimSuffix(string(path), "/")
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
	prune(root)
	return root
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
