// Package archive makes a tree of a tar that a user names as a seed, plain or compressed. Nobody vouches for what is in it:
// it is taken whole, or refused with nothing left.
package archive

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
)

const (
	invalid     = "seed_invalid"
	unsupported = "seed_unsupported"
	tooLarge    = "seed_too_large"
	changed     = "seed_changed"
)

// maxWindow is what a decoder of zstd may keep: as much as the program zstd takes without being told otherwise.
const maxWindow = 128 << 20

// Archive is one that was recognised, at its beginning.
type Archive struct {
	// Format is "tar", "tar.gz" or "tar.zst", told by the content.
	Format string
	// Size is that of the file, in bytes.
	Size int64

	name  string
	file  *os.File
	stat  unix.Stat_t
	read  atomic.Int64
	tar   *bufio.Reader
	close func()
}

// Open recognises the archive in an open regular file; name is what errors call it.
func Open(file *os.File, name string) (*Archive, error) {
	a := &Archive{name: name, file: file, close: func() {}}
	if err := unix.Fstat(int(file.Fd()), &a.stat); err != nil {
		return nil, fault.From(err, "looking at", name)
	}
	a.Size = a.stat.Size
	raw := bufio.NewReaderSize(&counter{file, &a.read}, 256<<10)
	head, err := raw.Peek(blockSize)
	if err != nil && err != io.EOF {
		return nil, fault.From(err, "reading", name)
	}
	if err := a.decompress(head, raw); err != nil {
		return nil, a.damaged(err)
	}
	first, err := a.tar.Peek(blockSize)
	if err == nil && isTar(first) {
		return a, nil
	}
	a.Close()
	if err != nil && err != io.EOF {
		return nil, a.damaged(err)
	}
	return nil, a.unknown(head)
}

func (a *Archive) decompress(head []byte, raw *bufio.Reader) error {
	var in io.Reader = raw
	switch formatOf(head) {
	case formatGzip:
		inflated, err := gzip.NewReader(raw)
		if err != nil {
			return err
		}
		in, a.Format = inflated, "tar.gz"
	case formatZstd:
		decoder, err := zstd.NewReader(raw, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return err
		}
		in, a.close, a.Format = decoder, decoder.Close, "tar.zst"
	default:
		a.tar, a.Format = raw, "tar"
		return nil
	}
	a.tar = bufio.NewReaderSize(in, 256<<10)
	return nil
}

// Close lets go of everything but the file.
func (a *Archive) Close() { a.close() }

// Read gives the tar's bytes.
func (a *Archive) Read(part []byte) (int, error) {
	n, err := a.tar.Read(part)
	if err != nil && err != io.EOF {
		err = a.damaged(err)
	}
	return n, err
}

// damaged is an error of a decoder. A file that cannot be read is not one that is damaged.
func (a *Archive) damaged(err error) error {
	var known *fault.Error
	var system unix.Errno
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &system):
		return fault.From(err, "reading", a.name)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fault.New(unsupported, a.name, "%s needs more than %d MiB of memory to be read", a.name, maxWindow>>20)
	}
	return fault.New(invalid, a.name, "%s is damaged: %v", a.name, err)
}

func (a *Archive) unknown(head []byte) error {
	if a.Format != "tar" {
		return fault.New(unsupported, a.name, "%s is compressed, but what is in it is no tar", a.name)
	}
	return fault.New(unsupported, a.name, "%s is %s: neither a directory nor a .tar, .tar.gz or .tar.zst", a.name, instead(head))
}

// unchanged compares the file with what it was when it was opened.
func (a *Archive) unchanged() error {
	var now unix.Stat_t
	if err := unix.Fstat(int(a.file.Fd()), &now); err != nil {
		return fault.From(err, "looking at", a.name)
	}
	if now.Size != a.stat.Size || now.Mtim != a.stat.Mtim {
		return fault.Retry(changed, a.name, "%s changed while it was read", a.name)
	}
	return nil
}

// counter tells how much of the file was read, also to whoever reports on the way.
type counter struct {
	in   io.Reader
	read *atomic.Int64
}

func (c *counter) Read(part []byte) (int, error) {
	n, err := c.in.Read(part)
	c.read.Add(int64(n))
	return n, err
}
