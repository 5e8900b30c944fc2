package spool

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// chunk is what one call moves at most, and how large the pipe of a talkative job may become.
const chunk = 1 << 20

// Gate says how far a stream may be written; see Leases.
type Gate interface {
	// Floor is the lowest offset that must not be overwritten. Without one it may be asked again when changed is closed or
	// until has passed.
	Floor() (floor uint64, held bool, changed <-chan struct{}, until time.Time)
}

// Drain moves what comes out of a pipe into the ring until nothing more can come, or until Finish was called and what was
// in the pipe at that moment is stored. What comes after that is thrown away, so that no survivor dies of SIGPIPE.
type Drain struct {
	stream *Stream
	gate   Gate
	moved  func()
	mover  mover
	left   int    // bytes to go, once ending
	burst  uint64 // bytes since the stream was quiet
	large  bool   // the pipe was widened

	mu     sync.Mutex // for what Finish touches
	pipe   *os.File
	raw    syscall.RawConn
	wakeup int // an eventfd while in bulk, else -1
	ending atomic.Bool
}

// Start begins to drain; done is called once, at the end of the stream. The pipe must be non-blocking.
func Start(s *Stream, pipe *os.File, gate Gate, moved, done func()) (*Drain, error) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &Drain{stream: s, pipe: pipe, raw: raw, gate: gate, moved: moved, wakeup: -1}
	go func() {
		more := d.run()
		d.mover.close()
		s.finish()
		done()
		if more {
			discard(d.pipe, d.raw)
		}
		_ = d.pipe.Close()
	}()
	return d, nil
}

// Finish tells that the process is gone.
func (d *Drain) Finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ending.Store(true)
	if d.wakeup >= 0 {
		_, _ = unix.Write(d.wakeup, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	} else {
		_ = d.pipe.SetReadDeadline(time.Unix(1, 0))
	}
}

// run reports whether the pipe is still open.
func (d *Drain) run() (open bool) {
	for {
		if d.ending.Load() {
			return d.rest()
		}
		room := d.room()
		var n int
		var err error
		waited := d.raw.Read(func(fd uintptr) bool {
			n, err = d.move(int(fd), room)
			return err != unix.EAGAIN
		})
		if errors.Is(waited, os.ErrDeadlineExceeded) {
			continue
		}
		if waited != nil || err != nil || n == 0 {
			return false
		}
		d.moved()
		if d.burst >= bulkAfter && d.bulk() {
			return false
		}
	}
}

// rest stores what is in the pipe now, and no more.
func (d *Drain) rest() (open bool) {
	_ = d.raw.Control(func(fd uintptr) { d.left, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	for d.left > 0 {
		room := min(d.room(), d.left)
		var n int
		var err error
		failed := d.raw.Control(func(fd uintptr) { n, err = d.move(int(fd), room) })
		if failed != nil || err != nil || n == 0 {
			break
		}
		d.left -= n
		d.moved()
	}
	return true
}

// room waits for a reader that holds the ring, and says how much may be written.
func (d *Drain) room() int {
	for {
		floor, held, changed, until := d.gate.Floor()
		if !held {
			return chunk
		}
		s := d.stream
		floor = max(floor, s.start.Load()) // below start there is nothing left to hold
		if free := floor + s.size - s.end.Load(); free > 0 {
			return int(min(free, chunk))
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// move takes up to room bytes out of the pipe. Zero means that nobody can write to it any more.
func (d *Drain) move(fd, room int) (int, error) {
	s := d.stream
	if s.why.Load() != nil {
		n, err := d.mover.drop(fd, room)
		s.lost.Add(uint64(max(n, 0)))
		return n, err
	}
	end := s.end.Load()
	at := end % s.size
	want := min(uint64(room), s.size-at)
	if end+want > s.start.Load()+s.size {
		// Only as many of the oldest bytes go as new ones are there.
		ready, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
		if err == nil && ready > 0 {
			want = min(want, uint64(ready))
		} else if err == nil {
			want = 1
		}
	}
	taken, err := d.mover.take(fd, int(want))
	if err != nil || taken == 0 {
		return 0, err
	}
	if end+uint64(taken) > s.start.Load()+s.size {
		s.setStart(end + uint64(taken) - s.size)
	}
	n, err := d.mover.store(int(s.file.Fd()), int64(HeaderSize+at), taken)
	s.setEnd(end + uint64(n))
	if err != nil {
		s.refuse(err)
		s.lost.Add(uint64(taken - n))
	}
	d.grow(fd, taken)
	return taken, nil
}

// grow widens the pipe of a job that writes a lot; all others leave the kernel's allowance for pipes to the sandbox.
func (d *Drain) grow(fd, taken int) {
	d.burst += uint64(taken)
	if !d.large && d.burst >= small {
		d.large = true
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, chunk)
	}
}

func discard(pipe *os.File, raw syscall.RawConn) {
	var m mover
	defer m.close()
	_ = pipe.SetReadDeadline(time.Time{})
	for {
		var n int
		var err error
		waited := raw.Read(func(fd uintptr) bool {
			n, err = m.drop(int(fd), chunk)
			return err != unix.EAGAIN
		})
		if waited != nil || err != nil || n == 0 {
			return
		}
	}
}
