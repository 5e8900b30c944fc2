// Package machine is PID 1 of a machine: the init of our initramfs. It loads the few modules that are needed, mounts the
// disks, stacks the root and serves, as the init of a container does; the host then asks it for its /workspace.
package machine

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guest/boot"
	"pyro/native/guest/jobs"
	"pyro/native/guest/past"
)

const (
	spoolDir = "/run/pyro/spool"
	// lease is how long a reader that went away is waited for; as in a container.
	lease = 10 * time.Second
)

type machine struct {
	params Params
	hub    int    // open directory, as its path is covered by the root
	target string // where /workspace is mounted

	lock          sync.Mutex
	workspace     int // open directory; -1 until it is mounted
	seeded        bool
	ended, sealed bool
	writing       bool
}

// IsInit says that the kernel has started this program as the init of our initramfs.
func IsInit() bool { return os.Getpid() == 1 && os.Args[0] == "/init" }

// Main runs the machine to its end, which is the machine's.
func Main([]string) int {
	// Ctrl-Alt-Del, which is how a host may ask, is a signal and not an end without notice.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	if err := run(); err != nil {
		say("the machine can't go on: %v", err)
	}
	end()
	return 1
}

func run() error {
	m := &machine{workspace: -1, target: "/workspace"}
	listeners, err := m.bringUp()
	if err != nil {
		return err
	}
	service := boot.Service{Listeners: listeners, Machine: m, Ended: m.seal}
	if m.params.Inspect {
		service.Past = &past.Jobs{Dir: m.hubPath("changes/spool")}
	} else {
		service.WarmLate = true
		service.Jobs = &jobs.Config{Spool: spoolDir, Self: "/proc/self/exe", Lease: lease, Prepare: m.finish(), Ended: m.writeOutSoon}
		service.Past = &past.Jobs{Dir: spoolDir}
	}
	err = boot.Serve(service)
	killAll()
	m.seal()
	return err
}

// hubPath names what lies below the hub through its descriptor.
func (m *machine) hubPath(name string) string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(m.hub), name)
}
