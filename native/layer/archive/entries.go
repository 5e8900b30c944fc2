package archive

import (
	"archive/tar"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/tarstream"
)

// attributes: the mode was given at creation and is set again only when the umask or the owner's change took something
// from it.
func (u *unpacker) attributes(fd int, mode uint32, times *[2]unix.Timespec) error {
	if u.UID != ownUID || u.GID != ownGID {
		if err := unix.Fchown(fd, int(u.UID), int(u.GID)); err != nil {
			return err
		}
	}
	if mode&0o1022 != 0 {
		if err := unix.Fchmod(fd, mode); err != nil {
			return err
		}
	}
	return dirfd.SetOpenTimes(fd, times)
}

var ownUID, ownGID = uint32(unix.Geteuid()), uint32(unix.Getegid())

func (u *unpacker) file(header *tar.Header, dir *directory, base string) error {
	if err := u.tar.Take(header); err != nil {
		return err
	}
	u.totals.Files++
	if header.Size > smallFile {
		return u.large(header, dir, base)
	}
	content := u.writers.buffers.Get().([]byte)[:header.Size]
	if err := u.tar.ReadFull(content); err != nil {
		return err
	}
	u.totals.Bytes += header.Size
	u.writers.put(work{dir, base, tarstream.Shorten(header.Name), content, modeOf(header), timesOf(header)})
	return nil
}

func (u *unpacker) large(header *tar.Header, dir *directory, base string) error {
	fd, err := create(dir.fd, base, modeOf(header))
	if err == unix.EEXIST {
		return u.twice(header.Name)
	}
	if err != nil {
		return fault.From(err, "creating", tarstream.Shorten(header.Name))
	}
	defer unix.Close(fd)
	err = u.tar.Content(fd, header, func(n int) {
		u.totals.Bytes += int64(n)
		u.report()
	})
	if err != nil {
		return err
	}
	times := timesOf(header)
	if err := u.attributes(fd, modeOf(header), &times); err != nil {
		return fault.From(err, "setting the attributes of", tarstream.Shorten(header.Name))
	}
	return nil
}

func (u *unpacker) symlink(header *tar.Header, dir *directory, parts []string) error {
	target, base := header.Linkname, parts[len(parts)-1]
	if target == "" || len(target) > tarstream.MaxTarget || strings.ContainsRune(target, 0) {
		return u.tar.Bad(header.Name, "is a link to nothing that can have a name")
	}
	switch stays(len(parts)-1, target) {
	case no:
		return u.leaves(header.Name)
	case maybe:
		if u.late = append(u.late, strings.Join(parts, "/")); len(u.late) > maxLate {
			return u.tar.Bad(header.Name, "is one of too many links that lead up and down again")
		}
	}
	times := timesOf(header)
	err := unix.Symlinkat(target, dir.fd, base)
	if err == unix.EEXIST {
		return u.twice(header.Name)
	}
	if err == nil {
		err = unix.Fchownat(dir.fd, base, int(u.UID), int(u.GID), unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil {
		err = unix.UtimesNanoAt(dir.fd, base, times[:], unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fault.From(err, "making the link", tarstream.Shorten(header.Name))
	}
	u.totals.Links++
	return nil
}

// link is another name of a file that came before. What it names is opened below the root without following anything.
func (u *unpacker) link(header *tar.Header, dir *directory, base string) error {
	first, err := u.tar.Split(header.Linkname)
	if err != nil || len(first) == 0 {
		return u.tar.Bad(header.Linkname, "is linked to, and is no path inside a tree")
	}
	u.writers.drain()
	fd, err := dirfd.OpenAt(u.tree.chain[0].fd, strings.Join(first, "/"), unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return u.tar.Bad(header.Linkname, "is linked to, and not there")
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fault.From(err, "looking at", tarstream.Shorten(header.Linkname))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return u.tar.Bad(header.Linkname, "is linked to, and no file")
	}
	switch err := unix.Linkat(unix.AT_FDCWD, dirfd.ProcPath(fd), dir.fd, base, unix.AT_SYMLINK_FOLLOW); err {
	case nil:
	case unix.EEXIST:
		return u.twice(header.Name)
	case unix.EMLINK:
		return u.tar.Bad(header.Linkname, "has more names than this file system allows")
	default:
		return fault.From(err, "linking", tarstream.Shorten(header.Name))
	}
	u.totals.Files++
	return nil
}
