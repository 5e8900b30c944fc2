package layertar

import (
	"archive/tar"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// small is a link or a pipe: a header is all of it.
func (p *packer) small(dir int, name string, path string, st *unix.Stat_t) error {
	if done, err := p.again(path, st); done || err != nil {
		return err
	}
	header := p.header(st, tar.TypeFifo, path)
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, err := dirfd.ReadLink(dir, name)
		if err != nil {
			return changed(path)
		}
		header.Typeflag, header.Linkname = tar.TypeSymlink, target
		p.totals.Links++
	} else {
		p.totals.Files++
	}
	return p.write(header, path)
}

// again writes a further name of a file as a link to the first one.
func (p *packer) again(path string, st *unix.Stat_t) (bool, error) {
	if st.Nlink < 2 {
		return false, nil
	}
	id := inode{uint64(st.Dev), st.Ino}
	known := p.links[id]
	if known == nil {
		p.links[id] = &names{first: path, left: uint64(st.Nlink) - 1}
		return false, nil
	}
	if known.left--; known.left == 0 {
		delete(p.links, id)
	}
	header := p.header(st, tar.TypeLink, path)
	header.Linkname = known.first
	p.totals.Files++
	return true, p.write(header, path)
}

func (p *packer) file(dir int, name string, path string) error {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := dirfd.Retry(func() (int, error) { return unix.Openat(dir, name, flags, 0) })
	if gone(err) {
		return changed(path)
	}
	if err != nil {
		return fault.From(err, "opening", path)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fault.From(err, "looking at", path)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return changed(path)
	}
	if done, err := p.again(path, &st); done || err != nil {
		return err
	}
	header := p.header(&st, tar.TypeReg, path)
	header.Size = st.Size
	if err := p.attributes(fd, path, header); err != nil {
		return err
	}
	if err := p.write(header, path); err != nil {
		return err
	}
	return p.content(fd, path, &st)
}

// content writes exactly as many bytes as the header has promised.
func (p *packer) content(fd int, path string, st *unix.Stat_t) error {
	for left := st.Size; left > 0; {
		if err := p.ctx.Err(); err != nil {
			return fault.From(err, "", "")
		}
		part := p.buffer[:min(left, int64(len(p.buffer)))]
		n, err := dirfd.Retry(func() (int, error) { return unix.Read(fd, part) })
		if err != nil {
			return fault.From(err, "reading", path)
		}
		if n == 0 {
			return changed(path)
		}
		if _, err := p.tar.Write(part[:n]); err != nil {
			return fault.From(err, "packing", path)
		}
		left -= int64(n)
		p.totals.Bytes += int64(n)
		if p.Progress != nil {
			p.Progress(p.totals.Files, p.totals.Bytes)
		}
	}
	var after unix.Stat_t
	if err := unix.Fstat(fd, &after); err != nil {
		return fault.From(err, "looking at", path)
	}
	if after.Size != st.Size || after.Mtim != st.Mtim {
		return changed(path)
	}
	p.totals.Files++
	return nil
}
