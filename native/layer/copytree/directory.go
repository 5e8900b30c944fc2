package copytree

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// partSize is how many names of a large directory one worker takes at a time.
const partSize = 256

// name is an entry to copy: what it is called, its DT_* type, and what the copy is called.
type name struct {
	text string
	kind uint8
	to   string
}

// directory is one that is being copied: both sides open until its last part is done.
type directory struct {
	path     string
	src, dst int
	st       unix.Stat_t
	pending  atomic.Int32
}

// leave ends one part of a directory. After the last one the copy gets its attributes, and both sides are closed.
func (c *copier) leave(d *directory, err error) error {
	if d.pending.Add(-1) > 0 {
		return err
	}
	if err == nil && !c.queue.closed() {
		err = c.finish(d)
	}
	unix.Close(d.src)
	unix.Close(d.dst)
	return err
}

func (c *copier) do(next task, buffer []byte) error {
	if next.dir == nil {
		return c.openDirectory(next, buffer)
	}
	return c.copyPart(next.dir, next.part, buffer)
}

// openDirectory resolves the directory anew below the root: a queue of paths needs no open descriptors, and the
// kernel refuses every link on the way.
func (c *copier) openDirectory(next task, buffer []byte) error {
	shown := next.path
	if shown == "" {
		shown = "."
	}
	d := &directory{path: next.path}
	src, err := dirfd.OpenAt(c.src, shown, unix.O_RDONLY|unix.O_DIRECTORY)
	switch err {
	case nil:
	case unix.EACCES, unix.EPERM:
		c.skip(shown, "unreadable")
		if unix.Unlinkat(c.dst, shown, unix.AT_REMOVEDIR) == nil {
			c.dirs.Add(-1)
		}
		return nil
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		return c.changed(shown)
	default:
		return fault.From(err, "opening", shown)
	}
	d.src = src
	d.dst, err = dirfd.OpenAt(c.dst, shown, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		unix.Close(src)
		return fault.From(err, "opening the copy of", shown)
	}
	d.pending.Store(1)
	names, err := c.list(d, next.node, shown)
	if err != nil {
		return c.leave(d, err)
	}
	rest, err := c.startBelow(d, next.node, names)
	if err != nil {
		return c.leave(d, err)
	}
	return c.startParts(d, rest, buffer)
}

func (c *copier) list(d *directory, node *Node, shown string) ([]name, error) {
	if err := unix.Fstat(d.src, &d.st); err != nil {
		return nil, fault.From(err, "looking at", shown)
	}
	if (inode{uint64(d.st.Dev), d.st.Ino}) == c.dstID {
		return nil, fault.New("seed_overlap", shown, "the copy would contain itself at %s", shown)
	}
	if node != nil {
		return chosenNames(d.src, node), nil
	}
	entries, err := dirfd.List(d.src)
	if err == unix.ENOENT {
		return nil, c.changed(shown)
	}
	if err != nil {
		return nil, fault.From(err, "reading", shown)
	}
	names := make([]name, 0, len(entries))
	for _, entry := range entries {
		if entry.Name == ".git" && c.Repository != nil && c.Repository(d.path) {
			continue
		}
		names = append(names, name{entry.Name, entry.Type, entry.Name})
	}
	return names, nil
}

// chosenNames drops what is chosen both as a file and as a directory (the index is behind the work tree) when it
// is a directory.
func chosenNames(src int, node *Node) []name {
	names := make([]name, 0, len(node.Names))
	for _, text := range node.Names {
		if node.Dirs[text] != nil {
			if st, err := dirfd.Stat(src, text); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
				continue
			}
		}
		names = append(names, name{text, unix.DT_UNKNOWN, text})
	}
	return names
}

// startBelow makes the directories below first, so that other workers have something to do, and so that the time
// of this one is not changed by them later. It returns the other names.
func (c *copier) startBelow(d *directory, node *Node, names []name) ([]name, error) {
	var below []task
	rest := names[:0]
	for _, one := range names {
		if one.kind != unix.DT_DIR {
			rest = append(rest, one)
			continue
		}
		made, err := c.makeDirectory(d, one.text, false)
		if err != nil {
			return nil, err
		}
		if made {
			below = append(below, task{path: Join(d.path, one.text)})
		}
	}
	if node != nil {
		for text, child := range node.Dirs {
			made, err := c.makeDirectory(d, text, true)
			if err != nil {
				return nil, err
			}
			if made {
				below = append(below, task{path: Join(d.path, text), node: child})
			}
		}
	}
	if len(below) > 0 {
		c.queue.push(below...)
	}
	return rest, nil
}

func (c *copier) startParts(d *directory, rest []name, buffer []byte) error {
	var parts []task
	for len(rest) > partSize {
		parts = append(parts, task{dir: d, part: rest[:partSize]})
		rest = rest[partSize:]
	}
	if len(parts) > 0 {
		d.pending.Add(int32(len(parts)))
		c.queue.push(parts...)
	}
	return c.copyPart(d, rest, buffer)
}

// makeDirectory makes the copy of one; its mode is set when it is complete. With optional, one that is not there
// (a tracked directory that was deleted or became a link) is left out.
func (c *copier) makeDirectory(d *directory, text string, optional bool) (bool, error) {
	path := Join(d.path, text)
	if optional || c.Leave != nil {
		st, err := dirfd.Stat(d.src, text)
		if optional && (err == unix.ENOENT || err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR) {
			return false, nil
		}
		if err == unix.ENOENT {
			return false, c.changed(path)
		}
		if err != nil {
			return false, fault.From(err, "looking at", path)
		}
		if c.Leave != nil {
			if reason := c.Leave(&st); reason != "" {
				c.skip(path, reason)
				return false, nil
			}
		}
	}
	if err := c.count(path); err != nil {
		return false, err
	}
	err := unix.Mkdirat(d.dst, text, 0o700)
	if err == unix.EEXIST && c.Merge {
		err = nil
	}
	if err == unix.EEXIST && c.chosen {
		return false, c.changed(path) // Chosen as a file and as a directory, it was one and became the other.
	}
	if err != nil {
		return false, fault.From(err, "making", path)
	}
	c.dirs.Add(1)
	return true, nil
}

func (c *copier) copyPart(d *directory, part []name, buffer []byte) error {
	var err error
	for i := 0; i < len(part) && err == nil; i++ {
		if i%64 == 63 && c.ctx.Err() != nil {
			err = fault.From(c.ctx.Err(), "", "")
			break
		}
		err = c.entry(d, part[i], buffer)
	}
	return c.leave(d, err)
}

// finish gives a complete directory its owner, mode and time.
func (c *copier) finish(d *directory) error {
	err := unix.Fchown(d.dst, int(c.UID), int(c.GID))
	if err == nil {
		err = unix.Fchmod(d.dst, d.st.Mode&0o1777)
	}
	if err == nil {
		err = dirfd.SetOpenTimes(d.dst, &[2]unix.Timespec{d.st.Atim, d.st.Mtim})
	}
	if err != nil {
		return fault.From(err, "setting the attributes of the copy of", d.path)
	}
	return nil
}
