package layertar_test

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/layer/layertar"
	"pyro/native/layer/stack"
	"pyro/native/layer/tartest"
)

var limits = layertar.UnpackOptions{MaxEntries: 64, MaxBytes: 1 << 20}

// FuzzUnpack: whatever a tar says, nothing outside the new tree is touched; and what was taken packs into a tar that
// makes the same tree again.
func FuzzUnpack(f *testing.F) {
	for _, entries := range [][]tar.Header{
		{{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "a/b", Size: 3}, {Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../.."}},
		{{Name: ".wh.x"}, {Name: "x/y"}, {Name: "x/.wh..wh..opq"}, {Name: "z", Typeflag: tar.TypeLink, Linkname: "x/y"}},
		{{Name: "../canary"}}, {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "l/canary"}},
		{{Name: "p", Typeflag: tar.TypeFifo}, {Name: "n", Typeflag: tar.TypeChar}},
		{{Name: "x", PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b", "SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}}},
	} {
		var out bytes.Buffer
		writer := tar.NewWriter(&out)
		for i := range entries {
			entries[i].Format = tar.FormatPAX
			if writer.WriteHeader(&entries[i]) == nil {
				_, _ = writer.Write(make([]byte, entries[i].Size))
			}
		}
		_ = writer.Close()
		f.Add(out.Bytes(), false, false)
		f.Add(out.Bytes(), true, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, plain bool, private bool) {
		options := limits
		options.Plain, options.Private = plain, private
		takeAndPack(t, data, options)
	})
}

// FuzzEntries reads its input as a list of entries, so that what is tried is what tars say and not whether they are tars.
func FuzzEntries(f *testing.F) {
	for _, program := range tartest.Programs {
		for _, how := range []byte{0, 1, 2, 4, 8} {
			f.Add(program, how)
		}
	}
	f.Fuzz(func(t *testing.T, program []byte, how byte) {
		options := limits
		options.Plain, options.Private = how&1 != 0, how&2 != 0
		if how&4 != 0 {
			options.IDs = &stack.Idmap{Base: 500_000, Size: 65536}
		}
		if how&8 != 0 {
			options.Owner = &stack.Owner{UID: 7, GID: 8}
		}
		data := tartest.Compile(program)
		if how&16 != 0 {
			data = data[:len(data)/2]
		}
		takeAndPack(t, data, options)
	})
}

// takeAndPack checks both promises of FuzzUnpack.
func takeAndPack(t *testing.T, data []byte, options layertar.UnpackOptions) {
	if os.Geteuid() != 0 {
		t.Skip("owners need root")
	}
	dir, err := os.MkdirTemp(tartest.Scratch(), "pyro-fuzz-*")
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.WriteFile(filepath.Join(dir, "canary"), []byte("safe"), 0o600))
	err = unpackTo(t, data, filepath.Join(dir, "first"), options)
	entries, _ := os.ReadDir(dir)
	canary, _ := os.ReadFile(filepath.Join(dir, "canary"))
	if len(entries) != 2 || string(canary) != "safe" {
		t.Fatalf("outside: %v %q", entries, canary)
	}
	if err != nil {
		return
	}
	pack := layertar.PackOptions{Plain: options.Plain, IDs: options.IDs}
	one := packOf(t, filepath.Join(dir, "first"), pack)
	again := layertar.UnpackOptions{Plain: options.Plain, IDs: options.IDs, MaxEntries: 1 << 20, MaxBytes: 1 << 30}
	must(t, unpackTo(t, one, filepath.Join(dir, "second"), again))
	if two := packOf(t, filepath.Join(dir, "second"), pack); !bytes.Equal(one, two) {
		t.Fatal("the tree that was packed and the one that was unpacked differ")
	}
}

func unpackTo(t *testing.T, data []byte, dest string, options layertar.UnpackOptions) error {
	must(t, os.Mkdir(dest, 0o700))
	fd, err := unix.Open(dest, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	_, err = layertar.Unpack(context.Background(), bytes.NewReader(data), fd, options)
	return err
}

func packOf(t *testing.T, dir string, options layertar.PackOptions) []byte {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	var out bytes.Buffer
	_, err = layertar.Pack(context.Background(), fd, &out, options)
	must(t, err)
	return out.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
