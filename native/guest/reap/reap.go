// Package reap starts init's own children and reaps everybody's: whoever loses its parent in a sandbox becomes init's child.
package reap

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

type Reaper struct {
	mu   sync.Mutex
	ours map[int]chan struct{}
}

func New() *Reaper {
	r := &Reaper{ours: map[int]chan struct{}{}}
	wake := make(chan os.Signal, 1)
	signal.Notify(wake, syscall.SIGCHLD)
	go func() {
		for {
			r.reap()
			<-wake
		}
	}()
	return r
}

// Start runs a child; the channel is closed when it is gone. The lock keeps its end from being reaped before it is known.
func (r *Reaper) Start(path string, argv []string, attr *syscall.ProcAttr) (int, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, nil, err
	}
	gone := make(chan struct{})
	r.ours[pid] = gone
	return pid, gone, nil
}

// Kill is safe against numbers that were given away again: a child we haven't reaped keeps its own.
func (r *Reaper) Kill(pid int, sig syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.ours[pid]; ok {
		_ = syscall.Kill(pid, sig)
	}
}

// Ours are the children that init started itself; all others are orphans.
func (r *Reaper) Ours() map[int]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	pids := make(map[int]bool, len(r.ours))
	for pid := range r.ours {
		pids[pid] = true
	}
	return pids
}

func (r *Reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if gone, ok := r.ours[pid]; ok {
			delete(r.ours, pid)
			close(gone)
		}
	}
}
