package tarstream

import (
	"archive/tar"
	"bytes"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

const block = 4096

var zeroBlock [block]byte

// Content writes what is not zero into a new file: a tar has no holes, and a sparse file becomes one again. wrote is told
// of each part.
func (r *Reader) Content(fd int, header *tar.Header, wrote func(n int)) error {
	for at := int64(0); at < header.Size; {
		part := r.buffer[:min(header.Size-at, int64(len(r.buffer)))]
		if err := r.ReadFull(part); err != nil {
			return err
		}
		if err := writeBlocks(fd, part, at); err != nil {
			return fault.From(err, "writing", Shorten(header.Name))
		}
		at += int64(len(part))
		wrote(len(part))
	}
	if err := unix.Ftruncate(fd, header.Size); err != nil {
		return fault.From(err, "writing", Shorten(header.Name))
	}
	return nil
}

func writeBlocks(fd int, part []byte, at int64) error {
	for len(part) > 0 {
		run := 0
		for run < len(part) && !isZero(part[run:min(run+block, len(part))]) {
			run = min(run+block, len(part))
		}
		for rest := part[:run]; len(rest) > 0; {
			n, err := dirfd.Retry(func() (int, error) { return unix.Pwrite(fd, rest, at) })
			if err != nil {
				return err
			}
			rest, at = rest[n:], at+int64(n)
		}
		part = part[run:]
		for len(part) > 0 && isZero(part[:min(block, len(part))]) {
			n := min(block, len(part))
			part, at = part[n:], at+int64(n)
		}
	}
	return nil
}

func isZero(part []byte) bool {
	for len(part) > block {
		if !bytes.Equal(part[:block], zeroBlock[:]) {
			return false
		}
		part = part[block:]
	}
	return bytes.Equal(part, zeroBlock[:len(part)])
}
