// Package jail makes the few files that a machine's process may see: a small tmpfs in the holder's mount namespace, with
// the machine's images bound into it. Nothing is copied and no owner changes, on whatever file system the images lie;
// other machines' files have no name there, and all of it is gone with the mounts.
package jail

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

const (
	// size bounds what the process can write there: its own program, copied by the jailer, and a pid file.
	size  = "32m"
	files = 16
)

// Spec is one jail.
type Spec struct {
	// Dir is where it is mounted.
	Dir string `json:"dir"`
	// Root is the process's root below Dir; empty where the process is not rooted elsewhere.
	Root string `json:"root"`
	// Devices says that device nodes will be made below Root, which only a root hand can.
	Devices bool        `json:"devices"`
	Owner   stack.Owner `json:"owner"`
	// Sockets is a new folder of this machine that appears as "run" below Root: what the process listens on is
	// reached from outside the namespace there.
	Sockets string `json:"sockets"`
	Files   []File `json:"files"`
}

// File is one file bound into the jail.
type File struct {
	Source   string `json:"source"`
	Name     string `json:"name"`
	ReadOnly bool   `json:"read_only"`
}

// Where names what Make made, and is all that Remove needs.
type Where struct {
	Dir     string `json:"dir"`
	Sockets string `json:"sockets"`
}

// Make builds the jail, whole or not at all.
func Make(spec Spec) error {
	if err := check(spec); err != nil {
		return err
	}
	if err := unix.Mkdir(spec.Dir, 0o755); err == unix.EEXIST {
		return fault.New("exists", spec.Dir, "%s exists already", spec.Dir)
	} else if err != nil {
		return fault.From(err, "making", spec.Dir)
	}
	err := fill(spec)
	if err != nil {
		_ = Remove(Where{Dir: spec.Dir, Sockets: spec.Sockets})
	}
	return err
}

// Remove takes the jail away, and the sockets; what is not there is no error.
func Remove(where Where) error {
	if err := fault.Clean(where.Dir, where.Sockets); err != nil {
		return err
	}
	if err := stack.Unmount(where.Dir); err != nil {
		return err
	}
	for _, path := range []string{where.Dir, where.Sockets} {
		if err := dirfd.Remove(path); err != nil {
			return fault.From(err, "removing", path)
		}
	}
	return nil
}

func check(spec Spec) error {
	if err := fault.Clean(spec.Dir, spec.Sockets); err != nil {
		return err
	}
	if spec.Root != "" && !filepath.IsLocal(spec.Root) || len(spec.Files) > files {
		return fault.New("bad_args", spec.Dir, "this is no jail")
	}
	for _, file := range spec.Files {
		if err := fault.Clean(file.Source); err != nil {
			return err
		}
		if !filepath.IsLocal(file.Name) || filepath.Base(file.Name) != file.Name || file.Name == "run" {
			return fault.New("bad_args", file.Source, "%.100q is no name in a jail", file.Name)
		}
	}
	return nil
}

func fill(spec Spec) error {
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if spec.Devices {
		flags = unix.MS_NOSUID
	}
	options := fmt.Sprintf("mode=0755,size=%s,nr_inodes=256", size)
	if err := unix.Mount("pyro-jail", spec.Dir, "tmpfs", flags, options); err != nil {
		return fault.From(err, "mounting at", spec.Dir)
	}
	root := filepath.Join(spec.Dir, spec.Root)
	if err := makeFolders(root); err != nil {
		return err
	}
	if err := makeSockets(spec); err != nil {
		return err
	}
	run := filepath.Join(root, "run")
	if err := unix.Mkdir(run, 0o755); err != nil {
		return fault.From(err, "making", run)
	}
	if err := bind(spec.Sockets, run, unix.O_DIRECTORY, 0, nil); err != nil {
		return err
	}
	for _, file := range spec.Files {
		target := filepath.Join(root, file.Name)
		empty, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return fault.From(err, "making", target)
		}
		empty.Close()
		attributes, wanted := uint64(0), uint32(6)
		if file.ReadOnly {
			attributes, wanted = unix.MOUNT_ATTR_RDONLY, 4
		}
		usable := func(st *unix.Stat_t) error { return usableBy(spec.Owner, st, wanted, file.Source) }
		if err := bind(file.Source, target, 0, attributes, usable); err != nil {
			return err
		}
	}
	return nil
}

// makeFolders is mkdir -p with modes that the umask has no say in: the machine's user passes them.
func makeFolders(root string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fault.From(err, "making", root)
	}
	for path := root; ; path = filepath.Dir(path) {
		if err := unix.Chmod(path, 0o755); err != nil {
			return fault.From(err, "making", path)
		}
		if mounted, err := stack.IsMountPoint(path); err != nil || mounted {
			return err
		}
	}
}

// makeSockets makes the folder that the process makes its sockets in. Its group is the engine's own: as an ordinary user
// the engine reaches the sockets as that group, which new files there inherit.
func makeSockets(spec Spec) error {
	if err := unix.Mkdir(spec.Sockets, 0o700); err != nil {
		return fault.From(err, "making", spec.Sockets)
	}
	err := unix.Lchown(spec.Sockets, int(spec.Owner.UID), os.Getgid())
	if err == nil {
		err = unix.Chmod(spec.Sockets, 0o2770)
	}
	if err != nil {
		return fault.From(err, "making", spec.Sockets)
	}
	return nil
}

// bind puts one file or folder of this machine at target. The source's last component may be no link: it is the very
// file that the engine made.
func bind(source string, target string, kind int, attributes uint64, usable func(*unix.Stat_t) error) error {
	fd, err := unix.Open(source, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC|kind, 0)
	if err != nil {
		return fault.From(err, "opening", source)
	}
	defer unix.Close(fd)
	if usable != nil {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fault.From(err, "looking at", source)
		}
		if err := usable(&st); err != nil {
			return err
		}
	}
	tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fault.From(err, "cloning the mount of", source)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: attributes | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fault.From(err, "setting mount attributes of", source)
	}
	err = unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return fault.From(err, "mounting at", target)
	}
	return nil
}

// usableBy tells early, and by name, what the process could only say as a failed open. wanted is r (4) and w (2).
func usableBy(owner stack.Owner, st *unix.Stat_t, wanted uint32, path string) error {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fault.New("bad_path", path, "%s is no plain file", path)
	}
	mode := st.Mode & 7
	switch {
	case st.Uid == owner.UID:
		mode = st.Mode >> 6 & 7
	case st.Gid == owner.GID:
		mode = st.Mode >> 3 & 7
	}
	if mode&wanted != wanted {
		return fault.New("bad_path", path, "%s may not be opened by the machine's user %d", path, owner.UID)
	}
	return nil
}
