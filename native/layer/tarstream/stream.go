// Package tarstream reads a tar that nobody vouches for, entry by entry: bounded in what it takes, and whole or an error.
// What an entry may say, and what is made of it, is its reader's to decide.
package tarstream

import (
	"archive/tar"
	"context"
	"errors"
	"io"

	"pyro/native/layer/fault"
)

// Bounds of one tar, and the codes of its errors.
type Bounds struct {
	// MaxEntries and MaxBytes (of content, holes included) bound what is taken; both are needed.
	MaxEntries, MaxBytes int64
	// Invalid and TooLarge are the codes for a tar that is damaged or dishonest, and for one beyond the bounds.
	Invalid, TooLarge string
	// ZerosOnly refuses anything but padding behind the trailer.
	ZerosOnly bool
	// Mark is a prefix that names may carry and that is no part of what they name; it may be empty.
	Mark string
}

const (
	// What an entry may take of the stream beyond its content: on average, and any one of them. A reader of tars takes up
	// to 1 MiB of each kind of header that describes an entry.
	entryOverhead = 8 << 10
	mostOverhead  = 8 << 20
	// What tools write behind the trailer, to fill a record of a tape.
	maxTrailer = 1 << 20
	trailer    = 1024
)

// Reader of one tar.
type Reader struct {
	Bounds
	in      *meter
	tar     *tar.Reader
	entries int64
	bytes   int64
	buffer  []byte
}

// New reads from in until the tar's end.
func New(ctx context.Context, in io.Reader, bounds Bounds) (*Reader, error) {
	if bounds.MaxEntries <= 0 || bounds.MaxBytes < 0 {
		return nil, fault.New("bad_args", "", "there is no bound for the tar")
	}
	r := &Reader{Bounds: bounds, buffer: make([]byte, 128<<10)}
	r.in = &meter{ctx: ctx, in: in, left: bounds.MaxBytes + bounds.MaxEntries*entryOverhead + maxTrailer, tooLarge: bounds.TooLarge}
	r.tar = tar.NewReader(r.in)
	return r, nil
}

// Next is the header of the next entry; io.EOF after the last one of a tar that was whole. What was not read of an entry's
// content is passed over.
func (r *Reader) Next() (*tar.Header, error) {
	if r.entries > 0 {
		// Read here, so that only a real trailer can be taken for one.
		if _, err := io.CopyBuffer(io.Discard, onlyReader{r.tar}, r.buffer); err != nil {
			return nil, r.broken(err)
		}
	}
	r.in.zeros, r.in.budget = 0, mostOverhead
	header, err := r.tar.Next()
	r.in.budget = -1
	if err == io.EOF {
		if err := r.end(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	if err != nil {
		return nil, r.broken(err)
	}
	if r.entries++; r.entries > r.MaxEntries {
		return nil, fault.New(r.TooLarge, "", "there are more than %d entries", r.MaxEntries)
	}
	return header, nil
}

// onlyReader hides what else a reader can do from io.Copy, which would not use the buffer then.
type onlyReader struct{ io.Reader }

// Take counts the content of an entry before any of it is read.
func (r *Reader) Take(header *tar.Header) error {
	if header.Size > r.MaxBytes-r.bytes {
		return fault.New(r.TooLarge, Shorten(header.Name), "there are more than %d bytes", r.MaxBytes)
	}
	r.bytes += header.Size
	return nil
}

// ReadFull fills part with content of the present entry.
func (r *Reader) ReadFull(part []byte) error {
	if _, err := io.ReadFull(r.tar, part); err != nil {
		return r.broken(err)
	}
	return nil
}

// Entries is how many there were so far.
func (r *Reader) Entries() int64 { return r.entries }

// end checks that the tar was whole: a stream that broke off between two entries looks the same to a tar reader.
func (r *Reader) end() error {
	if r.in.zeros < trailer {
		return fault.New(r.Invalid, "", "the tar ends without its trailer")
	}
	for left := maxTrailer; ; {
		n, err := r.in.Read(r.buffer[:min(left, len(r.buffer))])
		if left -= n; left == 0 || r.ZerosOnly && !isZero(r.buffer[:n]) {
			return fault.New(r.Invalid, "", "something follows the tar's trailer")
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return r.broken(err)
		}
	}
}

func (r *Reader) broken(err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return known
	case r.in.failure != nil:
		return fault.From(r.in.failure, "reading the tar", "")
	}
	return fault.New(r.Invalid, "", "the tar is damaged: %v", err)
}

// meter bounds the stream, and knows how many zero bytes were read last.
type meter struct {
	ctx      context.Context
	in       io.Reader
	left     int64
	budget   int64 // what a header may still take; -1 where content is read
	zeros    int
	tooLarge string
	failure  error
}

func (m *meter) Read(part []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		m.failure = err
		return 0, err
	}
	n, err := m.in.Read(part)
	if m.left -= int64(n); m.left < 0 {
		return 0, fault.New(m.tooLarge, "", "the tar is longer than what it holds may take")
	}
	if m.budget >= 0 {
		if m.budget -= int64(n); m.budget < 0 {
			return 0, fault.New(m.tooLarge, "", "a header of the tar is longer than %d bytes", mostOverhead)
		}
	}
	run := 0
	for run < n && run < trailer && part[n-1-run] == 0 {
		run++
	}
	if run == n {
		m.zeros += n
	} else {
		m.zeros = run
	}
	if err != nil && err != io.EOF {
		m.failure = err
	}
	return n, err
}
