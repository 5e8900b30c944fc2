package layertar

import (
	"archive/tar"
	"context"
	"io"
	"path"

	"pyro/native/layer/copytree"
	"pyro/native/layer/stack"
	"pyro/native/layer/tarstream"
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
)

// Taken is what came out of a tar.
type Taken struct {
	copytree.Totals
	// Rooted says that the tar described the tree itself ("./"), and not only what is in it.
	Rooted bool
}

type unpacker struct {
	UnpackOptions
	tar    *tarstream.Reader
	at     cursor
	totals Taken
	// inherits is set once a directory was made that gives access lists to what is made in it.
	inherits bool
}

// Unpack fills the empty directory dest, which nobody else may write to. The tar is not trusted: no path of it is
// resolved through a link, nothing is opened that it made, and it has to end as a tar does. The caller removes dest
// when there is an error. Devices, and what Private leaves out, are listed.
func Unpack(ctx context.Context, in io.Reader, dest int, options UnpackOptions) (*Taken, error) {
	bounds := tarstream.Bounds{
		MaxEntries: options.MaxEntries, MaxBytes: options.MaxBytes, Invalid: invalid, TooLarge: tooLarge,
	}
	if !options.Plain {
		bounds.Mark = whiteoutPrefix
	}
	reader, err := tarstream.New(ctx, in, bounds)
	if err != nil {
		return nil, err
	}
	u := &unpacker{UnpackOptions: options, tar: reader}
	u.totals.Skipped = []copytree.Skipped{}
	if err := u.at.open(dest, u); err != nil {
		return nil, err
	}
	err = u.undescribed(u.at.top().fd)
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
		header, err := u.tar.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := u.entry(header); err != nil {
			return err
		}
	}
}

func (u *unpacker) skip(name string, reason string) {
	u.totals.SkippedCount++
	if len(u.totals.Skipped) < copytree.MaxSkipped {
		u.totals.Skipped = append(u.totals.Skipped, copytree.Skipped{Path: tarstream.Shorten(name), Reason: reason})
	}
}

// entry takes one. Its name decides first (a mark is no file), then its type.
func (u *unpacker) entry(header *tar.Header) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	parts, err := u.tar.Split(header.Name)
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
		return u.tar.Bad(header.Name, "is the tree itself, and no directory")
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
