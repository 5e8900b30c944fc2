package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"pyro/native/layer/archive"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/tartest"
)

const (
	uid, gid            = 7, 8
	maxEntries, maxSize = 64, 1 << 20
)

func compressed(data []byte, how byte) []byte {
	var out bytes.Buffer
	switch how % 3 {
	case 1:
		writer := gzip.NewWriter(&out)
		_, _ = writer.Write(data)
		_ = writer.Close()
	case 2:
		writer, _ := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		_, _ = writer.Write(data)
		_ = writer.Close()
	default:
		return data
	}
	return out.Bytes()
}

// FuzzArchive: whatever a file holds, nothing outside the new tree is touched, and what is taken keeps the promises of a seed.
func FuzzArchive(f *testing.F) {
	for at, program := range tartest.Programs {
		if at%7 == 0 {
			f.Add(compressed(tartest.Compile(program), byte(at/7)))
		}
	}
	// What no program says: much that is not zero behind the end, and records that say nothing for long.
	whole := tartest.Compile(tartest.Programs[1])
	f.Add(compressed(append(append([]byte{}, whole...), make([]byte, 2<<20)...), 2))
	for size := 1 << 10; size <= 1<<24; size <<= 7 {
		var out bytes.Buffer
		writer := tar.NewWriter(&out)
		_ = writer.WriteHeader(&tar.Header{Name: "a", Format: tar.FormatPAX, PAXRecords: map[string]string{"PYRO.a": strings.Repeat("r", size)}})
		_ = writer.Close()
		f.Add(compressed(out.Bytes(), 2))
	}
	for _, head := range []string{"", "text", "PK\x03\x04", "\x1f\x8b", "\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18\x00\x00\x00\x00"} {
		f.Add([]byte(head))
	}
	f.Fuzz(take)
}

// FuzzArchiveEntries reads its input as a list of entries.
func FuzzArchiveEntries(f *testing.F) {
	for _, program := range tartest.Programs {
		f.Add(program, byte(0))
	}
	for how := range byte(16) {
		f.Add(tartest.Programs[len(tartest.Programs)-1], how)
		f.Add([]byte{0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 3, 0}, how)
	}
	f.Fuzz(func(t *testing.T, program []byte, how byte) {
		data := tartest.Compile(program)
		if how&4 != 0 {
			data = data[:len(data)*3/4]
		}
		if how&8 != 0 {
			data = append(data, program...)
		}
		take(t, compressed(data, how&3))
	})
}

func take(t *testing.T, data []byte) {
	if os.Geteuid() != 0 {
		t.Skip("owners need root")
	}
	dir, err := os.MkdirTemp(tartest.Scratch(), "pyro-fuzz-*")
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.WriteFile(filepath.Join(dir, "canary"), []byte("safe"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "archive"), data, 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "tree"), 0o700))
	totals, err := unpack(t, dir)
	entries, _ := os.ReadDir(dir)
	canary, _ := os.ReadFile(filepath.Join(dir, "canary"))
	if len(entries) != 3 || string(canary) != "safe" {
		t.Fatalf("outside: %v %q", entries, canary)
	}
	if err == nil {
		promises(t, filepath.Join(dir, "tree"), totals)
		return
	}
	for _, code := range []string{"seed_invalid", "seed_unsupported", "seed_too_large"} {
		if fault.HasCode(err, code) {
			return
		}
	}
	t.Fatalf("refused without a reason: %v", err)
}

func unpack(t *testing.T, dir string) (int64, error) {
	file, err := os.Open(filepath.Join(dir, "archive"))
	must(t, err)
	defer file.Close()
	tree, err := dirfd.OpenDir(filepath.Join(dir, "tree"))
	must(t, err)
	defer unix.Close(tree)
	packed, err := archive.Open(file, "archive")
	if err != nil {
		return 0, err
	}
	defer packed.Close()
	totals, err := archive.Unpack(context.Background(), packed, tree, archive.Options{
		UID: uid, GID: gid, MaxEntries: maxEntries, MaxBytes: maxSize, Progress: func(int64, int64, int64) {},
	})
	if err != nil {
		return 0, err
	}
	return totals.Files + totals.Dirs + totals.Links, nil
}

func promises(t *testing.T, tree string, counted int64) {
	found := int64(-1) // The tree itself is not counted.
	must(t, filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		must(t, err)
		found++
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		if st.Uid != uid || st.Gid != gid || st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
			t.Fatalf("%s: %+v", path, st)
		}
		if n, _ := unix.Llistxattr(path, nil); n > 0 {
			t.Fatalf("%s has attributes", path)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG, unix.S_IFDIR:
		case unix.S_IFLNK:
			if !leads(t, tree, path) {
				t.Fatalf("%s leaves", path)
			}
		default:
			t.Fatalf("%s: mode %o", path, st.Mode)
		}
		return nil
	}))
	if found != counted {
		t.Fatalf("%d entries, %d counted", found, counted)
	}
}

// leads follows a link as the kernel would where the tree is mounted at /workspace; false where it gets out.
func leads(t *testing.T, tree string, path string) bool {
	rel, err := filepath.Rel(tree, path)
	must(t, err)
	var at []string
	rest := strings.Split(rel, "/")
	for hops := 0; len(rest) > 0 && hops < 40; {
		next := rest[0]
		rest = rest[1:]
		if next == "" || next == "." {
			continue
		}
		if next == ".." {
			if len(at) == 0 {
				return false
			}
			at = at[:len(at)-1]
			continue
		}
		at = append(at, next)
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(tree, filepath.Join(at...)), &st) != nil {
			return true
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			return true
		case unix.S_IFLNK:
			target, err := os.Readlink(filepath.Join(tree, filepath.Join(at...)))
			must(t, err)
			hops++
			at = at[:len(at)-1]
			if below, ok := strings.CutPrefix(target+"/", "/workspace/"); ok {
				at, target = nil, below
			} else if filepath.IsAbs(target) {
				return false
			}
			rest = append(strings.Split(target, "/"), rest...)
		}
	}
	return true
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Times before 1970 and far beyond are what a file system can keep of them, and no error.
func TestTimesOfAllAges(t *testing.T) {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for name, at := range map[string]int64{"old": -1 << 40, "new": 1 << 50, "first": 0} {
		must(t, writer.WriteHeader(&tar.Header{Name: name, Format: tar.FormatPAX, Typeflag: tar.TypeReg, ModTime: time.Unix(at, 5)}))
	}
	must(t, writer.Close())
	take(t, out.Bytes())
}
