package archive

import (
	"archive/tar"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/tarstream"
)

// tree is the chain of open directories down to the one that was written to last.
type tree struct {
	unpacker *unpacker
	chain    []*directory
}

// directory is open as long as it is on the chain or files are written to it. Then it gets the times it should have.
type directory struct {
	name  string
	fd    int
	times [2]unix.Timespec
	users atomic.Int32
}

// release tells what went wrong for the last user.
func (d *directory) release() error {
	if d.users.Add(-1) > 0 {
		return nil
	}
	err := dirfd.SetOpenTimes(d.fd, &d.times)
	unix.Close(d.fd)
	if err != nil {
		return fault.From(err, "setting the time of", d.name)
	}
	return nil
}

func (t *tree) open(root int, u *unpacker) error {
	t.unpacker = u
	fd, err := dirfd.OpenAt(root, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fault.From(err, "opening the new tree", "")
	}
	return t.push("", fd, true)
}

// push goes on in an open directory. A new one gets what one has that no entry describes, or none yet.
func (t *tree) push(name string, fd int, fresh bool) error {
	var st unix.Stat_t
	var err error
	if fresh {
		err = t.attributes(fd, 0o755)
	}
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		unix.Close(fd)
		return fault.From(err, "making", name)
	}
	next := &directory{name: name, fd: fd, times: [2]unix.Timespec{st.Atim, st.Mtim}}
	next.users.Store(1)
	t.chain = append(t.chain, next)
	return nil
}

func (t *tree) attributes(fd int, mode uint32) error {
	err := unix.Fchown(fd, int(t.unpacker.UID), int(t.unpacker.GID))
	if err == nil {
		err = unix.Fchmod(fd, mode)
	}
	return err
}

func (t *tree) pop() {
	last := t.top()
	t.chain = t.chain[:len(t.chain)-1]
	t.unpacker.writers.note(last.release())
}

func (t *tree) close() {
	for len(t.chain) > 0 {
		t.pop()
	}
}

func (t *tree) top() *directory { return t.chain[len(t.chain)-1] }

// enter opens a directory, making what is missing on the way. A link on the way is refused.
func (t *tree) enter(parts []string) (*directory, error) {
	same := 0
	for same < len(parts) && same+1 < len(t.chain) && t.chain[same+1].name == parts[same] {
		same++
	}
	for len(t.chain) > same+1 {
		t.pop()
	}
	for _, part := range parts[same:] {
		if err := t.descend(part); err != nil {
			return nil, err
		}
	}
	return t.top(), nil
}

func (t *tree) descend(name string) error {
	parent, u := t.top().fd, t.unpacker
	err := unix.Mkdirat(parent, name, 0o700)
	fresh := err == nil
	switch err {
	case nil:
		u.totals.Dirs++
	case unix.EEXIST:
		// One that was left before has its times when everything below is written, and keeps them.
		u.writers.drain()
	default:
		return fault.From(err, "making", name)
	}
	fd, err := dirfd.ChildDir(parent, name)
	switch err {
	case nil:
		return t.push(name, fd, fresh)
	case unix.ENOTDIR, unix.ELOOP:
		return u.tar.Bad(name, "is on the way to an entry, and no directory")
	}
	return fault.From(err, "opening", name)
}

// describe takes an entry that is a directory. It may say of one again what was said before.
func (t *tree) describe(parts []string, header *tar.Header) error {
	dir, err := t.enter(parts)
	if err != nil {
		return err
	}
	if err := t.attributes(dir.fd, modeOf(header)); err != nil {
		return fault.From(err, "setting the attributes of", tarstream.Shorten(header.Name))
	}
	dir.times = timesOf(header)
	return nil
}
