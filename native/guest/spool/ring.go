// Package spool keeps the output of a job in ring files that the host reads without asking.
//
// Little-endian header in the first 4096 bytes: 0 magic, 8 ring size, 16 start (lowest offset still there), 24 end, 32 flags
// (bit 0: nothing follows). Byte o of the stream lies at 4096 + o % size. start moves before bytes are overwritten and end
// after they are written, so a reader takes the header, the data, and the header again.
package spool

import (
	"errors"
	"io"
	"os"
	"runtime/debug"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	Magic      = "PYSPOOL1"
	HeaderSize = 4096
	flagEOF    = 1

	// MinimumSize of a ring.
	MinimumSize = 64 << 10
)

// Stream is one ring file and its writer's state. Reading is safe at any time from anywhere.
type Stream struct {
	path       string
	size       uint64
	start, end atomic.Uint64
	eof        atomic.Bool
	lost       atomic.Uint64 // bytes that could not be stored
	why        atomic.Pointer[string]
	file       *os.File
	header     []byte
}

func (s *Stream) Start() uint64 { return s.start.Load() }
func (s *Stream) End() uint64   { return s.end.Load() }
func (s *Stream) EOF() bool     { return s.eof.Load() }

// Lost says how much could not be stored, and the code of the reason ("" when nothing was lost).
func (s *Stream) Lost() (uint64, string) {
	if why := s.why.Load(); why != nil {
		return s.lost.Load(), *why
	}
	return 0, ""
}

func (s *Stream) refuse(err error) {
	code := "spool_failed"
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		code = "spool_full"
	}
	s.why.CompareAndSwap(nil, &code)
}

// put stores one field of the header. The file is in the sandbox's reach: when it was cut short behind our back the store
// faults, which must not end PID 1.
func (s *Stream) put(at int, value uint64) {
	if s.header == nil {
		return
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			s.refuse(unix.EIO)
		}
	}()
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&s.header[at])), value)
}

func (s *Stream) setStart(v uint64) { s.start.Store(v); s.put(16, v) }
func (s *Stream) setEnd(v uint64)   { s.end.Store(v); s.put(24, v) }

// finish marks the end and lets go of everything that a finished stream does not need.
func (s *Stream) finish() {
	s.put(32, flagEOF)
	s.eof.Store(true)
	s.release()
}

func (s *Stream) release() {
	if s.header != nil {
		_ = unix.Munmap(s.header)
		s.header = nil
	}
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// Remove deletes the file of a finished stream.
func (s *Stream) Remove() error { return os.Remove(s.path) }

var ErrBeyond = errors.New("cursor beyond the end")

// Read fills into from cursor on and returns what of it is good, and the offset of its first byte: higher than asked when
// bytes were dropped, also while it read.
func (s *Stream) Read(cursor uint64, into []byte) (uint64, []byte, error) {
	end := s.end.Load()
	if cursor > end {
		return 0, nil, ErrBeyond
	}
	from := cursor
	if start := s.start.Load(); start > from {
		from = start
	}
	if from == end || len(into) == 0 {
		return from, nil, nil
	}
	// A writer can pass us by a whole ring; then what was read is worthless and the newest bytes are asked for.
	for range 4 {
		data := into[:min(uint64(len(into)), end-from)]
		if err := s.readAt(data, from); err != nil {
			return from, nil, err
		}
		start := s.start.Load()
		if start <= from {
			return from, data, nil
		}
		if start < from+uint64(len(data)) {
			return start, data[start-from:], nil
		}
		from, end = start, s.end.Load()
	}
	return from, nil, nil
}

func (s *Stream) readAt(data []byte, from uint64) error {
	file, err := os.OpenFile(s.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	for len(data) > 0 {
		at := from % s.size
		part := data[:min(uint64(len(data)), s.size-at)]
		if _, err := io.ReadFull(io.NewSectionReader(file, int64(HeaderSize+at), int64(len(part))), part); err != nil {
			return err
		}
		data, from = data[len(part):], from+uint64(len(part))
	}
	return nil
}
