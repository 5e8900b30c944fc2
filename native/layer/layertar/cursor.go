package layertar

import (
	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/overlay"
)

// cursor is the chain of open directories down to the one that was written to last. One that is left gets back the
// times it had when it was entered, so that no list of directories has to be kept until the end.
type cursor struct {
	unpacker *unpacker
	chain    []step
}

type step struct {
	name  string
	fd    int
	times [2]unix.Timespec
}

func (c *cursor) open(root int, u *unpacker) error {
	c.unpacker = u
	fd, err := dirfd.OpenAt(root, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fault.From(err, "opening the new tree", "")
	}
	return c.push("", fd)
}

func (c *cursor) push(name string, fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return fault.From(err, "looking at", name)
	}
	c.chain = append(c.chain, step{name, fd, [2]unix.Timespec{st.Atim, st.Mtim}})
	return nil
}

func (c *cursor) pop() error {
	last := c.chain[len(c.chain)-1]
	c.chain = c.chain[:len(c.chain)-1]
	err := dirfd.SetOpenTimes(last.fd, &last.times)
	unix.Close(last.fd)
	if err != nil {
		return fault.From(err, "setting the time of", last.name)
	}
	return nil
}

func (c *cursor) close() error {
	var first error
	for len(c.chain) > 0 {
		if err := c.pop(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// top is the directory entered last; its times are what it will have.
func (c *cursor) top() *step { return &c.chain[len(c.chain)-1] }

// enter opens a directory of the new tree, making what is missing on the way. A link on the way is refused.
func (c *cursor) enter(parts []string) (int, error) {
	same := 0
	for same < len(parts) && same+1 < len(c.chain) && c.chain[same+1].name == parts[same] {
		same++
	}
	for len(c.chain) > same+1 {
		if err := c.pop(); err != nil {
			return -1, err
		}
	}
	for _, part := range parts[same:] {
		if err := c.descend(part); err != nil {
			return -1, err
		}
	}
	return c.top().fd, nil
}

func (c *cursor) descend(name string) error {
	parent := c.top().fd
	fd, err := dirfd.ChildDir(parent, name)
	made := false
	switch err {
	case nil:
	case unix.ENOENT:
		made = true
		fd, err = c.make(parent, name, false)
	case unix.ENOTDIR, unix.ELOOP:
		st, statErr := dirfd.Stat(parent, name)
		if c.unpacker.Plain || statErr != nil || !overlay.IsWhiteout(parent, name, &st) {
			return c.unpacker.tar.Bad(name, "is on the way to an entry, and no directory")
		}
		made = true
		fd, err = c.make(parent, name, true)
	}
	if err != nil {
		return fault.From(err, "opening", name)
	}
	if made {
		c.unpacker.totals.Dirs++
	}
	return c.push(name, fd)
}

// make gives a directory that the tar has not described yet what such ones have; instead of a whiteout it hides what
// is below.
func (c *cursor) make(parent int, name string, instead bool) (int, error) {
	if instead {
		if err := unix.Unlinkat(parent, name, 0); err != nil {
			return -1, err
		}
	}
	if err := unix.Mkdirat(parent, name, 0o700); err != nil {
		return -1, err
	}
	fd, err := dirfd.ChildDir(parent, name)
	if err != nil {
		return -1, err
	}
	err = c.unpacker.undescribed(fd)
	if err == nil && instead {
		err = overlay.Opaque(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// undescribed gives a directory what one has that no entry describes, or none yet.
func (u *unpacker) undescribed(fd int) error {
	uid, gid, ok := u.owner(0, 0)
	if !ok {
		return fault.New("bad_args", "", "the range of ids is empty")
	}
	err := unix.Fchown(fd, uid, gid)
	if err == nil {
		err = unix.Fchmod(fd, 0o755)
	}
	return err
}
