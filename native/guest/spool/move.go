package spool

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// mover brings bytes from a job's pipe to a file. They go through a pipe of our own: moving pages from pipe to pipe copies
// nothing and takes microseconds, so the job's pipe is free for the job while we copy into the file (splicing straight into
// the file holds the pipe's lock for the whole copy; measured, the detour is a third faster). Where splice is refused, or
// for the first few bytes, which aren't worth two descriptors, it reads and writes.
type mover struct {
	pipe   [2]int
	moved  int
	plain  bool // splice does not work here
	inPipe bool // what was taken lies in our pipe, else in buf
	buf    []byte
}

const small = 64 << 10

var buffers = sync.Pool{New: func() any { return make([]byte, small) }}

// take removes up to want bytes from the pipe; they must be stored next.
func (m *mover) take(fd, want int) (int, error) {
	if !m.plain && m.moved >= small && m.open() {
		n, err := unix.Splice(fd, nil, m.pipe[1], nil, want, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch err {
		case nil:
			m.inPipe = true
			return int(n), nil
		case unix.EAGAIN, unix.EINTR:
			return 0, unix.EAGAIN
		}
		m.plain = true
	}
	m.inPipe = false
	if m.buf == nil {
		m.buf = buffers.Get().([]byte)
	}
	n, err := read(fd, m.buf[:min(want, len(m.buf))])
	m.moved += max(n, 0)
	return max(n, 0), err
}

// store puts what was taken into the file and says how much of it arrived. Nothing of it is kept for later.
func (m *mover) store(file int, at int64, taken int) (int, error) {
	if !m.inPipe {
		return write(file, m.buf[:taken], at)
	}
	stored := 0
	for stored < taken {
		n, err := unix.Splice(m.pipe[0], nil, file, &at, taken-stored, unix.SPLICE_F_MOVE)
		if err == unix.EINTR {
			continue
		}
		if n > 0 {
			stored += int(n)
			continue
		}
		if err == unix.EINVAL || err == unix.ENOSYS || err == unix.EPERM {
			m.plain = true
		}
		rest, err := m.copyRest(file, at, taken-stored, err)
		return stored + rest, err
	}
	return stored, nil
}

// copyRest empties our pipe by hand: into the file where only splice was at fault, else to nowhere.
func (m *mover) copyRest(file int, at int64, left int, cause error) (int, error) {
	buf := buffers.Get().([]byte)
	defer buffers.Put(buf) //nolint:staticcheck // a slice header is cheap enough
	stored := 0
	for left > 0 {
		n, err := read(m.pipe[0], buf[:min(left, len(buf))])
		if err != nil || n == 0 {
			return stored, unix.EIO
		}
		left -= n
		if !m.plain {
			continue
		}
		k, err := write(file, buf[:n], at)
		stored, at = stored+k, at+int64(k)
		if err != nil {
			m.plain, cause = false, err
		}
	}
	if m.plain {
		return stored, nil
	}
	return stored, cause
}

// drop throws away up to want bytes.
func (m *mover) drop(fd, want int) (int, error) {
	if null := devNull(); null >= 0 && !m.plain {
		n, err := unix.Splice(fd, nil, null, nil, want, unix.SPLICE_F_NONBLOCK)
		if err == nil || err == unix.EAGAIN {
			return int(max(n, 0)), err
		}
		m.plain = true
	}
	buf := buffers.Get().([]byte)
	defer buffers.Put(buf) //nolint:staticcheck // a slice header is cheap enough
	n, err := read(fd, buf[:min(want, len(buf))])
	return max(n, 0), err
}

func (m *mover) open() bool {
	if m.pipe[1] > 0 {
		return true
	}
	if err := unix.Pipe2(m.pipe[:], unix.O_CLOEXEC); err != nil {
		m.plain, m.pipe = true, [2]int{}
		return false
	}
	_, _ = unix.FcntlInt(uintptr(m.pipe[0]), unix.F_SETPIPE_SZ, chunk)
	return true
}

func (m *mover) close() {
	if m.pipe[1] > 0 {
		_ = unix.Close(m.pipe[0])
		_ = unix.Close(m.pipe[1])
		m.pipe = [2]int{}
	}
	if m.buf != nil {
		buffers.Put(m.buf) //nolint:staticcheck // a slice header is cheap enough
		m.buf = nil
	}
}

var devNull = sync.OnceValue(func() int {
	f, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		return -1
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	f.Close()
	if err != nil {
		return -1
	}
	return fd
})

func read(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if err != unix.EINTR {
			return n, err
		}
	}
}

func write(file int, data []byte, at int64) (int, error) {
	stored := 0
	for stored < len(data) {
		n, err := unix.Pwrite(file, data[stored:], at+int64(stored))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return stored, err
		}
		stored += n
	}
	return stored, nil
}
