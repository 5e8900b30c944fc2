package layertar

import (
	"archive/tar"
	"bytes"
	"io"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

func (u *unpacker) file(header *tar.Header, parts []string, base string) error {
	if header.Size > u.MaxBytes-u.totals.Bytes {
		return fault.New(tooLarge, shorten(header.Name), "there are more than %d bytes", u.MaxBytes)
	}
	dir, _, _, err := u.place(header, parts, base)
	if err != nil {
		return err
	}
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := dirfd.Retry(func() (int, error) { return unix.Openat(dir, base, flags, 0o600) })
	if err != nil {
		return fault.From(err, "creating", shorten(header.Name))
	}
	defer unix.Close(fd)
	if err := u.content(fd, header); err != nil {
		return err
	}
	if err := u.describe(fd, header); err != nil {
		return err
	}
	times := timesOf(header)
	if err := futimens(fd, &times); err != nil {
		return fault.From(err, "setting the time of", shorten(header.Name))
	}
	u.totals.Files++
	return nil
}

const block = 4096

var zeroBlock [block]byte

// content writes what is not zero: a tar has no holes, and a sparse file becomes one again.
func (u *unpacker) content(fd int, header *tar.Header) error {
	at := int64(0)
	for at < header.Size {
		// The holes of a sparse entry are read without a byte of the stream, which looks for the end otherwise.
		if err := u.ctx.Err(); err != nil {
			return fault.From(err, "", "")
		}
		part := u.buffer[:min(header.Size-at, int64(len(u.buffer)))]
		n, err := io.ReadFull(u.tar, part)
		if err != nil {
			return u.broken(err)
		}
		if err := writeBlocks(fd, part, at); err != nil {
			return fault.From(err, "writing", shorten(header.Name))
		}
		at += int64(n)
		u.totals.Bytes += int64(n)
		if u.Progress != nil {
			u.Progress(u.totals.Files, u.totals.Bytes)
		}
	}
	if err := unix.Ftruncate(fd, header.Size); err != nil {
		return fault.From(err, "writing", shorten(header.Name))
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

func isZero(part []byte) bool { return bytes.Equal(part, zeroBlock[:len(part)]) }
