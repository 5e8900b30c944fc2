// Package once makes a file or a directory that is costly to make: completely or not at all, and by one maker at a
// time, whatever process asks.
package once

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

const lookAgain = 50 * time.Millisecond

// Make has make build at a temporary path beside dest, and renames that to dest. Who comes while another is at work
// waits for it; made is false when dest was there. What a killed maker left is removed by the next.
func Make(ctx context.Context, dest string, make func(temp string) error) (made bool, err error) {
	if err := fault.Clean(dest); err != nil {
		return false, err
	}
	folder := filepath.Dir(dest)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return false, fault.From(err, "making", folder)
	}
	if there(dest) {
		return false, nil
	}
	lock, err := Lock(ctx, dest, unix.LOCK_EX)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if there(dest) {
		return false, nil
	}
	temp, err := Temp(dest)
	if err != nil {
		return false, err
	}
	if err = make(temp); err == nil {
		err = Publish(temp, dest)
	}
	if err != nil {
		_ = dirfd.Remove(temp)
		return false, err
	}
	return true, nil
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Lock waits for the lock beside path; how is LOCK_EX or LOCK_SH. The kernel drops it with the process or when it is
// closed; the file stays, because removing it would give two makers a lock each.
func Lock(ctx context.Context, path string, how int) (*os.File, error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".lock")
	lock, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fault.From(err, "opening", name)
	}
	for {
		err := unix.Flock(int(lock.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return lock, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			lock.Close()
			return nil, fault.From(err, "locking", name)
		}
		select {
		case <-ctx.Done():
			lock.Close()
			return nil, fault.From(ctx.Err(), "", "")
		case <-time.After(lookAgain):
		}
	}
}

// Temp is a path beside dest to make it at. Whoever holds dest's lock alone may ask for it: what makers that are gone
// left at such paths is removed, as none of it is in use.
func Temp(dest string) (string, error) {
	folder, prefix := filepath.Dir(dest), filepath.Base(dest)+".tmp"
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", fault.From(err, "reading", folder)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix+"-") {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		if err := dirfd.Remove(path); err != nil {
			return "", fault.From(err, "removing", path)
		}
	}
	return filepath.Join(folder, dirfd.TempName(prefix)), nil
}

// Publish gives what was made its name. It makes sure that the content is on the disk before the name is: a power cut
// leaves no whole name over empty files.
func Publish(temp string, dest string) error {
	folder := filepath.Dir(dest)
	fd, err := dirfd.OpenDir(folder)
	if err != nil {
		return fault.From(err, "opening", folder)
	}
	defer unix.Close(fd)
	if err := unix.Syncfs(fd); err != nil {
		return fault.From(err, "writing to the disk", folder)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, dest, unix.RENAME_NOREPLACE); err != nil {
		return fault.From(err, "renaming to", dest)
	}
	return nil
}
