package machine

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	cgroups    = "/sys/fs/cgroup"
	jobsCgroup = cgroups + "/jobs"
)

// jobsGroup makes the control group of the user's commands and bounds how many processes they are. The descriptor is what
// they are started into.
func jobsGroup(pids int) (int, error) {
	if err := os.WriteFile(cgroups+"/cgroup.subtree_control", []byte("+pids +memory +cpu"), 0); err != nil {
		return -1, fmt.Errorf("enable the controllers: %w", err)
	}
	if err := os.Mkdir(jobsCgroup, 0o755); err != nil && !os.IsExist(err) {
		return -1, err
	}
	if pids > 0 {
		if err := os.WriteFile(jobsCgroup+"/pids.max", []byte(strconv.Itoa(pids)), 0); err != nil {
			return -1, fmt.Errorf("limit the processes: %w", err)
		}
	}
	return unix.Open(jobsCgroup, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// loopback brings up the only network interface there is; the kernel gives it its addresses.
func loopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return nil
}
