package layertar

import (
	"archive/tar"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/overlay"
	"pyro/native/layer/tarstream"
)

// owner is who an entry belongs to on disk; false where the range does not hold it.
func (u *unpacker) owner(uid int, gid int) (int, int, bool) {
	if u.Owner != nil {
		return int(u.Owner.UID), int(u.Owner.GID), true
	}
	left, leftOK := inward(u.IDs, uid)
	right, rightOK := inward(u.IDs, gid)
	return left, right, leftOK && rightOK
}

func (u *unpacker) ownerOf(header *tar.Header) (int, int, error) {
	uid, gid, ok := u.owner(header.Uid, header.Gid)
	if !ok {
		return 0, 0, u.tar.Bad(header.Name, "has an owner that this machine has no id for")
	}
	return uid, gid, nil
}

func (u *unpacker) mode(header *tar.Header) uint32 {
	if u.Private {
		return uint32(header.Mode) & 0o1777
	}
	return uint32(header.Mode) & 0o7777
}

func timesOf(header *tar.Header) [2]unix.Timespec {
	at := header.ModTime
	one := unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
	return [2]unix.Timespec{one, one}
}

// describe gives an open file or directory its owner, mode and attributes. The owner comes first: changing it takes
// set-uid bits and capabilities away.
func (u *unpacker) describe(fd int, header *tar.Header) error {
	uid, gid, err := u.ownerOf(header)
	if err != nil {
		return err
	}
	if u.inherits {
		_ = unix.Fremovexattr(fd, accessList)
		_ = unix.Fremovexattr(fd, defaultList)
	}
	err = unix.Fchown(fd, uid, gid)
	if err == nil {
		err = unix.Fchmod(fd, u.mode(header))
	}
	if err != nil {
		return fault.From(err, "setting the attributes of", tarstream.Shorten(header.Name))
	}
	if u.Private {
		return nil
	}
	for key, value := range header.PAXRecords {
		name, found := strings.CutPrefix(key, attributePrefix)
		if !found || !carried(name) {
			continue
		}
		inside := func(id uint32) (uint32, bool) {
			mapped, ok := inward(u.IDs, int(id))
			return uint32(mapped), ok
		}
		data := translate(name, []byte(value), inside)
		if data == nil {
			return u.tar.Bad(header.Name, "has a malformed attribute "+name)
		}
		if err := unix.Fsetxattr(fd, name, data, 0); err != nil {
			return fault.From(err, "setting the attribute "+name+" of", tarstream.Shorten(header.Name))
		}
		u.inherits = u.inherits || name == defaultList
	}
	return nil
}

// clear makes room for an entry: a later one takes the place of an earlier, but never of a directory. It tells whether
// a whiteout was there.
func (u *unpacker) clear(dir int, base string, header *tar.Header) (bool, error) {
	st, err := dirfd.Stat(dir, base)
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		return false, fault.From(err, "looking at", tarstream.Shorten(header.Name))
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return false, u.tar.Bad(header.Name, "is also a directory")
	}
	hidden := !u.Plain && overlay.IsWhiteout(dir, base, &st)
	if err := unix.Unlinkat(dir, base, 0); err != nil {
		return false, fault.From(err, "replacing", tarstream.Shorten(header.Name))
	}
	return hidden, nil
}

func (u *unpacker) directory(header *tar.Header, parts []string) error {
	fd, err := u.enterOver(header, parts)
	if err != nil {
		return err
	}
	if err := u.describe(fd, header); err != nil {
		return err
	}
	u.at.top().times = timesOf(header)
	return nil
}

// enterOver enters a directory that may take the place of another entry.
func (u *unpacker) enterOver(header *tar.Header, parts []string) (int, error) {
	if len(parts) == 0 {
		u.totals.Rooted = true
		return u.at.enter(nil)
	}
	parent, err := u.at.enter(parts[:len(parts)-1])
	if err != nil {
		return -1, err
	}
	base := parts[len(parts)-1]
	st, err := dirfd.Stat(parent, base)
	hidden := false
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if hidden, err = u.clear(parent, base, header); err != nil {
			return -1, err
		}
	}
	fd, err := u.at.enter(parts)
	if err == nil && hidden {
		err = u.opaque(fd, header.Name)
	}
	return fd, err
}

func (u *unpacker) symlink(header *tar.Header, parts []string, base string) error {
	target := header.Linkname
	if target == "" || len(target) > tarstream.MaxTarget || strings.ContainsRune(target, 0) {
		return u.tar.Bad(header.Name, "is a link to nothing that can have a name")
	}
	dir, uid, gid, err := u.place(header, parts, base)
	if err != nil {
		return err
	}
	times := timesOf(header)
	err = unix.Symlinkat(target, dir, base)
	if err == nil {
		err = unix.Fchownat(dir, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil {
		err = unix.UtimesNanoAt(dir, base, times[:], unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fault.From(err, "making the link", tarstream.Shorten(header.Name))
	}
	u.totals.Links++
	return nil
}

func (u *unpacker) fifo(header *tar.Header, parts []string, base string) error {
	dir, uid, gid, err := u.place(header, parts, base)
	if err != nil {
		return err
	}
	times := timesOf(header)
	err = unix.Mknodat(dir, base, unix.S_IFIFO|0o600, 0)
	if err == nil {
		err = unix.Fchownat(dir, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil {
		// Nobody else writes to this tree, so the name is still the pipe that was just made.
		err = unix.Fchmodat(dir, base, u.mode(header), 0)
	}
	if err == nil {
		err = unix.UtimesNanoAt(dir, base, times[:], unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fault.From(err, "making the pipe", tarstream.Shorten(header.Name))
	}
	u.totals.Files++
	return nil
}

// place opens the directory that an entry goes to, and makes room in it.
func (u *unpacker) place(header *tar.Header, parts []string, base string) (dir int, uid int, gid int, err error) {
	if uid, gid, err = u.ownerOf(header); err != nil {
		return -1, 0, 0, err
	}
	if dir, err = u.at.enter(parts); err == nil {
		_, err = u.clear(dir, base, header)
	}
	return dir, uid, gid, err
}

// link is another name of a file that came before. What it names is opened below the root without following anything,
// and a mark of overlayfs is no file.
func (u *unpacker) link(header *tar.Header, parts []string, base string) error {
	first, err := u.tar.Split(header.Linkname)
	if err != nil || len(first) == 0 {
		return u.tar.Bad(header.Linkname, "is no path inside a tree")
	}
	dir, err := u.at.enter(parts)
	if err != nil {
		return err
	}
	fd, err := dirfd.OpenAt(u.at.chain[0].fd, strings.Join(first, "/"), unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return u.tar.Bad(header.Linkname, "is linked to, and not there")
	}
	defer unix.Close(fd)
	var st, old unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fault.From(err, "looking at", tarstream.Shorten(header.Linkname))
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFLNK, unix.S_IFIFO:
	default:
		return u.tar.Bad(header.Linkname, "is linked to, and no file")
	}
	if old, err = dirfd.Stat(dir, base); err == nil && old.Ino == st.Ino && old.Dev == st.Dev {
		return nil
	}
	if _, err := u.clear(dir, base, header); err != nil {
		return err
	}
	if err := unix.Linkat(unix.AT_FDCWD, dirfd.ProcPath(fd), dir, base, unix.AT_SYMLINK_FOLLOW); err != nil {
		return fault.From(err, "linking", tarstream.Shorten(header.Name))
	}
	u.totals.Files++
	return nil
}
