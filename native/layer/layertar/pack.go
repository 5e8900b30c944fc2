// Package layertar turns a layer, a directory in overlayfs's form, into an OCI layer tar (image-spec layer.md: `.wh.`
// names for what is deleted, PAX records for times and attributes) and back. Both directions are streams.
package layertar

import (
	"archive/tar"
	"context"
	"io"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/overlay"
	"pyro/native/layer/stack"
)

const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	// maxDepth bounds the directories that are open at the same time.
	maxDepth = 1000
)

// PackOptions of one layer.
type PackOptions struct {
	// IDs are those on disk that stand for 0..Size-1 in the tar; nil where they are the same.
	IDs *stack.Idmap
	// Plain packs a tree that is no overlay layer: no name and no device of it means anything.
	Plain bool
	// Announce writes what is left out as a pipe, so that whoever unpacks with Private lists it.
	Announce bool
	Progress func(files int64, bytes int64)
}

type packer struct {
	PackOptions
	ctx    context.Context
	tar    *tar.Writer
	links  map[inode]*names
	totals copytree.Totals
	buffer []byte
}

type inode struct{ dev, ino uint64 }

// names is a file with several of them, kept until the last was met.
type names struct {
	first string
	left  uint64
}

// Pack writes what is in the open directory, names in order. What a tar cannot hold (sockets, devices, names that mean
// something else in a layer) is left out and listed.
func Pack(ctx context.Context, dir int, out io.Writer, options PackOptions) (*copytree.Totals, error) {
	own, err := dirfd.OpenAt(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fault.From(err, "opening", "")
	}
	defer unix.Close(own)
	p := newPacker(ctx, out, options)
	return p.end(p.directory(own, "", 0))
}

// PackEntry writes one name of a directory, which is no directory itself.
func PackEntry(ctx context.Context, dir int, name string, out io.Writer, options PackOptions) (*copytree.Totals, error) {
	p := newPacker(ctx, out, options)
	return p.end(p.entry(dir, name, name, maxDepth))
}

func newPacker(ctx context.Context, out io.Writer, options PackOptions) *packer {
	p := &packer{PackOptions: options, ctx: ctx, tar: tar.NewWriter(out), links: map[inode]*names{}, buffer: make([]byte, 128<<10)}
	p.totals.Skipped = []copytree.Skipped{}
	return p
}

func (p *packer) end(err error) (*copytree.Totals, error) {
	if err != nil {
		return nil, err
	}
	if err := p.tar.Close(); err != nil {
		return nil, fault.From(err, "writing the tar", "")
	}
	return &p.totals, nil
}

func (p *packer) skip(path string, reason string) {
	p.totals.SkippedCount++
	if len(p.totals.Skipped) < copytree.MaxSkipped {
		p.totals.Skipped = append(p.totals.Skipped, copytree.Skipped{Path: path, Reason: reason})
	}
}

func changed(path string) error {
	return fault.Retry("layer_changed", path, "%s changed while it was packed", path)
}

// gone tells the errors that mean that somebody removed or replaced what was listed.
func gone(err error) bool {
	return err == unix.ENOENT || err == unix.ELOOP || err == unix.ENOTDIR || err == unix.ENXIO
}

func (p *packer) directory(fd int, path string, depth int) error {
	if err := p.ctx.Err(); err != nil {
		return fault.From(err, "", "")
	}
	if depth > maxDepth {
		return fault.New("too_deep", path, "directories are nested more than %d deep", maxDepth)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fault.From(err, "looking at", path)
	}
	header := p.header(&st, tar.TypeDir, path+"/")
	if path == "" {
		header.Name = "./"
	} else {
		p.totals.Dirs++
	}
	if err := p.attributes(fd, path, header); err != nil {
		return err
	}
	if err := p.write(header, path); err != nil {
		return err
	}
	if !p.Plain && overlay.IsOpaque(fd) {
		if err := p.mark(copytree.Join(path, opaqueName)); err != nil {
			return err
		}
	}
	entries, err := dirfd.List(fd)
	if gone(err) {
		return changed(path)
	}
	if err != nil {
		return fault.From(err, "reading", path)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name < entries[j].Name })
	for _, entry := range entries {
		if err := p.entry(fd, entry.Name, copytree.Join(path, entry.Name), depth); err != nil {
			return err
		}
	}
	return nil
}

// mark is an empty file whose name alone means something.
func (p *packer) mark(path string) error {
	return p.write(&tar.Header{Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: path}, path)
}

func (p *packer) write(header *tar.Header, path string) error {
	if err := p.tar.WriteHeader(header); err != nil {
		return fault.From(err, "packing", path)
	}
	return nil
}

func (p *packer) entry(dir int, name string, path string, depth int) error {
	st, err := dirfd.Stat(dir, name)
	if gone(err) {
		return changed(path)
	}
	if err != nil {
		return fault.From(err, "looking at", path)
	}
	// Also where the name itself is deleted: the tar has no word for that which does not mean something else.
	if !p.Plain && strings.HasPrefix(name, whiteoutPrefix) {
		p.skip(path, "name means a deletion in a layer")
		return nil
	}
	if !p.Plain && overlay.IsWhiteout(dir, name, &st) {
		return p.mark(strings.TrimSuffix(path, name) + whiteoutPrefix + name)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		child, err := dirfd.ChildDir(dir, name)
		if gone(err) {
			return changed(path)
		}
		if err != nil {
			return fault.From(err, "opening", path)
		}
		defer unix.Close(child)
		return p.directory(child, path, depth+1)
	case unix.S_IFREG:
		return p.file(dir, name, path)
	case unix.S_IFLNK, unix.S_IFIFO:
		return p.small(dir, name, path, &st)
	}
	p.skip(path, "special")
	if p.Announce {
		return p.write(p.header(&st, tar.TypeFifo, path), path)
	}
	return nil
}
