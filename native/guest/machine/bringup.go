package machine

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"pyro/native/guest/agent"
	"pyro/native/guest/session"
)

// channels are the classes of connections: by port name over virtio-serial, by port number over vsock.
var channels = []struct {
	name string
	port uint32
}{{"pyro.control", 1024}, {"pyro.bulk", 1025}, {"pyro.network", 1026}}

// bringUp goes as far as is needed to serve. What waits for a device goes on beside what works: a machine has few processors,
// and boots cold for somebody who waits.
func (m *machine) bringUp() ([]net.Listener, error) {
	if err := mountAll(early); err != nil {
		return nil, err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	if m.params, err = Parse(string(line)); err != nil {
		return nil, err
	}
	if err := m.loadBuses(); err != nil {
		return nil, err
	}
	// Ports appear a while after their driver, in which the disks can be mounted.
	if err := loadModules(m.portModules()); err != nil {
		return nil, err
	}
	err = together(
		func() error { return then(loadModules("/modules/order.disk"), m.mountChanges) },
		func() error { return loadModules("/modules/order.root") },
	)
	if err != nil {
		return nil, err
	}
	if m.hub, err = unix.Open(hub, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if m.params.Inspect {
		m.target = filepath.Join(hub, "workspace")
		return m.listen()
	}
	if err := then(mountDisk(m.params.Env, "env", "erofs", unix.MS_RDONLY|unix.MS_NODEV, ""), makeRoot); err != nil {
		return nil, err
	}
	return m.listen()
}

// loadBuses makes the devices known that everything else is a driver of.
func (m *machine) loadBuses() error {
	if err := loadModules("/modules/order"); err != nil {
		return err
	}
	if devices, _ := os.ReadDir("/sys/bus/pci/devices"); len(devices) == 0 {
		return nil
	}
	return loadModules("/modules/order.pci")
}

func (m *machine) portModules() string {
	if m.params.Vsock {
		return "/modules/order.vsock"
	}
	return "/modules/order.port"
}

// listen waits for the first port alone: only control is asked for at once.
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
		port := &latePort{name: channel.name}
		if len(listeners) == 0 {
			if _, err := port.open(); err != nil {
				return nil, err
			}
		}
		listeners = append(listeners, port)
	}
	return listeners, nil
}

// finish does what no answer but a command's waits for, when it is first asked to, and gives what the first of them waits by:
// the control group that they are started into. A machine that can't do it ends.
func (m *machine) finish() (prepared func() int) {
	return sync.OnceValue(func() int {
		group := -1
		err := then(then(m.furnish(), loopback), func() (err error) {
			group, err = jobsGroup(m.params.Pids)
			return err
		})
		if err != nil {
			say("the machine can't go on: %v", err)
			end()
		}
		// The root covers the initramfs; this keeps its modules in reach.
		modules, err := unix.Open(m.hubPath("../modules"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			go loadLate(modules)
		}
		return group
	})
}

// loadLate loads what makes things only better, and gives back the memory of all that was loaded.
func loadLate(modules int) {
	defer unix.Close(modules)
	dir := filepath.Join("/proc/self/fd", strconv.Itoa(modules))
	if err := loadModules(filepath.Join(dir, "order.late")); err != nil {
		say("%v", err)
	}
	files, _ := os.ReadDir(dir)
	for _, file := range files {
		_ = os.Remove(filepath.Join(dir, file.Name()))
	}
}

// then goes on where nothing has failed.
func then(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// together waits for all.
func together(steps ...func() error) error {
	failures := make([]error, len(steps))
	var all sync.WaitGroup
	for i, step := range steps {
		all.Go(func() { failures[i] = step() })
	}
	all.Wait()
	return errors.Join(failures...)
}
