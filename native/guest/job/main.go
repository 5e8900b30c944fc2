// Package job is the supervisor of one job: a process that every process of the job stays below, however often it forks,
// whatever session it opens and whatever it does to its environment. It runs one job after another, and only one at a time.
package job

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guest/link"
	"pyro/native/guest/proc"
	"pyro/native/guest/signals"
)

// controlFD is where init put the link.
const controlFD = 3

type supervisor struct {
	end   *link.End
	mu    sync.Mutex // held while a child is reaped, so that no number is signalled after it was given away
	main  int        // the main process while it lives
	empty chan struct{}
	kills sync.WaitGroup
	cpu   time.Duration
	peak  int64
}

// Main serves orders until init goes away; then nothing of the job may stay.
func Main([]string) int {
	if err := settle(); err != nil {
		return 1
	}
	s := &supervisor{end: link.NewEnd(controlFD)}
	for {
		order, fds, err := s.end.Receive()
		if err != nil {
			s.kill(0)
			return 0
		}
		switch order.Op {
		case "run":
			s.run(order.Run, fds)
		case "signal":
			s.signal(unix.Signal(order.Signal))
		case "kill":
			grace := time.Duration(order.GraceMS) * time.Millisecond
			s.kills.Go(func() { s.kill(grace) })
		}
	}
}

// settle makes this process fit for its place: what a job sends to everything it can reach must not end it. The
// stops of a terminal (SIGTSTP and its like) have no effect on it anyway: it leads a session without one.
func settle() error {
	_ = unix.CloseRange(controlFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	unix.CloseOnExec(controlFD)
	signals.Shrug(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGABRT, unix.SIGTRAP,
		unix.SIGSYS, unix.SIGSTKFLT, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

func (s *supervisor) signal(sig unix.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.main > 0 {
		_ = unix.Kill(-s.main, sig)
	}
}

// kill ends the whole tree. Init bounds how long it waits for that; here it goes on until nothing is left.
func (s *supervisor) kill(grace time.Duration) {
	s.mu.Lock()
	empty := s.empty
	s.mu.Unlock()
	if empty == nil {
		return
	}
	self := os.Getpid()
	proc.Kill(func() []proc.Process { return proc.Below(self, nil) }, grace, time.Hour, empty)
}
