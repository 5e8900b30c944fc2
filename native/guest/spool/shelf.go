package spool

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	blankPrefix = ".blank-"
	maxBlanks   = 8
	refillDelay = 2 * time.Millisecond
	// firstBlanks are the streams of one command; the others wait until it has begun.
	firstBlanks = 2
	fillDelay   = 30 * time.Millisecond
)

// Shelf keeps empty ring files ready. Making a file can take a disk longer than a short command runs; giving one its name
// does not, and it appears under that name complete, with its header.
type Shelf struct {
	dir     string
	mu      sync.Mutex
	blanks  []blank
	made    int
	pending bool
	closed  bool
}

type blank struct {
	path   string
	file   *os.File
	header []byte
}

func NewShelf(dir string) *Shelf { return &Shelf{dir: dir} }

// Clean removes what an init before left; it comes before the first file.
func (h *Shelf) Clean() {
	names, err := os.ReadDir(h.dir)
	if err != nil {
		return
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), blankPrefix) {
			_ = os.Remove(filepath.Join(h.dir, n.Name()))
		}
	}
}

// Fill makes the files of a first command, and soon the others that are kept ready.
func (h *Shelf) Fill() {
	h.mu.Lock()
	busy := h.pending || h.closed
	h.pending = true
	h.mu.Unlock()
	if busy {
		return
	}
	for range firstBlanks {
		if !h.stock() {
			break
		}
	}
	time.AfterFunc(fillDelay, h.refill)
}

// take finds a blank, or makes one.
func (h *Shelf) take() (blank, error) {
	h.mu.Lock()
	if n := len(h.blanks); n > 0 {
		b := h.blanks[n-1]
		h.blanks = h.blanks[:n-1]
		h.later()
		h.mu.Unlock()
		return b, nil
	}
	h.later()
	h.mu.Unlock()
	return h.make()
}

func (h *Shelf) later() {
	if h.pending || h.closed || len(h.blanks) > maxBlanks/2 {
		return
	}
	h.pending = true
	time.AfterFunc(refillDelay, h.refill)
}

func (h *Shelf) refill() {
	for h.stock() {
	}
	h.mu.Lock()
	h.pending = false
	h.mu.Unlock()
}

// stock makes one more, and says whether there is need and room for another.
func (h *Shelf) stock() bool {
	b, err := h.make()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && !h.closed {
		h.blanks = append(h.blanks, b)
	} else if err == nil {
		b.discard()
	}
	return err == nil && !h.closed && len(h.blanks) < maxBlanks
}

func (h *Shelf) make() (b blank, err error) {
	h.mu.Lock()
	h.made++
	b.path = filepath.Join(h.dir, blankPrefix+strconv.Itoa(h.made))
	h.mu.Unlock()
	b.file, err = os.OpenFile(b.path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return b, err
	}
	head := make([]byte, HeaderSize)
	copy(head, Magic)
	binary.LittleEndian.PutUint64(head[8:], MinimumSize)
	// Written, not only mapped: the block is there before the mapping stores into it.
	if _, err = b.file.WriteAt(head, 0); err == nil {
		b.header, err = unix.Mmap(int(b.file.Fd()), 0, HeaderSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		b.discard()
	}
	return b, err
}

func (b blank) discard() {
	if b.header != nil {
		_ = unix.Munmap(b.header)
	}
	_ = b.file.Close()
	_ = os.Remove(b.path)
}

// Close removes what was not used.
func (h *Shelf) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, b := range h.blanks {
		b.discard()
	}
	h.blanks = nil
}

// Create makes a stream's file. Where that fails the stream still takes a job's output, and loses it: a full disk ends no job.
func (h *Shelf) Create(path string, size uint64) *Stream {
	s := &Stream{path: path, size: size}
	for {
		b, err := h.take()
		if err != nil {
			s.refuse(err)
			return s
		}
		s.file, s.header = b.file, b.header
		s.put(8, size)
		err = os.Rename(b.path, path)
		if err == nil {
			return s
		}
		s.file, s.header = nil, nil
		b.discard()
		if !errors.Is(err, unix.ENOENT) { // else somebody in the sandbox removed it: try the next
			s.refuse(err)
			return s
		}
	}
}
