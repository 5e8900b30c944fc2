package layer_test

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/layertar"
	"pyro/native/layer/stack"
)

type entry struct {
	kind       byte
	name, link string
	content    string
}

func makeTar(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, one := range entries {
		kind := one.kind
		if kind == 0 {
			kind = tar.TypeReg
		}
		header := &tar.Header{Format: tar.FormatPAX, Typeflag: kind, Name: one.name, Linkname: one.link, Mode: 0o755, Size: int64(len(one.content)), ModTime: time.Unix(1, 0)}
		must(t, writer.WriteHeader(header))
		_, err := writer.Write([]byte(one.content))
		must(t, err)
	}
	must(t, writer.Close())
	return out.Bytes()
}

func TestUnpackHostile(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/victim", "safe")
	long := strings.Repeat("a/", 1200)
	for name, one := range map[string][]entry{
		"up":               {{name: "../victim"}},
		"up inside":        {{name: "a/../../victim"}},
		"absolute":         {{name: "/tmp/x"}},
		"through a link":   {{kind: tar.TypeSymlink, name: "a", link: ".."}, {name: "a/victim"}},
		"through a file":   {{name: "a"}, {name: "a/b"}},
		"deep":             {{name: long + "x"}},
		"long name":        {{name: strings.Repeat("n", 256)}},
		"link up":          {{kind: tar.TypeLink, name: "x", link: "../victim"}},
		"link absolute":    {{kind: tar.TypeLink, name: "x", link: dir + "/victim"}},
		"link by a link":   {{kind: tar.TypeSymlink, name: "a", link: ".."}, {kind: tar.TypeLink, name: "x", link: "a/victim"}},
		"link to nothing":  {{kind: tar.TypeLink, name: "x", link: "y"}},
		"link to a dir":    {{kind: tar.TypeDir, name: "d/"}, {kind: tar.TypeLink, name: "x", link: "d"}},
		"link to a mark":   {{name: ".wh.gone"}, {kind: tar.TypeLink, name: "x", link: "gone"}},
		"root as a file":   {{name: "."}},
		"root as a link":   {{kind: tar.TypeSymlink, name: "./", link: "/"}},
		"file over a dir":  {{kind: tar.TypeDir, name: "d/"}, {name: "d"}},
		"mark of nothing":  {{name: ".wh."}},
		"mark of the dir":  {{name: "a/.wh.."}},
		"mark of the top":  {{name: ".wh..."}},
		"mark as a dir":    {{kind: tar.TypeDir, name: ".wh.a/"}},
		"mark on the way":  {{name: ".wh.a/b"}},
		"mark as a link":   {{kind: tar.TypeSymlink, name: ".wh.a", link: "b"}},
		"opaque as a link": {{kind: tar.TypeSymlink, name: ".wh..wh..opq", link: "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantCode(t, unpack(makeTar(t, one...), dir+"/new", layertar.UnpackOptions{}), "layer_invalid")
		})
	}
	whole := makeTar(t, entry{name: "a", content: strings.Repeat("\x00", 4096)}, entry{name: "b", content: "b"})
	for _, end := range []int{0, 100, 512, 512 + 4096, len(whole) - 1024, len(whole) - 512} {
		wantCode(t, unpack(whole[:end], dir+"/new", layertar.UnpackOptions{}), "layer_invalid")
	}
	many := layertar.UnpackOptions{MaxEntries: 1, MaxBytes: 1 << 20}
	wantCode(t, unpack(whole, dir+"/new", many), "layer_too_large")
	wantCode(t, unpack(whole, dir+"/new", layertar.UnpackOptions{MaxEntries: 9, MaxBytes: 4096}), "layer_too_large")
	wantCode(t, unpack(append(whole, make([]byte, 2<<20)...), dir+"/new", layertar.UnpackOptions{}), "layer_invalid")
	wantCode(t, unpack(whole, dir+"/new", layertar.UnpackOptions{IDs: &stack.Idmap{Base: base, Size: 0}}), "bad_args")
	wantNone(t, dir, "victim")
	if read(t, dir+"/victim") != "safe" {
		t.Fatal("something outside the tree was written")
	}
}

// What a layer says about a name and about what was below it holds in whatever order it says so.
func TestUnpackMarks(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	opaque := func(path string) bool {
		var value [2]byte
		n, err := unix.Getxattr(path, "user.overlay.opaque", value[:])
		return err == nil && n == 1 && value[0] == 'y'
	}
	must(t, unpack(makeTar(t,
		entry{name: ".wh.a"}, entry{name: "a/file", content: "a"},
		entry{name: "b/file", content: "b"}, entry{name: ".wh.b"},
		entry{name: ".wh.c"}, entry{name: "c", content: "c"},
		entry{name: "d", content: "d"}, entry{name: ".wh.d"},
		entry{name: ".wh.e"}, entry{kind: tar.TypeDir, name: "e/"},
		entry{name: "f/.wh..wh..opq"}, entry{name: ".wh..wh.plnk"}, entry{name: "twice", content: "1"}, entry{name: "twice", content: "2"},
		entry{kind: tar.TypeChar, name: "null"}, entry{kind: tar.TypeLink, name: "c2", link: "./c"}, entry{name: ".wh.gone"},
	), dir+"/new", layertar.UnpackOptions{}))
	wantNone(t, dir+"/new", "a", "b", "c", "c2", "d", "e", "f", "gone", "twice")
	for _, name := range []string{"a", "b", "e", "f"} {
		if !opaque(dir + "/new/" + name) {
			t.Errorf("%s does not hide what is below", name)
		}
	}
	if read(t, dir+"/new/c")+read(t, dir+"/new/d")+read(t, dir+"/new/twice")+read(t, dir+"/new/c2") != "cd2c" {
		t.Fatal("content")
	}
	var st unix.Stat_t
	must(t, unix.Lstat(dir+"/new/gone", &st))
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Fatalf("%+v", st)
	}
}
