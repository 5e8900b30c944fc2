// Package stack mounts the layers of a workspace: sealed lowers, one writable upper, merged by overlayfs.
package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// Options are the same everywhere, so that an upper directory moves between root, users and machines.
const Options = "userxattr,redirect_dir=nofollow,metacopy=off,index=off"

// Owner is who a new directory belongs to, in ids of the hand's user namespace.
type Owner struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// Spec is one stack to mount; Lowers has the topmost first.
type Spec struct {
	Lowers []string `json:"lowers"`
	Upper  string   `json:"upper"`
	Work   string   `json:"work"`
	Merged string   `json:"merged"`
	Idmap  *Idmap   `json:"idmap"`
	Owner  Owner    `json:"owner"`
}

// Folder is a directory to make with exactly this owner and mode 0755.
type Folder struct {
	Path  string `json:"path"`
	Owner Owner  `json:"owner"`
}

// MakeFolder makes the directory; one that is there stays as it is.
func MakeFolder(folder Folder) error {
	if err := fault.Clean(folder.Path); err != nil {
		return err
	}
	return makeDir(folder.Path, 0o755, &folder.Owner)
}

// Mount puts the stack at spec.Merged.
func Mount(spec Spec) error {
	if err := fault.Clean(append([]string{spec.Upper, spec.Merged}, spec.Lowers...)...); err != nil {
		return err
	}
	if err := makeDir(spec.Upper, 0o755, &spec.Owner); err != nil {
		return err
	}
	if err := makeDir(spec.Merged, 0o755, nil); err != nil {
		return err
	}
	if mounted, err := IsMountPoint(spec.Merged); err != nil {
		return fault.From(err, "looking at", spec.Merged)
	} else if mounted {
		return fault.New("already_mounted", spec.Merged, "something is already mounted at %s", spec.Merged)
	}
	if len(spec.Lowers) == 0 {
		return bind(spec.Upper, spec.Merged)
	}
	if err := fault.Clean(spec.Work); err != nil {
		return err
	}
	if err := makeDir(spec.Work, 0o700, nil); err != nil {
		return err
	}
	err := overlay(spec, false)
	if errors.Is(err, unix.EINVAL) && spec.Idmap != nil {
		err = overlay(spec, true)
	}
	return err
}

// overlay names every layer by an open descriptor: paths stay short (the kernel takes one page of options)
// and need no escaping.
func overlay(spec Spec, attached bool) error {
	lowers := make([]string, 0, len(spec.Lowers))
	for i, lower := range spec.Lowers {
		fd, done, err := openLower(lower, spec, i, attached)
		if err != nil {
			return err
		}
		defer done()
		lowers = append(lowers, dirfd.ProcPath(fd))
	}
	var opened [3]int
	for i, path := range []string{spec.Upper, spec.Work, spec.Merged} {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fault.From(err, "opening", path)
		}
		defer unix.Close(fd)
		opened[i] = fd
	}
	data := fmt.Sprintf("%s,lowerdir=%s,upperdir=%s,workdir=%s", Options, strings.Join(lowers, ":"),
		dirfd.ProcPath(opened[0]), dirfd.ProcPath(opened[1]))
	if len(data) >= os.Getpagesize() {
		return fault.New("too_many_layers", spec.Merged, "%d layers do not fit into one mount", len(lowers))
	}
	err := unix.Mount("overlay", dirfd.ProcPath(opened[2]), "overlay", unix.MS_NOSUID|unix.MS_NODEV, data)
	if err != nil {
		return fault.From(err, "mounting the layers at", spec.Merged)
	}
	return nil
}

// openLower opens a sealed layer. With an idmap it is a clone of the mount. Kernels before 6.15 may take no detached
// mount as a layer: there it is attached beside merged, and done detaches it; the overlay keeps its own reference.
func openLower(lower string, spec Spec, index int, attached bool) (int, func(), error) {
	if spec.Idmap == nil {
		fd, err := unix.Open(lower, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, nil, missing(err, lower)
		}
		return fd, func() { unix.Close(fd) }, nil
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, lower, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, nil, missing(err, lower)
	}
	if err := idmapTree(tree, *spec.Idmap); err != nil {
		unix.Close(tree)
		if err == unix.EINVAL {
			return -1, nil, fault.New("idmap_unsupported", lower, "the file system of %s cannot be mounted with mapped ids", lower)
		}
		return -1, nil, fault.From(err, "mapping the ids of", lower)
	}
	if !attached {
		return tree, func() { unix.Close(tree) }, nil
	}
	at := fmt.Sprintf("%s.lower.%d", spec.Merged, index)
	if err := os.Mkdir(at, 0o700); err != nil && !os.IsExist(err) {
		unix.Close(tree)
		return -1, nil, fault.From(err, "making", at)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		unix.Close(tree)
		_ = os.Remove(at)
		return -1, nil, fault.From(err, "attaching", lower)
	}
	return tree, func() {
		unix.Close(tree)
		_ = unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		_ = os.Remove(at)
	}, nil
}

func bind(upper string, merged string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, upper, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fault.From(err, "cloning the mount of", upper)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fault.From(err, "setting mount attributes of", upper)
	}
	err = unix.MoveMount(tree, "", unix.AT_FDCWD, merged, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return fault.From(err, "mounting at", merged)
	}
	return nil
}

// makeDir makes a directory with exactly this mode and owner; one that is there stays as it is.
func makeDir(path string, mode uint32, owner *Owner) error {
	err := unix.Mkdir(path, mode)
	if err == unix.ENOENT {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fault.From(err, "making", filepath.Dir(path))
		}
		err = unix.Mkdir(path, mode)
	}
	if err == unix.EEXIST {
		return nil
	}
	if err == nil && owner != nil {
		err = unix.Lchown(path, int(owner.UID), int(owner.GID))
	}
	if err == nil {
		err = unix.Chmod(path, mode)
	}
	if err != nil {
		return fault.From(err, "making", path)
	}
	return nil
}

// IsMountPoint says whether a mount has its root at path.
func IsMountPoint(path string) (bool, error) {
	var stx unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &stx)
	return stx.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, err
}

func missing(err error, lower string) error {
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return fault.New("layer_missing", lower, "the layer %s is not there", lower)
	}
	return fault.From(err, "opening", lower)
}
