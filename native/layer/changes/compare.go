package changes

import (
	"bytes"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// same says that a name is what it was: content for files, target for links. Of the mode only the executable
// bits count, as in git.
func (s *scan) same(upper int, below layers, name string, st *unix.Stat_t, old *unix.Stat_t) (bool, error) {
	if st.Mode&unix.S_IFMT != old.Mode&unix.S_IFMT {
		return false, nil
	}
	lower := below.holder(name)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if st.Size != old.Size || st.Mode&0o111 != old.Mode&0o111 {
			return false, nil
		}
		return s.sameBytes(upper, lower, name)
	case unix.S_IFLNK:
		left, err := dirfd.ReadLink(upper, name)
		if err != nil {
			return false, err
		}
		right, err := dirfd.ReadLink(lower, name)
		return left == right, err
	}
	return st.Rdev == old.Rdev, nil
}

func (s *scan) sameBytes(upper int, lower int, name string) (bool, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	left, err := unix.Openat(upper, name, flags, 0)
	if err == unix.ENOENT || err == unix.ELOOP || err == unix.ENXIO {
		return false, nil // A running sandbox changed it since.
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(left)
	right, err := unix.Openat(lower, name, flags, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(right)
	for at := int64(0); ; {
		if err := s.ctx.Err(); err != nil {
			return false, err
		}
		n, err := fill(left, s.left, at)
		if err != nil {
			return false, err
		}
		m, err := fill(right, s.right, at)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(s.left[:n], s.right[:m]) {
			return false, nil
		}
		if n == 0 {
			return true, nil
		}
		at += int64(n)
	}
}

func fill(fd int, buffer []byte, at int64) (int, error) {
	filled := 0
	for filled < len(buffer) {
		n, err := dirfd.Retry(func() (int, error) { return unix.Pread(fd, buffer[filled:], at+int64(filled)) })
		if err != nil {
			return filled, err
		}
		if n == 0 {
			break
		}
		filled += n
	}
	return filled, nil
}

// deleted reports a name of the layers below, and for a directory everything in it.
func (s *scan) deleted(below layers, name string, path string, old *unix.Stat_t, at unix.Timespec, depth int) error {
	s.add(path, "deleted", old, at)
	if kind(old) != "directory" {
		return nil
	}
	return s.childrenDeleted(below, name, path, at, depth)
}

func (s *scan) childrenDeleted(below layers, name string, path string, at unix.Timespec, depth int) error {
	inner, err := below.descend(name)
	if err != nil {
		return fault.From(err, "opening below", path)
	}
	defer inner.close()
	return s.vanished(inner, nil, path, at, depth+1)
}

// vanished reports every name below that is not above.
func (s *scan) vanished(below layers, above map[string]bool, path string, at unix.Timespec, depth int) error {
	if err := s.ctx.Err(); err != nil {
		return fault.From(err, "", "")
	}
	if depth > maxDepth {
		return fault.New("too_deep", path, "directories are nested more than %d deep", maxDepth)
	}
	names, err := below.names()
	if err != nil {
		return fault.From(err, "reading below", path)
	}
	for _, name := range names {
		if above[name] {
			continue
		}
		old, err := below.find(name)
		if err != nil {
			return fault.From(err, "looking below", path)
		}
		if old == nil {
			continue
		}
		if err := s.deleted(below, name, copytree.Join(path, name), old, at, depth); err != nil {
			return err
		}
	}
	return nil
}
