package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	// bulkAfter is how much makes a stream a large one.
	bulkAfter = 1 << 20
	// A writer and a reader that meet at every few kilobytes fight for the pipe's lock. After a small piece the reader lets
	// the pipe fill for a breath, a longer one where that was not enough: an emulated processor is slow to fill it.
	batch                   = 256 << 10
	leastBreath, mostBreath = 50_000, 800_000 // ns
	// quietMS is when a large stream is one like the others again.
	quietMS = 1000
)

// bulk drains a large stream with a thread of its own and without epoll, which makes every write to a pipe wake somebody. It
// returns when the stream is quiet, when the job has ended, or (true) at the end of the pipe.
func (d *Drain) bulk() (end bool) {
	d.burst = 0
	fd, ok := d.enterBulk()
	if !ok {
		return false
	}
	defer d.leaveBulk(fd)
	breath := int64(leastBreath)
	for !d.ending.Load() {
		n, err := d.move(fd, d.room())
		switch {
		case err == unix.EAGAIN:
			if !d.waitBulk(fd) {
				return false
			}
		case err != nil || n == 0:
			return true
		default:
			d.moved()
			if n >= batch {
				breath = max(breath/2, leastBreath)
				continue
			}
			// Not time.Sleep: this thread has nothing else to do, and Go would wake it late.
			_ = unix.Nanosleep(&unix.Timespec{Nsec: breath}, nil)
			breath = min(2*breath, mostBreath)
		}
	}
	return false
}

// enterBulk takes the pipe out of Go's poller, which only closing does, and keeps it by a second descriptor.
func (d *Drain) enterBulk() (int, bool) {
	fd := -1
	_ = d.raw.Control(func(old uintptr) {
		if n, err := unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3); err == nil {
			fd = n
		}
	})
	if fd < 0 {
		return -1, false
	}
	wakeup, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(fd)
		return -1, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.pipe.Close()
	d.wakeup = wakeup
	return fd, true
}

func (d *Drain) leaveBulk(fd int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = unix.Close(d.wakeup)
	d.wakeup = -1
	d.pipe = os.NewFile(uintptr(fd), "job")
	d.raw, _ = d.pipe.SyscallConn()
	d.burst = 0
}

// waitBulk is false when nothing came for long.
func (d *Drain) waitBulk(fd int) bool {
	events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(d.wakeup), Events: unix.POLLIN}}
	n, err := unix.Poll(events, quietMS)
	return n > 0 || err == unix.EINTR
}
