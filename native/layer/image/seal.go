package image

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/newfile"
	"pyro/native/layer/stack"
)

// SealSpec makes a directory into a read-only image.
type SealSpec struct {
	Source string `json:"source"`
	Output string `json:"output"`
	// IDs are those on disk that stand for 0..Size-1 in the image; nil where they are the same.
	IDs *stack.Idmap `json:"ids"`
	// KeepSize writes into a placeholder that is there, and leaves it as long as it was.
	KeepSize bool        `json:"keep_size"`
	Owner    stack.Owner `json:"owner"`
}

// Sealed says how much of the file is the image, and what it cost.
type Sealed struct {
	MS    float64 `json:"ms"`
	Bytes int64   `json:"bytes"`
}

// Seal makes an uncompressed erofs: reading it costs a machine no time. Where it fails, a new output is not there, and a
// placeholder is as empty as it was.
func Seal(ctx context.Context, spec SealSpec) (*Sealed, error) {
	began := time.Now()
	if err := fault.Clean(spec.Source, spec.Output); err != nil {
		return nil, err
	}
	if st, err := os.Stat(spec.Source); err != nil || !st.IsDir() {
		return nil, fault.New("layer_missing", spec.Source, "the layer %s is not there", spec.Source)
	}
	result := &Sealed{}
	write := func(file *os.File) (err error) {
		result.Bytes, err = writeErofs(ctx, spec, file)
		return err
	}
	var err error
	if spec.KeepSize {
		err = fillPlaceholder(spec.Output, write)
	} else {
		err = newfile.Build(spec.Output, func(file *os.File) error {
			if err := write(file); err != nil {
				return err
			}
			return file.Chown(int(spec.Owner.UID), int(spec.Owner.GID))
		})
	}
	if err != nil {
		return nil, err
	}
	result.MS = float64(time.Since(began).Microseconds()) / 1000
	return result, nil
}

// writeErofs replaces the content of the file, and tells its length.
func writeErofs(ctx context.Context, spec SealSpec, file *os.File) (int64, error) {
	// Named by its descriptor, so that it is this file whoever else may rename things; mkfs opens it anew, as its own root.
	if err := run(ctx, spec.IDs, []*os.File{file}, "mkfs.erofs", "--quiet", "-d0", "/proc/self/fd/3", spec.Source); err != nil {
		return 0, err
	}
	st, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// fillPlaceholder writes into a file that a machine has open already: its inode stays, and in the end its length.
func fillPlaceholder(path string, write func(*os.File) error) error {
	fd, err := dirfd.Retry(func() (int, error) { return unix.Open(path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0) })
	if err != nil {
		return fault.From(err, "opening", path)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return fault.From(err, "looking at", path)
	}
	if !st.Mode().IsRegular() {
		return fault.New("bad_path", path, "%s is no image", path)
	}
	err = write(file)
	if err != nil {
		_ = file.Truncate(0)
	}
	if sized := file.Truncate(st.Size()); err == nil {
		err = sized
	}
	if err != nil {
		return fault.From(err, "writing", path)
	}
	return nil
}
