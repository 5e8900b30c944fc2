package export

import (
	"context"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// inside lets links be followed as long as they stay below the root.
const inside = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS

// source is what is copied: a name in an open directory, or (name empty) that directory itself.
type source struct {
	dir  int
	name string
	kind string
}

func (s *source) close() { unix.Close(s.dir) }

func find(root int, path string) (*source, error) {
	if path == "" || path == "." {
		dir, err := dirfd.OpenHow(root, ".", unix.O_RDONLY|unix.O_DIRECTORY, inside)
		if err != nil {
			return nil, problem(err, path)
		}
		return &source{dir, "", "directory"}, nil
	}
	dir, err := dirfd.OpenHow(root, filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY, inside)
	if err != nil {
		return nil, problem(err, path)
	}
	found := &source{dir: dir, name: filepath.Base(path)}
	st, err := dirfd.Stat(dir, found.name)
	if err != nil {
		found.close()
		return nil, problem(err, path)
	}
	switch found.kind = kindOf(&st); found.kind {
	case "symlink":
		err = staysInside(root, path)
	case "":
		err = fault.New("not_exportable", path, "%s is no file, directory or link", path)
	}
	if err != nil {
		found.close()
		return nil, err
	}
	return found, nil
}

// kindOf is empty for what cannot be exported.
func kindOf(st *unix.Stat_t) string {
	return map[uint32]string{unix.S_IFDIR: "directory", unix.S_IFREG: "file", unix.S_IFLNK: "symlink"}[st.Mode&unix.S_IFMT]
}

// made says that the copy is of the kind that was found: what is copied may be another thing by then.
func (s *source) made(parent int, temp string, path string) error {
	st, err := dirfd.Stat(parent, temp)
	if err != nil && err != unix.ENOENT {
		return fault.From(err, "looking at the copy of", path)
	}
	if err != nil || kindOf(&st) != s.kind {
		return fault.Retry("export_changed", path, "%s changed while it was read", path)
	}
	return nil
}

// staysInside accepts a link whose target is below the root, or would be if it existed.
func staysInside(root int, path string) error {
	fd, err := dirfd.OpenHow(root, path, unix.O_PATH, inside)
	if err == nil {
		unix.Close(fd)
		return nil
	}
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil
	}
	return problem(err, path)
}

func problem(err error, path string) error {
	switch err {
	case unix.ENOENT, unix.ENOTDIR, unix.ENAMETOOLONG:
		return fault.New("path_not_found", path, "%s does not exist", path)
	case unix.EXDEV, unix.ELOOP:
		return fault.New("link_leaves", path, "a link on the way to %s leaves the tree", path)
	}
	return fault.From(err, "opening", path)
}

func (s *source) copy(ctx context.Context, parent int, temp string, options copytree.Options) (*copytree.Totals, error) {
	if s.name != "" {
		return copytree.CopyEntry(ctx, s.dir, s.name, parent, temp, options)
	}
	if err := unix.Mkdirat(parent, temp, 0o700); err != nil {
		return nil, fault.From(err, "making a directory beside the output", "")
	}
	fd, err := dirfd.ChildDir(parent, temp)
	if err != nil {
		return nil, fault.From(err, "opening a directory beside the output", "")
	}
	defer unix.Close(fd)
	return copytree.Copy(ctx, s.dir, fd, nil, options)
}
