package rootfs

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sort"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/layertar"
	"pyro/native/layer/stack"
)

// Sums is what a sealed tree has to be.
type Sums struct {
	// DiffID is OCI's: "sha256:" and the digest of the tree as an OCI layer tar. The same wherever it is built.
	DiffID string `json:"diff_id"`
	// Metadata is the digest of every entry's path, kind, mode, owner, size and time: much cheaper to look at.
	Metadata string `json:"metadata"`
	Entries  int64  `json:"entries"`
	// Bytes of the disk that it takes.
	Bytes int64 `json:"bytes"`
}

const digestPrefix = "sha256:"

// sum reads all of the tree.
func sum(ctx context.Context, root string, ids *stack.Idmap) (*Sums, error) {
	sums, err := look(ctx, root, ids)
	if err != nil {
		return nil, err
	}
	sums.DiffID, err = diffID(ctx, root, ids)
	return sums, err
}

func diffID(ctx context.Context, root string, ids *stack.Idmap) (string, error) {
	fd, err := dirfd.OpenDir(root)
	if err != nil {
		return "", fault.From(err, "opening", root)
	}
	defer unix.Close(fd)
	digest := sha256.New()
	out := bufio.NewWriterSize(digest, 256<<10)
	if _, err := layertar.Pack(ctx, fd, out, layertar.PackOptions{IDs: ids}); err != nil {
		return "", err
	}
	_ = out.Flush()
	return digestPrefix + hex.EncodeToString(digest.Sum(nil)), nil
}

// look reads no file's content: it costs a few microseconds for each entry.
func look(ctx context.Context, root string, ids *stack.Idmap) (*Sums, error) {
	fd, err := dirfd.OpenDir(root)
	if err != nil {
		return nil, fault.From(err, "opening", root)
	}
	defer unix.Close(fd)
	digest := sha256.New()
	l := &looker{ctx: ctx, out: bufio.NewWriterSize(digest, 64<<10), seen: map[uint64]bool{}}
	if ids != nil {
		l.base = ids.Base
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fault.From(err, "looking at", root)
	}
	l.entry(".", &st)
	if err := l.directory(fd, ""); err != nil {
		return nil, err
	}
	_ = l.out.Flush()
	l.sums.Metadata = digestPrefix + hex.EncodeToString(digest.Sum(nil))
	return &l.sums, nil
}

type looker struct {
	ctx  context.Context
	out  *bufio.Writer
	base uint32
	seen map[uint64]bool
	sums Sums
}

func (l *looker) directory(fd int, path string) error {
	if err := l.ctx.Err(); err != nil {
		return fault.From(err, "", "")
	}
	entries, err := dirfd.List(fd)
	if err != nil {
		return fault.From(err, "reading", path)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name < entries[j].Name })
	for _, entry := range entries {
		at := path + "/" + entry.Name
		st, err := dirfd.Stat(fd, entry.Name)
		if err != nil {
			return fault.From(err, "looking at", at)
		}
		l.entry(at, &st)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		child, err := dirfd.ChildDir(fd, entry.Name)
		if err != nil {
			return fault.From(err, "opening", at)
		}
		err = l.directory(child, at)
		unix.Close(child)
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *looker) entry(path string, st *unix.Stat_t) {
	size := st.Size
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = 0
	}
	fmt.Fprintf(l.out, "%q %o %d %d %d %d.%09d\n", path, st.Mode, st.Uid-l.base, st.Gid-l.base, size, st.Mtim.Sec, st.Mtim.Nsec)
	l.sums.Entries++
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if l.seen[st.Ino] {
			return
		}
		l.seen[st.Ino] = true
	}
	l.sums.Bytes += st.Blocks * 512
}

func fileSum(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", fault.From(err, "opening", path)
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, bufio.NewReaderSize(file, 1<<20)); err != nil {
		return "", fault.From(err, "reading", path)
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}
