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

// mark takes a name that means something in a layer. Per image-spec it concerns the layers below only: what this
// layer has under the same name stays, and a directory among it begins anew.
func (u *unpacker) mark(header *tar.Header, parts []string) (bool, error) {
	for i, part := range parts {
		if !strings.HasPrefix(part, whiteoutPrefix) {
			continue
		}
		if i != len(parts)-1 || header.Typeflag != tar.TypeReg {
			return true, u.tar.Bad(header.Name, "is no deletion, and is called like one")
		}
		deleted := strings.TrimPrefix(part, whiteoutPrefix)
		switch {
		case part == opaqueName:
			fd, err := u.at.enter(parts[:i])
			if err != nil {
				return true, err
			}
			return true, u.opaque(fd, header.Name)
		case strings.HasPrefix(deleted, whiteoutPrefix):
			// AUFS's own files, which some tools left in layers.
			return true, nil
		case deleted == "" || deleted == "." || deleted == "..":
			return true, u.tar.Bad(header.Name, "deletes nothing that can have a name")
		}
		return true, u.whiteout(header, parts[:i], deleted)
	}
	return false, nil
}

func (u *unpacker) opaque(fd int, name string) error {
	if err := overlay.Opaque(fd); err != nil {
		return fault.From(err, "marking", tarstream.Shorten(name))
	}
	return nil
}

func (u *unpacker) whiteout(header *tar.Header, parts []string, deleted string) error {
	dir, err := u.at.enter(parts)
	if err != nil {
		return err
	}
	err = overlay.Whiteout(dir, deleted)
	if err != unix.EEXIST {
		if err != nil {
			return fault.From(err, "deleting", tarstream.Shorten(header.Name))
		}
		return nil
	}
	fd, err := dirfd.ChildDir(dir, deleted)
	if err != nil {
		return nil // What this layer has there hides what is below already.
	}
	defer unix.Close(fd)
	return u.opaque(fd, header.Name)
}
