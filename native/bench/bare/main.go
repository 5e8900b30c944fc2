// Command bare is what a machine is measured against: an init that loads what a port needs, opens one and does no more than
// it is told on it. It says one byte, R, when it is there, and then takes one line:
//
//	echo      sends back what comes
//	pour N    writes N bytes
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

func run() error {
	for target, kind := range map[string]string{"/dev": "devtmpfs", "/sys": "sysfs"} {
		if err := unix.Mount(kind, target, kind, 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	for _, list := range []string{"/modules/order", "/modules/order.port"} {
		names, err := os.ReadFile(list)
		if err != nil {
			return err
		}
		for name := range strings.FieldsSeq(string(names)) {
			if err := load("/modules/" + name); err != nil {
				return fmt.Errorf("load %s: %w", name, err)
			}
		}
	}
	port, err := open("pyro.control")
	if err != nil {
		return err
	}
	if _, err := unix.Write(port, []byte("R")); err != nil {
		return err
	}
	return serve(port)
}

func load(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.FinitModule(fd, "", 0)
}

func open(name string) (int, error) {
	for range 10_000 {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, path := range names {
			if said, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(said)) == name {
				return unix.Open("/dev/"+filepath.Base(filepath.Dir(path)), unix.O_RDWR, 0)
			}
		}
		time.Sleep(500 * time.Microsecond)
	}
	return -1, unix.ENODEV
}

func serve(port int) error {
	buffer := make([]byte, 1<<20)
	var line []byte
	for !bytes.HasSuffix(line, []byte("\n")) {
		n, err := unix.Read(port, buffer[:1])
		if err != nil || n == 0 {
			return err
		}
		line = append(line, buffer[:n]...)
	}
	if count, isPour := strings.CutPrefix(strings.TrimSpace(string(line)), "pour "); isPour {
		left, err := strconv.Atoi(count)
		for ; err == nil && left > 0; left -= min(left, len(buffer)) {
			err = write(port, buffer[:min(left, len(buffer))])
		}
		// The machine stays until it is ended: what is under way would go with it.
		time.Sleep(time.Minute)
		return err
	}
	for {
		n, err := unix.Read(port, buffer)
		if err != nil || n == 0 {
			return err
		}
		if err := write(port, buffer[:n]); err != nil {
			return err
		}
	}
}

func write(port int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(port, data)
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
