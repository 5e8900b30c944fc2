package archive

import (
	"archive/tar"
	"context"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/fault"
	"pyro/native/layer/tarstream"
)

// Options of one tree.
type Options struct {
	// UID and GID own everything, whatever the archive says.
	UID, GID uint32
	// MaxEntries and MaxBytes (of content, holes included) bound what is taken; both are needed.
	MaxEntries, MaxBytes int64
	// Below is where the tree will lie on this machine: every entry has to be reachable by a path there, and in /workspace.
	Below string
	// Progress is told now and then how much is there, and how many bytes of the file were read.
	Progress func(files int64, bytes int64, read int64)
}

// maxPath is the longest path that the kernel takes (PATH_MAX with its closing NUL, limits.h).
const maxPath = 4095

type unpacker struct {
	Options
	ctx     context.Context
	archive *Archive
	tar     *tarstream.Reader
	tree    tree
	writers writers
	totals  copytree.Totals
	// late are the links whose way can be told only when everything is there.
	late []string
}

// Unpack fills the empty directory dest, which nobody else may write to. No path is resolved through a link, and nothing
// is opened that the archive made. Refused are: names and links that leave the tree, a name that is there twice, devices,
// links to what is no file, and whatever a whole tar does not have. Set-id bits and extended attributes are left out,
// pipes too, and those are listed. The caller removes dest when there is an error.
func Unpack(ctx context.Context, a *Archive, dest int, options Options) (*copytree.Totals, error) {
	reader, err := tarstream.New(ctx, a, tarstream.Bounds{
		MaxEntries: options.MaxEntries, MaxBytes: options.MaxBytes, Invalid: invalid, TooLarge: tooLarge, ZerosOnly: true,
	})
	if err != nil {
		return nil, err
	}
	u := &unpacker{Options: options, ctx: ctx, archive: a, tar: reader}
	u.writers.start(u)
	err = u.tree.open(dest, u)
	if err == nil {
		err = u.all()
	}
	u.tree.close()
	if failure := u.writers.stop(); failure != nil && (err == nil || fault.HasCode(err, "cancelled")) {
		err = failure
	}
	if err == nil {
		err = u.stay(dest)
	}
	// What makes no sense may be half of what somebody is still writing.
	if moved := a.unchanged(); moved != nil && (err == nil || fault.HasCode(err, invalid)) {
		err = moved
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
		if err == nil {
			err = u.entry(header)
		}
		if err == nil {
			err = u.writers.failed()
		}
		if err != nil {
			return err
		}
		if u.tar.Entries()%256 == 0 {
			u.report()
		}
	}
}

func (u *unpacker) report() {
	if u.Progress != nil {
		u.Progress(u.totals.Files, u.totals.Bytes, u.archive.read.Load())
	}
}

func (u *unpacker) entry(header *tar.Header) error {
	switch header.Typeflag {
	case tar.TypeXGlobalHeader, typeLabel:
		return nil
	}
	parts, err := u.tar.Split(header.Name)
	if err != nil {
		return err
	}
	if len(strings.Join(parts, "/"))+1+max(len(u.Below), len(workspace)) > maxPath {
		return u.tar.Bad(header.Name, "is too long a path")
	}
	if header.Typeflag == tar.TypeDir {
		return u.tree.describe(parts, header)
	}
	if len(parts) == 0 {
		return u.tar.Bad(header.Name, "is the tree itself, and no directory")
	}
	base := parts[len(parts)-1]
	if header.Typeflag == tar.TypeFifo {
		u.skip(path.Join(parts...))
		return nil
	}
	dir, err := u.tree.enter(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.file(header, dir, base)
	case tar.TypeSymlink:
		return u.symlink(header, dir, parts)
	case tar.TypeLink:
		return u.link(header, dir, base)
	case tar.TypeChar, tar.TypeBlock:
		return u.tar.Bad(header.Name, "is a device")
	}
	return u.tar.Bad(header.Name, "is of a kind that no seed has")
}

// typeLabel is GNU tar's name of a whole archive.
const typeLabel = 'V'

func (u *unpacker) skip(name string) {
	u.totals.SkippedCount++
	if len(u.totals.Skipped) < copytree.MaxSkipped {
		u.totals.Skipped = append(u.totals.Skipped, copytree.Skipped{Path: tarstream.Shorten(name), Reason: "special"})
	}
}

// twice is the error for a name that is taken. What comes later does not replace what came first: who checks an archive
// by its list would see the one, and get the other.
func (u *unpacker) twice(name string) error { return u.tar.Bad(name, "is there twice") }

func timesOf(header *tar.Header) [2]unix.Timespec {
	one := unix.Timespec{Sec: header.ModTime.Unix(), Nsec: int64(header.ModTime.Nanosecond())}
	return [2]unix.Timespec{one, one}
}

// modeOf leaves out the set-id bits.
func modeOf(header *tar.Header) uint32 { return uint32(header.Mode) & 0o1777 }
