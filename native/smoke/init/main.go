// The first process of the emulated machine that a smoke test runs in: it loads modules, puts a writable layer over the
// host's file tree, which it was given read-only, runs one command there, says how that ended, and powers off.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// task is /task.json of the initramfs.
type task struct {
	Argv []string `json:"argv"`
	// NAME=VALUE.
	Env []string `json:"env"`
	Cwd string   `json:"cwd"`
	// Scratch is where the machine's own disk is mounted: state lies on a file system that the host could have too.
	Scratch string `json:"scratch"`
}

const (
	modules = "/modules"
	root    = "/newroot"
	// Mark begins the last line, which carries the command's exit status.
	mark = "smoke: exit "
)

func main() {
	status, err := run()
	if err != nil {
		fmt.Println("smoke: the emulated machine is not right:", err)
		status = 70
	}
	fmt.Printf("\n%s%d\n", mark, status)
	unix.Sync()
	time.Sleep(100 * time.Millisecond) // The serial line's queue has to drain.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func run() (int, error) {
	before := []mount{{"proc", "/proc", "proc", 0, ""}, {"sysfs", "/sys", "sysfs", 0, ""}, {"dev", "/dev", "devtmpfs", 0, ""}}
	if err := mountAll(before); err != nil {
		return 0, err
	}
	// The first serial line is the kernel's.
	if line, err := os.OpenFile("/dev/ttyS1", os.O_WRONLY, 0); err == nil {
		_ = unix.Dup2(int(line.Fd()), 1)
		_ = unix.Dup2(int(line.Fd()), 2)
	}
	var todo task
	data, err := os.ReadFile("/task.json")
	if err == nil {
		err = json.Unmarshal(data, &todo)
	}
	if err == nil {
		err = loadModules()
	}
	if err != nil {
		return 0, err
	}
	if err := waitFor("/dev/vda"); err != nil {
		return 0, err
	}
	err = mountAll([]mount{
		{"host", "/host", "9p", unix.MS_RDONLY, "trans=virtio,version=9p2000.L,msize=512000,cache=loose"},
		{"tmpfs", "/over", "tmpfs", 0, ""},
	})
	if err != nil {
		return 0, err
	}
	for _, folder := range []string{"/over/upper", "/over/work"} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return 0, err
		}
	}
	err = mountAll([]mount{
		{"overlay", root, "overlay", 0, "lowerdir=/host,upperdir=/over/upper,workdir=/over/work"},
		{"proc", root + "/proc", "proc", 0, ""},
		{"sysfs", root + "/sys", "sysfs", 0, ""},
		{"dev", root + "/dev", "devtmpfs", 0, ""},
		{"devpts", root + "/dev/pts", "devpts", 0, ""},
		{"tmpfs", root + "/run", "tmpfs", 0, ""},
		{"cgroup2", root + "/sys/fs/cgroup", "cgroup2", 0, ""},
		{"/dev/vda", root + todo.Scratch, "ext4", 0, ""},
	})
	if err != nil {
		return 0, err
	}
	controllers := root + "/sys/fs/cgroup/cgroup.subtree_control"
	if err := os.WriteFile(controllers, []byte("+cpu +memory +pids"), 0); err != nil {
		return 0, err
	}
	if err := raiseLoopback(); err != nil {
		return 0, err
	}
	// The sandboxes' holder makes mounts of its own: a root that was only changed to cannot be pivoted away from.
	if err := unix.Chdir(root); err != nil {
		return 0, err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return 0, fmt.Errorf("moving the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return 0, err
	}
	return command(todo)
}

func command(todo task) (int, error) {
	child := exec.Command(todo.Argv[0], todo.Argv[1:]...)
	child.Env, child.Dir = todo.Env, todo.Cwd
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		return 0, err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case pid == child.Process.Pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case pid == child.Process.Pid:
			return status.ExitStatus(), nil
		}
	}
}

func mountAll(mounts []mount) error {
	for _, one := range mounts {
		if err := os.MkdirAll(one.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(one.source, one.target, one.kind, one.flags, one.data); err != nil {
			return fmt.Errorf("mounting %s at %s: %w", one.kind, one.target, err)
		}
	}
	return nil
}

// loadModules loads what /modules/order lists, one file name a line, each after what it needs.
func loadModules() error {
	order, err := os.ReadFile(modules + "/order")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
		file, err := os.Open(filepath.Join(modules, name))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(file.Fd()), "", 0)
		file.Close()
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("loading %s: %w", name, err)
		}
	}
	return nil
}

func waitFor(path string) error {
	for range 500 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s did not appear", path)
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}
