package layertar

import (
	"archive/tar"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/tarstream"
)

func (u *unpacker) file(header *tar.Header, parts []string, base string) error {
	if err := u.tar.Take(header); err != nil {
		return err
	}
	dir, _, _, err := u.place(header, parts, base)
	if err != nil {
		return err
	}
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := dirfd.Retry(func() (int, error) { return unix.Openat(dir, base, flags, 0o600) })
	if err != nil {
		return fault.From(err, "creating", tarstream.Shorten(header.Name))
	}
	defer unix.Close(fd)
	if err := u.tar.Content(fd, header, u.wrote); err != nil {
		return err
	}
	if err := u.describe(fd, header); err != nil {
		return err
	}
	times := timesOf(header)
	if err := dirfd.SetOpenTimes(fd, &times); err != nil {
		return fault.From(err, "setting the time of", tarstream.Shorten(header.Name))
	}
	u.totals.Files++
	return nil
}

func (u *unpacker) wrote(n int) {
	u.totals.Bytes += int64(n)
	if u.Progress != nil {
		u.Progress(u.totals.Files, u.totals.Bytes)
	}
}
