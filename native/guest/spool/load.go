package spool

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maximumSize of a ring that is believed; see wire.MaxSpool.
const maximumSize = 1 << 30

var ErrDamaged = errors.New("this is no ring file")

// Load opens the ring of a stream whose writer is gone, to be read only. An end that was not marked is one all the same.
func Load(path string) (*Stream, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var head [40]byte
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, HeaderSize), head[:]); err != nil {
		return nil, ErrDamaged
	}
	s := &Stream{path: path, size: binary.LittleEndian.Uint64(head[8:])}
	start, end := binary.LittleEndian.Uint64(head[16:]), binary.LittleEndian.Uint64(head[24:])
	if string(head[:8]) != Magic || s.size < 1 || s.size > maximumSize || start > end || end-start > s.size {
		return nil, ErrDamaged
	}
	s.start.Store(start)
	s.end.Store(end)
	s.eof.Store(true)
	return s, nil
}
