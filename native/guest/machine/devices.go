package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	serialPrefix = "serial:"
	// deviceTimeout bounds the wait for a device that the host promised.
	deviceTimeout = 10 * time.Second
)

// loadModules loads what a list of the initramfs names, one file a line, each after those it needs. No list is no error.
func loadModules(list string) error {
	names, err := os.ReadFile(list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(names)) {
		if err := loadModule(filepath.Join(filepath.Dir(list), name)); err != nil {
			return fmt.Errorf("load the module %s: %w", name, err)
		}
	}
	return nil
}

func loadModule(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Lists overlap in what they need.
	if err := unix.FinitModule(fd, "", 0); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

// await looks again and again, as devices are announced a moment after their driver is there.
func await(what string, look func() bool) error {
	for deadline := time.Now().Add(deviceTimeout); !look(); time.Sleep(500 * time.Microsecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not appear within %v", what, deviceTimeout)
		}
	}
	return nil
}

// findDisk is the path of a disk's device.
func findDisk(disk string) (string, error) {
	var found string
	err := await("the disk "+disk, func() bool {
		found = lookForDisk(disk, "/sys/block", "/dev")
		return found != ""
	})
	return found, err
}

func lookForDisk(disk, block, dev string) string {
	serial, bySerial := strings.CutPrefix(disk, serialPrefix)
	if !bySerial {
		if _, err := os.Stat(disk); err != nil {
			return ""
		}
		return disk
	}
	if name := entryThatSays(block, "vd", "serial", serial); name != "" {
		return filepath.Join(dev, name)
	}
	return ""
}

// openPort waits for the virtio-serial port of this name. Its descriptor does not block: sessions have deadlines.
func openPort(name string) (*os.File, error) {
	var fd int
	var failure error
	err := await("the port "+name, func() bool {
		device := lookForPort(name, "/sys/class/virtio-ports")
		if device == "" {
			return false
		}
		fd, failure = unix.Open("/dev/"+device, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		return failure != unix.ENOENT
	})
	if err == nil && failure != nil {
		err = fmt.Errorf("open the port %s: %w", name, failure)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func lookForPort(name, class string) string { return entryThatSays(class, "vport", "name", name) }

// entryThatSays is the directory below dir whose file of this name has this content.
func entryThatSays(dir, prefix, file, content string) string {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		if said, err := os.ReadFile(filepath.Join(dir, entry.Name(), file)); err == nil && strings.TrimSpace(string(said)) == content {
			return entry.Name()
		}
	}
	return ""
}
