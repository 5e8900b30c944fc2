package dirfd

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Remove deletes a tree that a sandbox may have written: it never follows a link, and opens directories that
// their owner made unreadable. A path that is not there is no error.
func Remove(path string) error {
	parent, err := OpenDir(filepath.Dir(path))
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	return RemoveAt(parent, filepath.Base(path))
}

// RemoveAt deletes one entry of an open directory and everything below it. It keeps one descriptor for each
// level, but never more than maxDepth: what lies deeper is first moved up, and deleted from there.
func RemoveAt(parent int, name string) error {
	r := &remover{top: parent}
	if err := r.entry(parent, name, 0); err != nil {
		return err
	}
	for len(r.lifted) > 0 {
		next := r.lifted[len(r.lifted)-1]
		r.lifted = r.lifted[:len(r.lifted)-1]
		if err := r.entry(parent, next, 0); err != nil {
			return err
		}
	}
	return nil
}

const maxDepth = 200

type remover struct {
	top    int
	lifted []string
}

func (r *remover) entry(parent int, name string, depth int) error {
	for tries := 0; ; tries++ {
		err := unix.Unlinkat(parent, name, 0)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		if err != unix.EISDIR && err != unix.EPERM && err != unix.EACCES {
			return err
		}
		err = unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		if err == unix.ENOTDIR && tries < 10 {
			continue
		}
		if err != unix.ENOTEMPTY && err != unix.EEXIST && err != unix.EACCES {
			return err
		}
		if tries >= 10 {
			return err
		}
		if err := r.empty(parent, name, depth); err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			return err
		}
	}
}

func (r *remover) empty(parent int, name string, depth int) error {
	fd, err := ChildDir(parent, name)
	if err == unix.EACCES {
		// Not root: the owner's bits may be missing. Fchmodat would follow a link put in its place, so go through
		// an O_PATH descriptor that is known to be a directory.
		if err := openUp(parent, name); err != nil {
			return err
		}
		fd, err = ChildDir(parent, name)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&0o700 != 0o700 {
		_ = unix.Fchmod(fd, 0o700)
	}
	entries, err := List(fd)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if depth >= maxDepth && entry.Type == unix.DT_DIR {
			// A chain of directories deeper than descriptors allow: hang it below the top and go on from there.
			if err := r.lift(fd, entry.Name); err == nil {
				continue
			}
		}
		if err := r.entry(fd, entry.Name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func openUp(parent int, name string) error {
	fd, err := OpenAt(parent, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod(ProcPath(fd), 0o700)
}

func (r *remover) lift(fd int, name string) error {
	temp := TempName(".pyro-remove")
	if err := unix.Renameat2(fd, name, r.top, temp, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	r.lifted = append(r.lifted, temp)
	return nil
}
