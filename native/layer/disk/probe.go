package disk

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

// Abilities of the file system that holds a path.
type Abilities struct {
	Type      string `json:"type"`
	Overlay   bool   `json:"overlay"`
	Reason    string `json:"reason,omitempty"`
	Reflink   bool   `json:"reflink"`
	Idmapped  bool   `json:"idmapped"`
	FreeBytes uint64 `json:"free_bytes"`
}

var typeNames = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs", unix.FUSE_SUPER_MAGIC: "fuse", unix.V9FS_MAGIC: "9p",
	unix.F2FS_SUPER_MAGIC: "f2fs", unix.ECRYPTFS_SUPER_MAGIC: "ecryptfs", unix.MSDOS_SUPER_MAGIC: "vfat",
	unix.SMB2_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "cifs", 0x2fc12fc1: "zfs", 0xca451a4e: "bcachefs",
}

// Probe finds out by doing it, in a temporary directory below path.
func Probe(path string) (*Abilities, error) {
	if err := fault.Clean(path); err != nil {
		return nil, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return nil, fault.From(err, "asking the file system of", path)
	}
	result := &Abilities{FreeBytes: st.Bavail * uint64(st.Bsize)}
	result.Type = typeNames[int64(uint32(st.Type))]
	if result.Type == "" {
		result.Type = fmt.Sprintf("0x%x", uint32(st.Type))
	}
	dir := filepath.Join(path, dirfd.TempName(".pyro-probe"))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fault.From(err, "making a directory in", path)
	}
	defer func() {
		_ = stack.Unmount(dir)
		_ = dirfd.Remove(dir)
	}()
	result.Reflink = canClone(dir)
	result.Idmapped = stack.CanIdmap(dir)
	if err := tryOverlay(dir); err != nil {
		result.Reason = fault.From(err, "", "").Message
	} else {
		result.Overlay = true
	}
	return result, nil
}

func canClone(dir string) bool {
	first := filepath.Join(dir, "first")
	if os.WriteFile(first, make([]byte, 4096), 0o600) != nil {
		return false
	}
	src, err := os.Open(first)
	if err != nil {
		return false
	}
	defer src.Close()
	dst, err := os.Create(filepath.Join(dir, "second"))
	if err != nil {
		return false
	}
	defer dst.Close()
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil
}

// tryOverlay does what a workspace will: change a file of the lower layer, delete one, rename over one.
func tryOverlay(dir string) error {
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	if err := os.MkdirAll(at("lower", "old"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"changed", "deleted", "replaced"} {
		if err := os.WriteFile(at("lower", name), []byte("old"), 0o644); err != nil {
			return err
		}
	}
	err := stack.Mount(stack.Spec{Lowers: []string{at("lower")}, Upper: at("upper"), Work: at("work"), Merged: at("merged"),
		Owner: stack.Owner{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(at("merged", "changed"), []byte("new"), 0o644); err != nil {
		return err
	}
	if err := os.Remove(at("merged", "deleted")); err != nil {
		return err
	}
	if err := os.Rename(at("merged", "changed"), at("merged", "replaced")); err != nil {
		return err
	}
	if err := os.RemoveAll(at("merged", "old")); err != nil {
		return err
	}
	return os.Mkdir(at("merged", "old"), 0o755)
}
