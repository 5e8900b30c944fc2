package proc

import (
	"time"

	"golang.org/x/sys/unix"
)

// signal reaches the process that was seen, never one that got its number since.
func signal(p Process, sig unix.Signal) {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		_ = unix.Kill(p.Pid, sig)
		return
	}
	defer unix.Close(fd)
	if again, ok := read(p.Pid); ok && again.Born == p.Born {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}

// Kill ends everything that list names: a request, a grace, then force. Stopping all before killing any keeps a tree that
// forks faster than we look from growing behind our back. It is done when list is empty or the limit has passed.
func Kill(list func() []Process, grace, limit time.Duration, empty <-chan struct{}) bool {
	deadline := time.Now().Add(grace + limit)
	if grace > 0 {
		for _, p := range list() {
			signal(p, unix.SIGTERM)
			signal(p, unix.SIGCONT)
		}
		if settle(list, grace, empty) {
			return true
		}
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		stopAll(list)
		for _, p := range list() {
			signal(p, unix.SIGKILL)
		}
		if settle(list, pause, empty) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

func stopAll(list func() []Process) {
	stopped := map[Process]bool{}
	for range 100 {
		fresh := 0
		for _, p := range list() {
			p.State, p.Parent = 0, 0
			if !stopped[p] {
				stopped[p] = true
				fresh++
				signal(p, unix.SIGSTOP)
			}
		}
		if fresh == 0 {
			return
		}
	}
}

// settle waits for the end of the tree: told of it where somebody can tell, else by looking again.
func settle(list func() []Process, wait time.Duration, empty <-chan struct{}) bool {
	deadline := time.Now().Add(wait)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left := time.Until(deadline)
		if empty == nil {
			if len(list()) == 0 {
				return true
			}
			left = min(left, pause)
		}
		select {
		case <-empty:
			return true
		case <-time.After(max(left, 0)):
		}
		if !time.Now().Before(deadline) {
			return empty == nil && len(list()) == 0
		}
	}
}
