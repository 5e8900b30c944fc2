// The first process of a test's machine: it says on each port what machine it finds itself in, and then echoes.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

type disk struct {
	Serial   string `json:"serial"`
	ReadOnly bool   `json:"read_only"`
	Sectors  string `json:"sectors"`
	Start    string `json:"start"`
	Wrote    bool   `json:"wrote"`
}

type report struct {
	Line  string   `json:"line"`
	CPUs  int      `json:"cpus"`
	Disks []disk   `json:"disks"`
	Ports []string `json:"ports"`
	Links []string `json:"links"`
	RNG   string   `json:"rng"`
	// Milliseconds that a sleep of 100 took, by the machine's own clock.
	Slept int64 `json:"slept"`
}

func main() {
	for _, one := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		check(syscall.Mount(one[0], one[1], one[0], 0, ""))
	}
	for _, name := range modules() {
		file, err := os.Open("/modules/" + name)
		check(err)
		empty := []byte{0}
		if _, _, errno := syscall.Syscall(313, file.Fd(), uintptr(unsafe.Pointer(&empty[0])), 0); errno != 0 {
			fmt.Println("module", name, errno)
		}
	}
	line := read("/proc/cmdline")
	until(func() bool { return len(glob("/sys/block/vd*")) >= strings.Count(line, "=serial:") })
	until(func() bool { return len(glob("/sys/class/virtio-ports/vport*/name")) >= 3 })
	said := report{Line: line, CPUs: runtime.NumCPU(), RNG: read("/sys/class/misc/hw_random/rng_current")}
	for _, path := range glob("/sys/block/vd*") {
		said.Disks = append(said.Disks, look(path))
	}
	links, _ := net.Interfaces()
	for _, link := range links {
		said.Links = append(said.Links, link.Name)
	}
	began := time.Now()
	time.Sleep(100 * time.Millisecond)
	said.Slept = time.Since(began).Milliseconds()
	ports := glob("/sys/class/virtio-ports/vport*/name")
	for _, path := range ports {
		said.Ports = append(said.Ports, read(path))
	}
	data, _ := json.Marshal(said)
	for _, path := range ports {
		file, err := os.OpenFile("/dev/"+filepath.Base(filepath.Dir(path)), os.O_RDWR, 0)
		check(err)
		go serve(file, data)
	}
	fmt.Println("the test's machine is up")
	select {}
}

// modules that the disks, the ports and the clock of either bus need, as the guest's own first process loads them.
func modules() (names []string) {
	for _, list := range []string{"order", "order.pci", "order.disk", "order.port", "order.late"} {
		names = append(names, strings.Fields(read("/modules/"+list))...)
	}
	return names
}

func serve(port *os.File, report []byte) {
	for {
		for lines := bufio.NewScanner(port); lines.Scan(); {
			switch lines.Text() {
			case "report":
				fmt.Fprintf(port, "%s\n", report)
			case "off":
				syscall.Sync()
				check(syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF))
			case "restart":
				check(syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART))
			case "panic":
				os.Exit(1)
			default:
				fmt.Fprintln(port, "echo", lines.Text())
			}
		}
		time.Sleep(10 * time.Millisecond) // Nobody is connected.
	}
}

func look(path string) disk {
	one := disk{Serial: read(path + "/serial"), ReadOnly: read(path+"/ro") == "1", Sectors: read(path + "/size")}
	start := make([]byte, 16)
	if file, err := os.Open("/dev/" + filepath.Base(path)); err == nil {
		_, _ = file.ReadAt(start, 0)
		one.Start = strings.TrimRight(string(start), "\x00")
	}
	if file, err := os.OpenFile("/dev/"+filepath.Base(path), os.O_RDWR, 0); err == nil {
		_, err = file.WriteAt([]byte("from the guest"), 4096)
		one.Wrote = err == nil && file.Sync() == nil
	}
	return one
}

func until(done func() bool) {
	for end := time.Now().Add(10 * time.Second); !done() && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

func glob(pattern string) []string {
	found, _ := filepath.Glob(pattern)
	return found
}

func read(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}

func check(err error) {
	if err != nil {
		fmt.Println("the test's machine failed:", err)
		os.Exit(1)
	}
}
