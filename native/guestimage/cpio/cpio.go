// Package cpio writes the archive that Linux unpacks as its first root: "newc" (Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst). Equal entries give equal bytes.
package cpio

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Entry is a file, a directory or a device; all belong to root, and none has a time.
type Entry struct {
	Name string
	// Mode with its type, as in stat(2).
	Mode uint32
	// Size and Content of a file.
	Size    int64
	Content io.Reader
	// Major and Minor of a device.
	Major, Minor uint32
}

// Writer numbers the entries in the order they come; a directory comes before what is in it.
type Writer struct {
	out    io.Writer
	inode  uint32
	offset int64
}

// NewWriter writes to out, which the caller buffers.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

const (
	trailer = "TRAILER!!!"
	// The end is filled up to this many bytes, as cpio(1) does.
	block   = 512
	maxSize = 1<<32 - 1
)

// Add writes one entry; its content must have exactly Size bytes.
func (w *Writer) Add(entry Entry) error {
	if entry.Size < 0 || entry.Size > maxSize {
		return fmt.Errorf("%s: %d bytes do not fit", entry.Name, entry.Size)
	}
	w.inode++
	if err := w.header(entry, w.inode); err != nil {
		return err
	}
	if entry.Content != nil {
		copied, err := io.Copy(w, io.LimitReader(entry.Content, entry.Size+1))
		if err != nil {
			return err
		}
		if copied != entry.Size {
			return fmt.Errorf("%s has not the %d bytes that it had", entry.Name, entry.Size)
		}
	}
	return w.fill(4)
}

// Close writes the end; it closes nothing.
func (w *Writer) Close() error {
	if err := w.header(Entry{Name: trailer}, 0); err != nil {
		return err
	}
	return w.fill(block)
}

func (w *Writer) header(entry Entry, inode uint32) error {
	links := uint32(1)
	if entry.Mode&unix.S_IFMT == unix.S_IFDIR {
		links = 2
	}
	// magic, then 13 numbers: inode, mode, uid, gid, links, mtime, size, device, special device, name's size, check.
	_, err := fmt.Fprintf(w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00", inode, entry.Mode, 0, 0,
		links, 0, uint32(entry.Size), 0, 0, entry.Major, entry.Minor, len(entry.Name)+1, 0, entry.Name)
	if err != nil {
		return err
	}
	return w.fill(4)
}

// Write counts what goes out.
func (w *Writer) Write(data []byte) (int, error) {
	n, err := w.out.Write(data)
	w.offset += int64(n)
	return n, err
}

func (w *Writer) fill(to int64) error {
	_, err := w.Write(make([]byte, (to-w.offset%to)%to))
	return err
}
