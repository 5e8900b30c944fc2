// Package newtree makes a directory that is there completely or not at all.
package newtree

import (
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// Build fills a temporary directory beside dest and renames it to dest. It is removed when fill fails.
func Build(dest string, fill func(fd int) error) error {
	parent, err := dirfd.OpenDir(filepath.Dir(dest))
	if err != nil {
		return fault.From(err, "opening", filepath.Dir(dest))
	}
	defer unix.Close(parent)
	if _, err := dirfd.Stat(parent, filepath.Base(dest)); err == nil {
		return fault.New("exists", dest, "%s exists already", dest)
	}
	temp := dirfd.TempName(filepath.Base(dest) + ".tmp")
	if err := unix.Mkdirat(parent, temp, 0o700); err != nil {
		return fault.From(err, "making a directory beside", dest)
	}
	err = fillAndRename(parent, temp, dest, fill)
	if err != nil {
		_ = dirfd.RemoveAt(parent, temp)
	}
	return err
}

func fillAndRename(parent int, temp string, dest string, fill func(fd int) error) error {
	fd, err := dirfd.ChildDir(parent, temp)
	if err != nil {
		return fault.From(err, "opening a directory beside", dest)
	}
	defer unix.Close(fd)
	if err := fill(fd); err != nil {
		return err
	}
	switch err := unix.Renameat2(parent, temp, parent, filepath.Base(dest), unix.RENAME_NOREPLACE); err {
	case nil:
		return nil
	case unix.EEXIST:
		return fault.New("exists", dest, "%s exists already", dest)
	default:
		return fault.From(err, "renaming to", dest)
	}
}
