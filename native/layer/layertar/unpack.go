package layertar

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"strings"

	"pyro/native/layer/copytree"
	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

// UnpackOptions of one tar.
type UnpackOptions struct {
	// IDs are those on disk that stand for 0..Size-1 in the tar; nil where they are the same.
	IDs *stack.Idmap
	// Owner, where given, gets everything, whatever the tar says.
	Owner *stack.Owner
	// Plain takes a tree that is no layer: no name in it means anything.
	Plain bool
	// Private leaves out what only the inside of a sandbox should have: set-uid and set-gid bits, attributes, pipes.
	Private bool
	// MaxEntries and MaxBytes (of content) bound what is taken; both are needed.
	MaxEntries, MaxBytes int64
	Progress             func(files int64, bytes int64)
}

const (
	invalid  = "layer_invalid"
	tooLarge = "layer_too_large"
	// What an entry may take of the stream beyond its content, on average.
	entryOverhead = 8 << 10
	maxTrailer    = 1 << 20
)

// Taken is what came out of a tar.
type Taken struct {
	copytree.Totals
	// Rooted says that the tar described the tree itself ("./"), and not only what is in it.
	Rooted bool
}

type unpacker struct {
	UnpackOptions
	ctx     context.Context
	in      *meter
	tar     *tar.Reader
	at      cursor
	entries int64
	totals  Taken
	buffer  []byte
	// inherits is set once a directory was made that gives access lists to what is made in it.
	inherits bool
}

// Unpack fills the empty directory dest, which nobody else may write to. The tar is not trusted: no path of it is
// resolved through a link, nothing is opened that it made, and it has to end as a tar does. The caller removes dest
// when there is an error. Devices, and what Private leaves out, are listed.
func Unpack(ctx context.Context, in io.Reader, dest int, options UnpackOptions) (*Taken, error) {
	if options.MaxEntries <= 0 || options.MaxBytes < 0 {
		return nil, fault.New("bad_args", "", "there is no bound for the tar")
	}
	u := &unpacker{UnpackOptions: options, ctx: ctx, buffer: make([]byte, 128<<10)}
	u.in = &meter{ctx: ctx, in: in, left: options.MaxBytes + options.MaxEntries*entryOverhead + maxTrailer}
	u.tar = tar.NewReader(u.in)
	u.totals.Skipped = []copytree.Skipped{}
	if err := u.at.open(dest, u); err != nil {
		return nil, err
	}
	err := u.undescribed(u.at.top().fd)
	if err == nil {
		err = u.all()
	}
	if closed := u.at.close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	return &u.totals, nil
}

func (u *unpacker) all() error {
	for {
		u.in.zeros = 0
		header, err := u.tar.Next()
		if err == io.EOF {
			return u.end()
		}
		if err != nil {
			return u.broken(err)
		}
		if u.entries++; u.entries > u.MaxEntries {
			return fault.New(tooLarge, "", "there are more than %d entries", u.MaxEntries)
		}
		if err := u.entry(header); err != nil {
			return err
		}
		// What an entry did not need is read here, so that only a real trailer can be taken for one.
		if _, err := io.CopyBuffer(io.Discard, u.tar, u.buffer); err != nil {
			return u.broken(err)
		}
	}
}

// end checks that the tar was whole: a stream that broke off between two entries looks the same to a tar reader.
func (u *unpacker) end() error {
	if u.in.zeros < 1024 {
		return fault.New(invalid, "", "the tar ends without its trailer")
	}
	n, err := io.Copy(io.Discard, io.LimitReader(u.in, maxTrailer))
	if err != nil {
		return u.broken(err)
	}
	if n == maxTrailer {
		return fault.New(invalid, "", "something follows the tar's trailer")
	}
	return nil
}

func (u *unpacker) broken(err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return known
	case u.in.failure != nil:
		return fault.From(u.in.failure, "reading the tar", "")
	}
	return fault.New(invalid, "", "the tar is damaged: %v", err)
}

// meter bounds the stream, and knows how many zero bytes were read last.
type meter struct {
	ctx     context.Context
	in      io.Reader
	left    int64
	zeros   int
	failure error
}

func (m *meter) Read(part []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		m.failure = err
		return 0, err
	}
	n, err := m.in.Read(part)
	if m.left -= int64(n); m.left < 0 {
		return 0, fault.New(tooLarge, "", "the tar is longer than what it holds may take")
	}
	run := 0
	for run < n && run < 1024 && part[n-1-run] == 0 {
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

func (u *unpacker) skip(name string, reason string) {
	u.totals.SkippedCount++
	if len(u.totals.Skipped) < copytree.MaxSkipped {
		u.totals.Skipped = append(u.totals.Skipped, copytree.Skipped{Path: shorten(name), Reason: reason})
	}
}

// shorten keeps what is listed and said bounded, whatever a tar calls its entries.
func shorten(name string) string {
	if len(name) > 4096 {
		return name[:4096]
	}
	return name
}

func bad(name string, what string) error {
	return fault.New(invalid, shorten(name), "%.200q %s", name, what)
}

// split checks a name and returns its parts; none of them for the root.
func (u *unpacker) split(name string) ([]string, error) {
	if strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) {
		return nil, bad(name, "is no path inside a tree")
	}
	var parts []string
	for _, part := range strings.Split(name, "/") {
		switch {
		case part == "" || part == ".":
		case part == ".." || len(u.named(part)) > 255:
			return nil, bad(name, "is no path inside a tree")
		default:
			parts = append(parts, part)
		}
	}
	if len(parts) > maxDepth {
		return nil, bad(name, "is nested too deep")
	}
	return parts, nil
}

// named is the name that a part of a path is about: a mark is four bytes longer than what it deletes.
func (u *unpacker) named(part string) string {
	if u.Plain {
		return part
	}
	return strings.TrimPrefix(part, whiteoutPrefix)
}

// entry takes one. Its name decides first (a mark is no file), then its type.
func (u *unpacker) entry(header *tar.Header) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	parts, err := u.split(header.Name)
	if err != nil {
		return err
	}
	if !u.Plain {
		if done, err := u.mark(header, parts); done || err != nil {
			return err
		}
	}
	if header.Typeflag == tar.TypeDir {
		return u.directory(header, parts)
	}
	if len(parts) == 0 {
		return bad(header.Name, "is the tree itself, and no directory")
	}
	base := parts[len(parts)-1]
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.file(header, parts[:len(parts)-1], base)
	case tar.TypeSymlink:
		return u.symlink(header, parts[:len(parts)-1], base)
	case tar.TypeLink:
		return u.link(header, parts[:len(parts)-1], base)
	case tar.TypeFifo:
		if !u.Private {
			return u.fifo(header, parts[:len(parts)-1], base)
		}
	}
	u.skip(path.Join(parts...), "special")
	return nil
}
