// Package overlay reads and writes the marks that overlayfs, mounted with userxattr, leaves in a writable layer.
package overlay

import (
	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
)

// Prefix of the attributes that overlayfs keeps for itself.
const Prefix = "user.overlay."

// IsWhiteout tells the mark for a deleted name: a device 0:0, or an empty file with an attribute.
func IsWhiteout(dir int, name string, st *unix.Stat_t) bool {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		return st.Rdev == 0
	case unix.S_IFREG:
		if st.Size != 0 {
			return false
		}
		_, err := unix.Lgetxattr(dirfd.ProcPath(dir)+"/"+name, Prefix+"whiteout", nil)
		return err == nil
	}
	return false
}

// IsOpaque tells a directory that hides what is below it.
func IsOpaque(fd int) bool {
	var value [8]byte
	n, err := unix.Fgetxattr(fd, Prefix+"opaque", value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

// Whiteout marks a name as deleted. Also inside a user namespace the kernel lets 0:0 be made, which opens nothing.
func Whiteout(dir int, name string) error {
	return unix.Mknodat(dir, name, unix.S_IFCHR, 0)
}

// Opaque makes a directory hide what is below it.
func Opaque(fd int) error {
	return unix.Fsetxattr(fd, Prefix+"opaque", []byte{'y'}, 0)
}
