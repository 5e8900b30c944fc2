package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/layer/export"
	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

// kept inputs are shared with the fuzzer of the TypeScript half; testdata has what fuzzing found.
const kept = "../../../test/fuzz/corpus/tree/*"

const maxEntries, maxBytes = 64, 1 << 20

// codes that a stream may lead to. Others tell of this machine, and no guest has a say in that.
var codes = map[string]bool{"layer_invalid": true, "layer_too_large": true, "link_leaves": true, "not_exportable": true}

// leaves is from where on the second argument of FuzzReceive says that the caller goes away halfway.
const leaves = 200

var paths = []string{".", "", "a", "d/b", "l"}

// FuzzReceive: whatever a guest sends, the output is one whole tree, file or link, or it is what it was; nothing beside
// it is touched; and what was taken can be sent and taken again.
func FuzzReceive(f *testing.F) {
	files, err := filepath.Glob(kept)
	if err != nil || len(files) == 0 {
		f.Fatal("there are no kept inputs: ", err)
	}
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, byte(i), i%2 == 0)
		f.Add(data, byte(i+2), i%2 == 1)
		f.Add(data, byte(leaves+i), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, data []byte, which byte, old bool) {
		dir, err := os.MkdirTemp(scratch(), "pyro-fuzz-*")
		must(t, err)
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "out")
		must(t, os.Mkdir(out, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "canary"), []byte("safe"), 0o600))
		target := filepath.Join(out, "tree")
		if old {
			must(t, os.WriteFile(target, []byte("old"), 0o600))
		}
		if which%2 == 0 {
			data = repaired(data)
		}
		path := paths[int(which)%len(paths)]
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		result, err := receive(ctx, dir, path, target, old, func(to io.Writer) {
			if which < leaves {
				_, _ = to.Write(data)
				return
			}
			_, _ = to.Write(data[:len(data)/2])
			cancel()
		})
		untouched(t, dir)
		if err != nil {
			var known *fault.Error
			if !errors.As(err, &known) || !codes[known.Code] && known.Code != "cancelled" || known.Code == "cancelled" && which < leaves {
				t.Fatalf("an error of another kind: %v", err)
			}
			left, _ := os.ReadFile(target)
			if entries, _ := os.ReadDir(out); (len(entries) == 1) != old || old && string(left) != "old" {
				t.Fatalf("a failed export left %v %q", entries, left)
			}
			return
		}
		inspect(t, out, target, result)
		again(t, dir, path, out)
	})
}

// repaired is the data with a right checksum in all that looks like a header: what changes them at random is mostly
// stopped by these, and a guest is not.
func repaired(data []byte) []byte {
	out := append([]byte{}, data...)
	for block := out; len(block) >= 512; block = block[512:] {
		if !bytes.HasPrefix(block[257:], []byte("ustar")) {
			continue
		}
		copy(block[148:156], "        ")
		sum := 0
		for _, one := range block[:512] {
			sum += int(one)
		}
		copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
	return out
}

// receive is an export of what write says on a private socket.
func receive(ctx context.Context, dir, path, target string, overwrite bool, write func(io.Writer)) (*export.Result, error) {
	name := filepath.Join(dir, "pour.sock")
	listener, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer listener.Close()
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		write(conn)
	}()
	result, err := export.Receive(ctx, export.StreamSpec{
		Socket: name, Path: path, Output: target, Overwrite: overwrite,
		Owner:      stack.Owner{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
		MaxEntries: maxEntries, MaxBytes: maxBytes,
	}, func(any) {})
	listener.Close()
	<-done
	return result, err
}

func untouched(t *testing.T, dir string) {
	t.Helper()
	canary, _ := os.ReadFile(filepath.Join(dir, "canary"))
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 || string(canary) != "safe" {
		t.Fatalf("outside: %v %q", entries, canary)
	}
}

func inspect(t *testing.T, out, target string, result *export.Result) {
	t.Helper()
	entries, err := os.ReadDir(out)
	must(t, err)
	if len(entries) != 1 {
		t.Fatalf("beside the output: %v", entries)
	}
	made, err := os.Lstat(target)
	must(t, err)
	kind := map[os.FileMode]string{0: "file", os.ModeDir: "directory", os.ModeSymlink: "symlink"}[made.Mode().Type()]
	if kind != result.Kind || result.Bytes > maxBytes || result.Files > maxEntries || result.Bytes < 0 {
		t.Fatalf("%s, and %+v", kind, result)
	}
	_ = filepath.WalkDir(target, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return nil // An ordinary user's export may have folders that it cannot look into.
		}
		info, err := entry.Info()
		must(t, err)
		if special := info.Mode() & (os.ModeSetuid | os.ModeSetgid | os.ModeDevice | os.ModeNamedPipe | os.ModeSocket); special != 0 {
			t.Fatalf("%s has %v", path, special)
		}
		return nil
	})
}

// again sends the output and takes it a second time.
func again(t *testing.T, dir, asked, out string) {
	t.Helper()
	root, err := unix.Open(out, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(root)
	var sent error
	result, err := receive(context.Background(), dir, asked, filepath.Join(out, "twin"), false, func(to io.Writer) {
		_, sent = export.Send(context.Background(), root, "tree", func(string) {}, to)
	})
	untouched(t, dir)
	switch {
	case fault.HasCode(sent, "link_leaves"), fault.HasCode(sent, "io_error") && os.Getuid() != 0:
		return // A link that led nowhere above; a folder that its owner closed.
	case sent != nil || err != nil:
		t.Fatalf("what was taken cannot be sent: %v, %v", sent, err)
	}
	left, right := filepath.Join(out, "tree"), filepath.Join(out, "twin")
	if one, two := picture(t, left), picture(t, right); one != two {
		t.Fatalf("the twin (%+v) differs:\n%s---\n%s", result, one, two)
	}
}

// picture is what an export keeps of a tree: names, kinds, modes and content.
func picture(t *testing.T, root string) string {
	t.Helper()
	text := ""
	must(t, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		text += name + " " + info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(content)
		case info.Mode()&os.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " " + link
		}
		text += "\n"
		return nil
	}))
	return text
}

// scratch is memory where there is some: a fuzzer makes thousands of trees.
func scratch() string {
	var st unix.Statfs_t
	if unix.Statfs("/dev/shm", &st) == nil && st.Bavail*uint64(st.Bsize) > 64<<20 {
		return "/dev/shm"
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
