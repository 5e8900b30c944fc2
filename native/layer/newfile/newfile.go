// Package newfile makes a file that is there completely or not at all.
package newfile

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// Build lets a temporary file beside dest be filled, and renames it to dest. It is removed when fill fails; a dest that is
// there already is an error. The file is only the caller's to read.
func Build(dest string, fill func(file *os.File) error) error {
	if _, err := os.Lstat(dest); err == nil {
		return fault.New("exists", dest, "%s exists already", dest)
	}
	temp := filepath.Join(filepath.Dir(dest), dirfd.TempName("."+filepath.Base(dest)+".tmp"))
	file, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fault.From(err, "making a file beside", dest)
	}
	defer file.Close()
	err = fill(file)
	if err == nil {
		err = rename(temp, dest)
	}
	if err != nil {
		_ = os.Remove(temp)
		return fault.From(err, "making", dest)
	}
	return nil
}

func rename(temp string, dest string) error {
	err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, dest, unix.RENAME_NOREPLACE)
	if err == unix.EEXIST {
		return fault.New("exists", dest, "%s exists already", dest)
	}
	return err
}
