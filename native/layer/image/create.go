package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/newfile"
	"pyro/native/layer/stack"
)

// CreateSpec is an empty file system for what is written inside a machine.
type CreateSpec struct {
	Output  string      `json:"output"`
	SizeMiB int64       `json:"size_mib"`
	Owner   stack.Owner `json:"owner"`
}

// Created says what it cost.
type Created struct {
	MS    float64 `json:"ms"`
	Bytes int64   `json:"bytes"`
}

const (
	minMiB = 16
	maxMiB = 16 << 20
	// The journal is only as large as metadata needs: it is written round and round, and so becomes real.
	smallJournal, journal = 4, 16
)

// folders that a machine's stacks lie in: the upper and work directories of / and of /workspace, and the spools.
var folders = []struct {
	path string
	mode uint32
}{{"root/upper", 0o755}, {"root/work", 0o700}, {"workspace/upper", 0o755}, {"workspace/work", 0o700}, {"spool", 0o755}}

// Create makes an ext4. It is made in memory, where nobody waits for a disk, and its few written blocks are copied into a
// sparse file: a few milliseconds, whatever its size.
func Create(ctx context.Context, spec CreateSpec) (*Created, error) {
	began := time.Now()
	if err := fault.Clean(spec.Output); err != nil {
		return nil, err
	}
	if spec.SizeMiB < minMiB || spec.SizeMiB > maxMiB {
		return nil, fault.New("bad_args", "", "size_mib is not within %d and %d", minMiB, maxMiB)
	}
	tree, err := skeleton()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tree)
	memory, err := unix.MemfdCreate("pyro-image", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fault.From(err, "making a file in memory", "")
	}
	file := os.NewFile(uintptr(memory), "image")
	defer file.Close()
	if err := file.Truncate(spec.SizeMiB << 20); err != nil {
		return nil, fault.From(err, "sizing a file in memory", "")
	}
	size := journal
	if spec.SizeMiB < 256 {
		size = smallJournal
	}
	// The file is new, so all of it reads as zeros: neither mkfs nor the machine's kernel has to write them.
	err = run(ctx, nil, []*os.File{file}, "mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-J", "size="+strconv.Itoa(size),
		"-O", "^resize_inode", "-E", "lazy_itable_init=1,assume_storage_prezeroed=1,nodiscard,root_owner=0:0", "-d", tree, "/proc/self/fd/3")
	if err != nil {
		return nil, err
	}
	result := &Created{}
	err = newfile.Build(spec.Output, func(out *os.File) error {
		if result.Bytes, err = copyData(ctx, file, out); err != nil {
			return err
		}
		return out.Chown(int(spec.Owner.UID), int(spec.Owner.GID))
	})
	if err != nil {
		return nil, err
	}
	result.MS = float64(time.Since(began).Microseconds()) / 1000
	return result, nil
}

// skeleton is a directory with what is in every new file system.
func skeleton() (string, error) {
	tree, err := os.MkdirTemp("", "pyro-image-*")
	if err != nil {
		return "", fault.From(err, "making a directory", "")
	}
	for _, one := range folders {
		path := filepath.Join(tree, one.path)
		err = os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.Mkdir(path, 0o700)
		}
		if err == nil {
			err = unix.Chmod(path, one.mode)
		}
		if err != nil {
			_ = os.RemoveAll(tree)
			return "", fault.From(err, "making", path)
		}
	}
	return tree, nil
}

// copyData copies the parts of a file that were written, and its length.
func copyData(ctx context.Context, from *os.File, to *os.File) (int64, error) {
	st, err := from.Stat()
	if err == nil {
		err = to.Truncate(st.Size())
	}
	if err != nil {
		return 0, err
	}
	copied := int64(0)
	buffer := make([]byte, 256<<10)
	for at := int64(0); at < st.Size(); {
		data, err := unix.Seek(int(from.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return 0, err
		}
		hole, err := unix.Seek(int(from.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return 0, err
		}
		for at = data; at < hole; {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			part := buffer[:min(int64(len(buffer)), hole-at)]
			n, err := dirfd.Retry(func() (int, error) { return unix.Pread(int(from.Fd()), part, at) })
			if err == nil && n == 0 {
				err = fmt.Errorf("it became shorter")
			}
			if err != nil {
				return 0, err
			}
			if _, err := to.WriteAt(part[:n], at); err != nil {
				return 0, err
			}
			at, copied = at+int64(n), copied+int64(n)
		}
	}
	return copied, nil
}
