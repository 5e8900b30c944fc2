package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/stack"
)

// hub is where the disks are mounted. It lies in the initramfs, which the root covers: no command sees them.
const hub = "/mnt"

const nothing = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func (m mount) make() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", m.kind, m.target, err)
	}
	return nil
}

func mountAll(mounts []mount) error {
	for _, m := range mounts {
		// Some are there already, by the kernel.
		if err := m.make(); err != nil && !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return nil
}

// early is what is needed to find the disks.
var early = []mount{
	{"proc", "/proc", "proc", nothing, ""},
	{"sys", "/sys", "sysfs", nothing, ""},
	{"dev", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755"},
}

// late is what programs expect around them, in the root.
var late = []mount{
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=620,gid=5,ptmxmode=666"},
	{"shm", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"mqueue", "/dev/mqueue", "mqueue", nothing, ""},
	{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
	{"cgroup", "/sys/fs/cgroup", "cgroup2", nothing, ""},
}

var links = map[string]string{
	"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
}

// mountChanges brings the disk of changes below the hub.
func (m *machine) mountChanges() error {
	disk := m.params.Changes
	if !m.params.Inspect {
		return mountDisk(disk, "changes", "ext4", unix.MS_NODEV|unix.MS_NOATIME, "")
	}
	// A machine that was not stopped in order left a part of its changes in the journal. Where the disk takes writes they
	// are put in their places; where it does not, what is in place is all that can be seen.
	err := mountDisk(disk, "changes", "ext4", unix.MS_RDONLY|unix.MS_NODEV, "")
	if err != nil {
		err = mountDisk(disk, "changes", "ext4", unix.MS_RDONLY|unix.MS_NODEV, "noload")
	}
	return err
}

func mountDisk(disk, name, kind string, flags uintptr, data string) error {
	device, err := findDisk(disk)
	if err != nil {
		return err
	}
	return mount{device, filepath.Join(hub, name), kind, flags, data}.make()
}

// makeRoot stacks the root and makes it this process's.
func makeRoot() error {
	root := filepath.Join(hub, "root")
	changes := filepath.Join(hub, "changes")
	for _, dir := range []string{"root/upper", "root/work", "workspace/upper", "workspace/work", "spool"} {
		if err := os.MkdirAll(filepath.Join(changes, dir), 0o755); err != nil {
			return err
		}
	}
	if err := overlay(root, unix.MS_NODEV, filepath.Join(changes, "root"), filepath.Join(hub, "env")); err != nil {
		return err
	}
	for _, m := range early {
		target := filepath.Join(root, m.target)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.target, target, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", m.target, err)
		}
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	return unix.Chdir("/")
}

// furnish mounts what programs expect, and the spools, into the root.
func (m *machine) furnish() error {
	if err := mountAll(late); err != nil {
		return err
	}
	for path, target := range links {
		if err := os.Symlink(target, path); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return mount{m.hubPath("changes/spool"), spoolDir, "", unix.MS_BIND, ""}.make()
}

// overlay mounts the upper and work directories in changes above sealed layers, topmost first.
func overlay(target string, flags uintptr, changes string, lowers ...string) error {
	data := fmt.Sprintf("%s,upperdir=%s/upper,workdir=%s/work", stack.Options, changes, changes)
	return layers(target, flags, data, lowers)
}

func layers(target string, flags uintptr, data string, lowers []string) error {
	data += ",lowerdir="
	for i, lower := range lowers {
		if i > 0 {
			data += ":"
		}
		data += lower
	}
	return mount{"overlay", target, "overlay", flags, data}.make()
}
