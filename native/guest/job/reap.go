package job

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guest/link"
	"pyro/native/guest/proc"
)

// reap waits for every process of the tree until none is left: whoever loses its parent becomes our child, so "no
// children" is "no tree". The peak starts at this process's own size, which the kernel hands down to what it starts.
func (s *supervisor) reap() {
	for {
		var ready unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &ready, unix.WEXITED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			break
		}
		s.collect()
	}
	s.mu.Lock()
	report := link.Report{Op: "empty", CPUMS: s.cpu.Milliseconds(), PeakBytes: s.peak}
	close(s.empty)
	s.empty = nil
	s.mu.Unlock()
	_ = s.end.Send(report)
}

// collect reaps all that are ready and, when the main process was one of them, tells its end.
func (s *supervisor) collect() {
	var ended *link.Report
	s.mu.Lock()
	alone := false
	for {
		var status unix.WaitStatus
		var usage unix.Rusage
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, &usage)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			alone = err != nil
			break
		}
		s.cpu += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		s.peak = max(s.peak, usage.Maxrss*1024)
		if pid == s.main {
			s.main = 0
			ended = exited(status)
		}
	}
	if ended != nil {
		ended.CPUMS, ended.PeakBytes = s.cpu.Milliseconds(), s.peak
	}
	s.mu.Unlock()
	if ended == nil {
		return
	}
	ended.Alone = alone
	if !alone {
		ended.Survivors = len(proc.Below(os.Getpid(), nil))
	}
	_ = s.end.Send(*ended)
}

func exited(status unix.WaitStatus) *link.Report {
	report := &link.Report{Op: "exited"}
	if status.Signaled() {
		report.Signal = int(status.Signal())
	} else {
		code := status.ExitStatus()
		report.Exit = &code
	}
	return report
}
