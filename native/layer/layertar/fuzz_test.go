package layertar_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"pyro/native/layer/layertar"
	"pyro/native/layer/stack"
)

var limits = layertar.UnpackOptions{MaxEntries: 64, MaxBytes: 1 << 20}

// What the second argument of FuzzUnpack says.
const (
	plain = 1 << iota
	private
	mapped
	breaks
	cancels
	owned
)

// FuzzUnpack: whatever a tar says, nothing outside the new tree is touched; and what was taken packs into a tar that
// makes the same tree again. `how` chooses the options, and how the stream ends.
func FuzzUnpack(f *testing.F) {
	for _, data := range seeds() {
		for _, how := range []byte{0, plain | private, mapped, plain, breaks, cancels, plain | private | owned} {
			f.Add(data, how)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, how byte) {
		if os.Geteuid() != 0 {
			t.Skip("owners need root")
		}
		dir, err := os.MkdirTemp(scratch(), "pyro-fuzz-*")
		must(t, err)
		defer os.RemoveAll(dir)
		must(t, os.WriteFile(filepath.Join(dir, "canary"), []byte("safe"), 0o600))
		plain := how&plain != 0
		options := limits
		options.Plain, options.Private = plain, how&private != 0
		if how&mapped != 0 {
			options.IDs = &stack.Idmap{Base: 100_000, Size: 65_536}
		}
		if how&owned != 0 {
			options.Owner, options.Progress = &stack.Owner{UID: 1, GID: 2}, func(int64, int64) {}
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		err = unpackFrom(t, ctx, ending(data, how, cancel), filepath.Join(dir, "first"), options)
		entries, _ := os.ReadDir(dir)
		canary, _ := os.ReadFile(filepath.Join(dir, "canary"))
		if len(entries) != 2 || string(canary) != "safe" {
			t.Fatalf("outside: %v %q", entries, canary)
		}
		if err != nil || how&(mapped|owned) != 0 {
			return
		}
		one := packOf(t, filepath.Join(dir, "first"), plain)
		must(t, unpackTo(t, one, filepath.Join(dir, "second"), layertar.UnpackOptions{Plain: plain, MaxEntries: 1 << 20, MaxBytes: 1 << 30}))
		if two := packOf(t, filepath.Join(dir, "second"), plain); !bytes.Equal(one, two) {
			t.Fatal("the tree that was packed and the one that was unpacked differ")
		}
	})
}

// scratch is memory where there is some: a fuzzer makes thousands of trees.
func scratch() string {
	var st unix.Statfs_t
	if unix.Statfs("/dev/shm", &st) == nil && st.Bavail*uint64(st.Bsize) > 64<<20 {
		return "/dev/shm"
	}
	return ""
}

// ending is the data, and what becomes of its stream after a half of it.
func ending(data []byte, how byte, cancel func()) io.Reader {
	first, second := data[:len(data)/2], data[len(data)/2:]
	switch {
	case how&breaks != 0:
		return io.MultiReader(bytes.NewReader(first), iotest.ErrReader(io.ErrClosedPipe))
	case how&cancels != 0:
		return io.MultiReader(bytes.NewReader(first), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, io.EOF
		}), bytes.NewReader(second))
	}
	return bytes.NewReader(data)
}

type readerFunc func([]byte) (int, error)

func (read readerFunc) Read(into []byte) (int, error) { return read(into) }

func unpackTo(t *testing.T, data []byte, dest string, options layertar.UnpackOptions) error {
	return unpackFrom(t, context.Background(), bytes.NewReader(data), dest, options)
}

func unpackFrom(t *testing.T, ctx context.Context, in io.Reader, dest string, options layertar.UnpackOptions) error {
	must(t, os.Mkdir(dest, 0o700))
	fd, err := unix.Open(dest, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	_, err = layertar.Unpack(ctx, in, fd, options)
	return err
}

func packOf(t *testing.T, dir string, plain bool) []byte {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	var out bytes.Buffer
	_, err = layertar.Pack(context.Background(), fd, &out, layertar.PackOptions{Plain: plain})
	must(t, err)
	return out.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
