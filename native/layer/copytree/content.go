package copytree

import (
	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// smallFile fits one read; the ways to share blocks cost more than they save below it.
const smallFile = 96 << 10

// content copies exactly st.Size bytes; a file that has more or fewer has changed.
func (c *copier) content(path string, src int, dst int, st *unix.Stat_t, buffer []byte) error {
	if st.Size <= smallFile {
		return c.small(path, src, dst, st.Size, buffer)
	}
	if !c.noClone.Load() {
		if err := unix.IoctlFileClone(dst, src); err == nil {
			return nil
		} else if err == unix.ENOSPC || err == unix.EDQUOT {
			return fault.From(err, "writing", path)
		}
		c.noClone.Store(true)
	}
	if st.Blocks*512 < st.Size {
		return c.sparse(path, src, dst, st.Size, buffer)
	}
	return c.span(path, src, dst, 0, st.Size, buffer)
}

func (c *copier) small(path string, src int, dst int, size int64, buffer []byte) error {
	filled := 0
	for int64(filled) <= size {
		n, err := dirfd.Retry(func() (int, error) { return unix.Read(src, buffer[filled:size+1]) })
		if err != nil {
			return fault.From(err, "reading", path)
		}
		if n == 0 {
			break
		}
		filled += n
		if int64(filled) == size && n > 0 {
			break // The attributes are compared afterwards: growth shows there.
		}
	}
	if int64(filled) != size {
		return c.changed(path)
	}
	return writeAll(path, dst, buffer[:filled], 0)
}

func writeAll(path string, dst int, data []byte, at int64) error {
	for len(data) > 0 {
		n, err := dirfd.Retry(func() (int, error) { return unix.Pwrite(dst, data, at) })
		if err != nil {
			return fault.From(err, "writing", path)
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}

// sparse copies the parts that hold data, and gives the copy the full length.
func (c *copier) sparse(path string, src int, dst int, size int64, buffer []byte) error {
	if err := unix.Ftruncate(dst, size); err != nil {
		return fault.From(err, "writing", path)
	}
	for at := int64(0); at < size; {
		data, err := unix.Seek(src, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil
		}
		if err != nil {
			return c.span(path, src, dst, at, size, buffer)
		}
		hole, err := unix.Seek(src, data, unix.SEEK_HOLE)
		if err == unix.ENXIO {
			return c.changed(path)
		}
		if err != nil {
			return fault.From(err, "reading", path)
		}
		if err := c.span(path, src, dst, data, min(hole, size), buffer); err != nil {
			return err
		}
		at = hole
	}
	return nil
}

// span copies [from, to): by the kernel where it can, else through the buffer.
func (c *copier) span(path string, src int, dst int, from int64, to int64, buffer []byte) error {
	for from < to {
		if err := c.ctx.Err(); err != nil {
			return fault.From(err, "", "")
		}
		n, err := c.some(src, dst, from, to, buffer)
		if err != nil {
			return fault.From(err, "copying", path)
		}
		if n == 0 {
			return c.changed(path)
		}
		from += n
		if c.Progress != nil {
			c.Progress(c.files.Load(), c.bytes.Load())
		}
	}
	return nil
}

func (c *copier) some(src int, dst int, from int64, to int64, buffer []byte) (int64, error) {
	if !c.noRange.Load() {
		in, out := from, from
		n, err := dirfd.Retry(func() (int, error) {
			return unix.CopyFileRange(src, &in, dst, &out, int(min(to-from, 16<<20)), 0)
		})
		if err == nil {
			return int64(n), nil
		}
		if err != unix.EXDEV && err != unix.EINVAL && err != unix.EOPNOTSUPP && err != unix.ENOSYS {
			return 0, err
		}
		c.noRange.Store(true)
	}
	part := buffer[:min(int64(len(buffer)), to-from)]
	n, err := dirfd.Retry(func() (int, error) { return unix.Pread(src, part, from) })
	if err != nil || n == 0 {
		return 0, err
	}
	return int64(n), writeAll("", dst, part[:n], from)
}
