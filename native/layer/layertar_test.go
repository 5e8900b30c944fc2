package layer_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/layer/layertar"
	"pyro/native/layer/newtree"
	"pyro/native/layer/stack"
)

// picture describes a tree completely: everything that has to survive a move, with owners as ids would have them.
func picture(t *testing.T, root string, base uint32) string {
	t.Helper()
	groups := map[string]string{}
	var lines []string
	must(t, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		must(t, err)
		rel, _ := filepath.Rel(root, path)
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
			lines = append(lines, fmt.Sprintf("%q deleted", rel)) // Nobody sees whose a whiteout is.
			return nil
		}
		line := fmt.Sprintf("%q %o %d:%d %d.%09d %d", rel, st.Mode, st.Uid-base, st.Gid-base, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			must(t, err)
			line += fmt.Sprintf(" %d %x", st.Size, sha256.Sum256(data))
		case unix.S_IFLNK:
			target, _ := os.Readlink(path)
			line += " -> " + target
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			id := fmt.Sprintf("%d", st.Ino)
			if groups[id] == "" {
				groups[id] = rel
			}
			line += " = " + groups[id]
		}
		names := make([]byte, 4096)
		n, err := unix.Llistxattr(path, names)
		must(t, err)
		attributes := strings.Split(strings.Trim(string(names[:n]), "\x00"), "\x00")
		sort.Strings(attributes)
		for _, name := range attributes {
			value := make([]byte, 4096)
			if n, err := unix.Lgetxattr(path, name, value); err == nil && !strings.HasPrefix(name, "trusted.") {
				line += fmt.Sprintf(" %s=%x", name, value[:n])
			}
		}
		lines = append(lines, line)
		return nil
	}))
	return strings.Join(lines, "\n")
}

func pack(t *testing.T, dir string, options layertar.PackOptions) []byte {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(fd)
	var out bytes.Buffer
	totals, err := layertar.Pack(background, fd, &out, options)
	must(t, err)
	if totals.SkippedCount != 0 {
		t.Fatalf("%+v", totals)
	}
	return out.Bytes()
}

func unpack(data []byte, dest string, options layertar.UnpackOptions) error {
	if options.MaxEntries == 0 {
		options.MaxEntries, options.MaxBytes = 10_000, 1<<30
	}
	return newtree.Build(dest, func(fd int) error {
		_, err := layertar.Unpack(background, bytes.NewReader(data), fd, options)
		return err
	})
}

// A layer that is packed from one range of ids and unpacked into another is the same layer, and packs to the same bytes.
func TestLayerMoves(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		const other = 3_000_000
		awkward(t, dir+"/layer", base)
		want := picture(t, dir+"/layer", base)
		first := pack(t, dir+"/layer", layertar.PackOptions{IDs: &stack.Idmap{Base: base, Size: 65536}})
		must(t, unpack(first, dir+"/moved", layertar.UnpackOptions{IDs: &stack.Idmap{Base: other, Size: 65536}}))
		got := strings.NewReplacer(fmt.Sprintf("%x", capability(other)), fmt.Sprintf("%x", capability(base)),
			fmt.Sprintf("%x", accessList(other+5)), fmt.Sprintf("%x", accessList(base+5))).Replace(picture(t, dir+"/moved", other))
		if got != want {
			t.Fatalf("the moved layer differs:\n%s\n---\n%s", want, got)
		}
		must(t, unpack(first, dir+"/sealed", layertar.UnpackOptions{}))
		second := pack(t, dir+"/sealed", layertar.PackOptions{})
		if !bytes.Equal(first, second) {
			t.Fatal("the same layer packs to other bytes")
		}
		var st unix.Stat_t
		must(t, unix.Stat(dir+"/moved/sparse", &st))
		if st.Blocks > 64 {
			t.Fatalf("a hole became %d blocks", st.Blocks)
		}
	})
}

func TestPackLists(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/layer/.wh.file", "reserved")
	must(t, unix.Mknod(dir+"/layer/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(dir+"/layer/socket", unix.S_IFSOCK|0o666, 0))
	fd, err := unix.Open(dir+"/layer", unix.O_RDONLY, 0)
	must(t, err)
	defer unix.Close(fd)
	totals, err := layertar.Pack(background, fd, io.Discard, layertar.PackOptions{})
	must(t, err)
	if totals.SkippedCount != 3 || totals.Skipped[0].Path != ".wh.file" || totals.Skipped[1].Reason != "special" {
		t.Fatalf("%+v", totals)
	}
	totals, err = layertar.Pack(background, fd, io.Discard, layertar.PackOptions{Plain: true})
	must(t, err)
	if totals.SkippedCount != 2 || totals.Files != 1 {
		t.Fatalf("%+v", totals)
	}
}
