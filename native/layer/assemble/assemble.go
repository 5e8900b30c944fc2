// Package assemble builds a small layer from a description: directories, links, files, and copies of host files
// that everybody may read.
package assemble

import (
	"context"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/newtree"
	"pyro/native/layer/stack"
)

// Spec describes the tree. Paths in it are relative to Dest; a leading slash is allowed.
type Spec struct {
	Dest  string      `json:"dest"`
	Owner stack.Owner `json:"owner"`
	Dirs  []struct {
		Path string `json:"path"`
		Mode uint32 `json:"mode"`
	} `json:"dirs"`
	Links []struct {
		Path   string `json:"path"`
		Target string `json:"target"`
	} `json:"links"`
	Files []struct {
		Path    string `json:"path"`
		Mode    uint32 `json:"mode"`
		Content string `json:"content"`
	} `json:"files"`
	Copies []struct {
		From string `json:"from"`
		To   string `json:"to"`
	} `json:"copies"`
}

// Result counts what is in the tree.
type Result struct {
	Files   int64              `json:"files"`
	Bytes   int64              `json:"bytes"`
	Skipped []copytree.Skipped `json:"skipped"`
}

type builder struct {
	ctx    context.Context
	spec   Spec
	root   int
	result Result
}

// Build makes the tree; what is named later wins: directories, copies, files, links.
func Build(ctx context.Context, spec Spec) (*Result, error) {
	if err := fault.Clean(spec.Dest); err != nil {
		return nil, err
	}
	var result *Result
	err := newtree.Build(spec.Dest, func(fd int) error {
		b := &builder{ctx: ctx, spec: spec, root: fd}
		err := b.own(fd, 0o755)
		if err == nil {
			result, err = Fill(ctx, fd, spec)
		}
		return err
	})
	return result, err
}

// Fill puts the entries into a tree that is there; Dest only names it in errors.
func Fill(ctx context.Context, fd int, spec Spec) (*Result, error) {
	b := &builder{ctx: ctx, spec: spec, root: fd}
	b.result.Skipped = []copytree.Skipped{}
	if err := b.fill(); err != nil {
		return nil, err
	}
	return &b.result, nil
}

func (b *builder) fill() error {
	for _, dir := range b.spec.Dirs {
		if err := b.dir(dir.Path, dir.Mode); err != nil {
			return err
		}
	}
	for _, one := range b.spec.Copies {
		if err := b.copy(one.From, one.To); err != nil {
			return err
		}
	}
	for _, file := range b.spec.Files {
		if err := b.file(file.Path, file.Mode, file.Content); err != nil {
			return err
		}
	}
	for _, link := range b.spec.Links {
		if err := b.link(link.Path, link.Target); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) own(fd int, mode uint32) error {
	err := unix.Fchown(fd, int(b.spec.Owner.UID), int(b.spec.Owner.GID))
	if err == nil {
		err = unix.Fchmod(fd, mode&0o1777)
	}
	if err != nil {
		return fault.From(err, "setting the attributes of", b.spec.Dest)
	}
	return nil
}

// parent opens the directory that holds path, making what is missing, and returns the last name.
func (b *builder) parent(path string) (int, string, error) {
	clean := strings.TrimPrefix(path, "/")
	if clean == "" || clean == "." || filepath.Clean(clean) != clean || strings.HasPrefix(clean, "..") && (clean == ".." || clean[2] == '/') || strings.ContainsRune(clean, 0) {
		return -1, "", fault.New("bad_path", path, "%q is not a clean path below the tree", path)
	}
	dir, base := filepath.Split(clean)
	fd, err := b.open(strings.TrimSuffix(dir, "/"))
	return fd, base, err
}

func (b *builder) open(dir string) (int, error) {
	if dir == "" {
		return dirfd.OpenAt(b.root, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	}
	fd, err := dirfd.OpenAt(b.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err == unix.ENOENT {
		if err := b.dir(dir, 0o755); err != nil {
			return -1, err
		}
		fd, err = dirfd.OpenAt(b.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	if err == unix.ELOOP || err == unix.ENOTDIR {
		return -1, fault.New("bad_path", dir, "%s is no directory in the tree", dir)
	}
	if err != nil {
		return -1, fault.From(err, "opening", dir)
	}
	return fd, nil
}

func (b *builder) dir(path string, mode uint32) error {
	parent, base, err := b.parent(path)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := unix.Mkdirat(parent, base, 0o700); err != nil && err != unix.EEXIST {
		return fault.From(err, "making", path)
	}
	fd, err := dirfd.ChildDir(parent, base)
	if err != nil {
		return fault.From(err, "opening", path)
	}
	defer unix.Close(fd)
	return b.own(fd, mode)
}

func (b *builder) file(path string, mode uint32, content string) error {
	parent, base, err := b.parent(path)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	_ = unix.Unlinkat(parent, base, 0)
	fd, err := unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fault.From(err, "creating", path)
	}
	defer unix.Close(fd)
	for data := []byte(content); len(data) > 0; {
		n, err := dirfd.Retry(func() (int, error) { return unix.Write(fd, data) })
		if err != nil {
			return fault.From(err, "writing", path)
		}
		data = data[n:]
	}
	b.result.Files++
	b.result.Bytes += int64(len(content))
	return b.own(fd, mode)
}

func (b *builder) link(path string, target string) error {
	parent, base, err := b.parent(path)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	_ = unix.Unlinkat(parent, base, 0)
	err = unix.Symlinkat(target, parent, base)
	if err == nil {
		err = unix.Fchownat(parent, base, int(b.spec.Owner.UID), int(b.spec.Owner.GID), unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fault.From(err, "making the link", path)
	}
	return nil
}
