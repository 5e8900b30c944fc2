package stack

import (
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Idmap says: ids 0..Size-1 on disk appear as Base..Base+Size-1.
type Idmap struct {
	Base uint32 `json:"base"`
	Size uint32 `json:"size"`
}

var (
	namespaceLock sync.Mutex
	namespaces    = map[Idmap]int{}
)

// userNamespace returns a descriptor of a user namespace with this mapping. Making one costs a process, so
// they are kept: a hand sees few ranges. The caller holds namespaceLock while it uses the descriptor.
func userNamespace(idmap Idmap) (int, error) {
	if fd, ok := namespaces[idmap]; ok {
		return fd, nil
	}
	for key, fd := range namespaces {
		if len(namespaces) < 32 {
			break
		}
		unix.Close(fd)
		delete(namespaces, key)
	}
	fd, err := newUserNamespace(idmap)
	if err == nil {
		namespaces[idmap] = fd
		time.AfterFunc(prefetchDelay, func() { prefetch(Idmap{Base: idmap.Base + idmap.Size, Size: idmap.Size}) })
	}
	return fd, err
}

// prefetchDelay keeps the next namespace's process out of the way of the sandbox that is starting.
const prefetchDelay = 20 * time.Millisecond

// prefetch makes the namespace of the range that is most likely asked for next, so that nobody waits for its process.
func prefetch(idmap Idmap) {
	namespaceLock.Lock()
	defer namespaceLock.Unlock()
	if _, ok := namespaces[idmap]; ok || len(namespaces) >= 32 || uint64(idmap.Base)+uint64(idmap.Size) > 1<<31 {
		return
	}
	if fd, err := newUserNamespace(idmap); err == nil {
		namespaces[idmap] = fd
	}
}

// newUserNamespace starts a process only for its namespace. It is killed at once; as it is not reaped before
// the namespace is open, it does not matter how far it came.
func newUserNamespace(idmap Idmap) (int, error) {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(idmap.Base), Size: int(idmap.Size)}}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"pyro-native", "version"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids},
	})
	if err != nil {
		return -1, fmt.Errorf("a user namespace for ids %d..: %w", idmap.Base, err)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/user", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	_ = unix.Kill(pid, unix.SIGKILL)
	for {
		if _, waitErr := unix.Wait4(pid, nil, 0, nil); waitErr != unix.EINTR {
			break
		}
	}
	return fd, err
}

// idmapTree gives a detached clone of a mount the mapping.
func idmapTree(tree int, idmap Idmap) error {
	namespaceLock.Lock()
	defer namespaceLock.Unlock()
	namespace, err := userNamespace(idmap)
	if err != nil {
		return err
	}
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set:  unix.MOUNT_ATTR_IDMAP,
		Userns_fd: uint64(namespace),
	})
}

// CanIdmap really tries it on the mount that holds path.
func CanIdmap(path string) bool {
	tree, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(tree)
	return idmapTree(tree, Idmap{Base: 1_000_000, Size: 65536}) == nil
}
