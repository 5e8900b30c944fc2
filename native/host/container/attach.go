package container

import (
	"runtime"

	"golang.org/x/sys/unix"

	"pyro/native/host/process"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// AttachSpec is a mount of the holder to put into a running sandbox.
type AttachSpec struct {
	Pid       int    `json:"pid"`
	StartTime uint64 `json:"start_time"`
	Source    string `json:"source"`
	Target    string `json:"target"`
}

// Attach clones source as it is mounted here, and moves the clone onto target inside the sandbox.
func Attach(spec AttachSpec) error {
	if err := fault.Clean(spec.Source, spec.Target); err != nil {
		return err
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, spec.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fault.From(err, "cloning the mount of", spec.Source)
	}
	defer unix.Close(tree)
	descriptor, err := unix.PidfdOpen(spec.Pid, 0)
	if err != nil {
		return fault.New("process_gone", "", "process %d is not there: %v", spec.Pid, err)
	}
	defer unix.Close(descriptor)
	if !process.Same(spec.Pid, spec.StartTime) {
		return fault.New("process_gone", "", "process %d is another one or has ended", spec.Pid)
	}
	return onThrowawayThread(func() error { return moveInto(descriptor, tree, spec) })
}

func moveInto(process int, tree int, spec AttachSpec) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fault.From(err, "leaving the shared working directory for", spec.Target)
	}
	if err := unix.Setns(process, unix.CLONE_NEWNS); err != nil {
		return fault.From(err, "entering the sandbox for", spec.Target)
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fault.From(err, "opening the sandbox's root for", spec.Target)
	}
	defer unix.Close(root)
	target, err := dirfd.OpenHow(root, spec.Target, unix.O_PATH|unix.O_DIRECTORY,
		unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	switch err {
	case nil:
	case unix.ENOENT:
		return fault.New("target_not_found", spec.Target, "%s does not exist in the sandbox", spec.Target)
	case unix.ELOOP, unix.ENOTDIR:
		return fault.New("target_not_directory", spec.Target, "%s is no plain directory in the sandbox", spec.Target)
	default:
		return fault.From(err, "opening in the sandbox", spec.Target)
	}
	defer unix.Close(target)
	err = unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return fault.From(err, "mounting in the sandbox at", spec.Target)
	}
	return nil
}

// onThrowawayThread runs work on a thread that ends with it, as the namespaces it enters stay with the thread.
// Never on the main one: /proc/self speaks for that thread.
func onThrowawayThread(work func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// Holding this thread makes the next goroutine run on another.
			defer runtime.UnlockOSThread()
			result <- onThrowawayThread(work)
			return
		}
		result <- work()
	}()
	return <-result
}
