// Package machine is PID 1 of a machine: the init of our initramfs. It loads the few modules that are needed, mounts the
// disks, stacks the root and serves, as the init of a container does; the host then asks it for its /workspace.
package machine

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guest/agent"
	"pyro/native/guest/boot"
	"pyro/native/guest/jobs"
	"pyro/native/guest/past"
	"pyro/native/guest/session"
)

const (
	spoolDir = "/run/pyro/spool"
	// lease is how long a reader that went away is waited for; as in a container.
	lease = 10 * time.Second
)

// channels are the classes of connections: by port name over virtio-serial, by port number over vsock.
var channels = []struct {
	name string
	port uint32
}{{"pyro.control", 1024}, {"pyro.bulk", 1025}, {"pyro.network", 1026}}

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
	m, err := start()
	if err != nil {
		return err
	}
	listeners, err := m.listen()
	if err != nil {
		return err
	}
	service := boot.Service{Listeners: listeners, Machine: m, Ended: m.seal}
	if m.params.Inspect {
		service.Past = &past.Jobs{Dir: m.hubPath("changes/spool")}
	} else {
		group, err := jobsGroup(m.params.Pids)
		if err != nil {
			return err
		}
		service.Jobs = &jobs.Config{Spool: spoolDir, Self: "/proc/self/exe", Lease: lease, Cgroup: group, Ended: m.writeOutSoon}
	}
	err = boot.Serve(service)
	killAll()
	m.seal()
	return err
}

// start brings the machine up to where it can serve.
func start() (*machine, error) {
	if err := mountAll(early); err != nil {
		return nil, err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	m := &machine{workspace: -1, target: "/workspace"}
	if m.params, err = Parse(string(line)); err != nil {
		return nil, err
	}
	if err := m.modules(); err != nil {
		return nil, err
	}
	if err := mountDisks(m.params); err != nil {
		return nil, err
	}
	if m.hub, err = unix.Open(hub, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if m.params.Inspect {
		m.target = filepath.Join(hub, "workspace")
		return m, nil
	}
	if err := makeRoot(); err != nil {
		return nil, err
	}
	if err := m.furnish(); err != nil {
		return nil, err
	}
	return m, loopback()
}

func (m *machine) modules() error {
	lists := []string{"/modules/order"}
	if devices, _ := os.ReadDir("/sys/bus/pci/devices"); len(devices) > 0 {
		lists = append(lists, "/modules/order.pci")
	}
	if m.params.Vsock {
		lists = append(lists, "/modules/order.vsock")
	}
	for _, list := range lists {
		if err := loadModules(list); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) listen() ([]net.Listener, error) {
	listeners := make([]net.Listener, 0, len(channels))
	for _, channel := range channels {
		if m.params.Vsock {
			l, err := session.ListenVsock(channel.port)
			if err != nil {
				return nil, err
			}
			listeners = append(listeners, agent.Bounded(l))
			continue
		}
		port, err := openPort(channel.name)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, session.Listen(port))
	}
	return listeners, nil
}

// hubPath names what lies below the hub through its descriptor.
func (m *machine) hubPath(name string) string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(m.hub), name)
}
