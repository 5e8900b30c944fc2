package copytree

import (
	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// entry copies one name that is no directory. It opens first and looks then, so that what is looked at is what
// is read.
func (c *copier) entry(d *directory, one name, buffer []byte) error {
	switch one.kind {
	case unix.DT_LNK:
		return c.link(d, one)
	case unix.DT_FIFO, unix.DT_SOCK, unix.DT_CHR, unix.DT_BLK:
		c.skip(Join(d.path, one.text), "special")
		return nil
	}
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := dirfd.Retry(func() (int, error) { return unix.Openat(d.src, one.text, flags, 0) })
	switch err {
	case nil:
	case unix.ELOOP:
		if one.kind == unix.DT_UNKNOWN {
			return c.link(d, one)
		}
		return c.changed(Join(d.path, one.text))
	case unix.ENOENT:
		if c.chosen {
			return nil
		}
		return c.changed(Join(d.path, one.text))
	case unix.EACCES, unix.EPERM:
		c.skip(Join(d.path, one.text), "unreadable")
		return nil
	case unix.ENXIO, unix.ENODEV:
		c.skip(Join(d.path, one.text), "special")
		return nil
	default:
		return fault.From(err, "opening", Join(d.path, one.text))
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fault.From(err, "looking at", Join(d.path, one.text))
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return c.file(d, one, fd, &st, buffer)
	case unix.S_IFDIR:
		return c.strayDirectory(d, one, fd)
	}
	c.skip(Join(d.path, one.text), "special")
	return nil
}

// strayDirectory is one where a file was expected. Among chosen names it is a repository of its own (a
// submodule): it is there, but empty. A file system that does not tell types gets here too.
func (c *copier) strayDirectory(d *directory, one name, fd int) error {
	if one.kind != unix.DT_UNKNOWN {
		return c.changed(Join(d.path, one.text))
	}
	made, err := c.makeDirectory(d, one.text, false)
	if err != nil || !made {
		return err
	}
	if !c.chosen {
		c.queue.push(task{path: Join(d.path, one.text)})
		return nil
	}
	child := &directory{path: Join(d.path, one.text)}
	if err := unix.Fstat(fd, &child.st); err != nil {
		return fault.From(err, "looking at", child.path)
	}
	if child.dst, err = dirfd.ChildDir(d.dst, one.text); err != nil {
		return fault.From(err, "opening the copy of", child.path)
	}
	defer unix.Close(child.dst)
	if c.Repository != nil {
		c.Repository(child.path)
	}
	return c.finish(child)
}

func (c *copier) link(d *directory, one name) error {
	path := Join(d.path, one.text)
	st, err := dirfd.Stat(d.src, one.text)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return c.changed(path)
	}
	target, err := dirfd.ReadLink(d.src, one.text)
	if err != nil {
		return c.changed(path)
	}
	if err := c.count(path); err != nil {
		return err
	}
	c.clear(d, one.to)
	err = unix.Symlinkat(target, d.dst, one.to)
	if err == unix.EEXIST && c.chosen {
		return c.changed(path)
	}
	if err == nil {
		err = unix.Fchownat(d.dst, one.to, int(c.UID), int(c.GID), unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil {
		err = dirfd.SetTimes(d.dst, one.to, &st)
	}
	if err != nil {
		return fault.From(err, "making the link", path)
	}
	c.links.Add(1)
	return nil
}

func (c *copier) file(d *directory, one name, src int, st *unix.Stat_t, buffer []byte) error {
	path := Join(d.path, one.text)
	if c.Leave != nil {
		if reason := c.Leave(st); reason != "" {
			c.skip(path, reason)
			return nil
		}
	}
	if err := c.count(path); err != nil {
		return err
	}
	dst, err := c.create(d, one.to, path, st)
	if err != nil {
		return err
	}
	if dst < 0 {
		c.files.Add(1)
		return nil
	}
	defer unix.Close(dst)
	if err := c.addBytes(path, st.Size); err != nil {
		return err
	}
	if err := c.content(path, src, dst, st, buffer); err != nil {
		return err
	}
	var after unix.Stat_t
	if err := unix.Fstat(src, &after); err != nil {
		return fault.From(err, "looking at", path)
	}
	if after.Size != st.Size || after.Mtim != st.Mtim || after.Nlink == 0 {
		return c.changed(path)
	}
	if err := c.attributes(dst, st); err != nil {
		return fault.From(err, "setting the attributes of the copy of", path)
	}
	c.files.Add(1)
	return nil
}

// create makes the file, or for another name of one that is there already a hard link (then the result is -1).
func (c *copier) create(d *directory, text string, path string, st *unix.Stat_t) (int, error) {
	mode := st.Mode & 0o1777
	c.clear(d, text)
	fresh := func() (int, error) {
		const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err := dirfd.Retry(func() (int, error) { return unix.Openat(d.dst, text, flags, mode) })
		if err == unix.EEXIST && c.chosen {
			return -1, c.changed(path)
		}
		if err != nil {
			return -1, fault.From(err, "creating", path)
		}
		return fd, nil
	}
	if st.Nlink < 2 {
		return fresh()
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	id := inode{uint64(st.Dev), st.Ino}
	if first, ok := c.linked[id]; ok {
		if err := unix.Linkat(c.dst, first, d.dst, text, 0); err != nil {
			return -1, fault.From(err, "linking", path)
		}
		return -1, nil
	}
	fd, err := fresh()
	if err == nil {
		c.linked[id] = path
	}
	return fd, err
}

// clear makes room when copies are merged; a directory in the way stays, and is an error then.
func (c *copier) clear(d *directory, text string) {
	if c.Merge {
		_ = unix.Unlinkat(d.dst, text, 0)
	}
}

// attributes: the mode was given at creation and is set again only when the umask or the owner's change took
// something from it.
func (c *copier) attributes(fd int, st *unix.Stat_t) error {
	if c.UID != ownUID || c.GID != ownGID {
		if err := unix.Fchown(fd, int(c.UID), int(c.GID)); err != nil {
			return err
		}
	}
	if mode := st.Mode & 0o1777; mode&0o1022 != 0 {
		if err := unix.Fchmod(fd, mode); err != nil {
			return err
		}
	}
	return dirfd.SetOpenTimes(fd, &[2]unix.Timespec{st.Atim, st.Mtim})
}

var ownUID, ownGID = uint32(unix.Geteuid()), uint32(unix.Getegid())
