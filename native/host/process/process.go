// Package process knows a process by number and start time, and ends it without ever hitting another one.
package process

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/wire"
)

// Same says whether the number still means the process that began at startTime (clock ticks since boot).
func Same(pid int, startTime uint64) bool {
	if pid <= 1 {
		return false
	}
	ticks, gone := wire.StartTime(pid)
	return !gone && ticks == startTime
}

// KillAndWait kills a process through a descriptor, so that a reused number is never hit, and says whether it is
// gone within limit.
func KillAndWait(ctx context.Context, pid int, startTime uint64, limit time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err == unix.ESRCH
	}
	defer unix.Close(fd)
	if !Same(pid, startTime) {
		return true
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	deadline := time.Now().Add(limit)
	for ctx.Err() == nil {
		left := time.Until(deadline).Milliseconds()
		if left <= 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(min(left, 100)))
		if err == nil && n > 0 {
			return true
		}
	}
	return false
}
