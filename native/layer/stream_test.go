package layer_test

import (
	"archive/tar"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/export"
	"pyro/native/layer/stack"
)

// pour listens on a private socket and writes to the first who connects.
func pour(t *testing.T, write func(out net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pour.sock")
	listener, err := net.Listen("unix", path)
	must(t, err)
	go func() {
		defer listener.Close()
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		write(connection)
	}()
	return path
}

// What comes through a stream is what an export from the same place would have made.
func TestExportStream(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		root := dir + "/root"
		awkward(t, root+"/tree", 0)
		write(t, root+"/tree/.wh.name", "no mark here")
		must(t, os.Symlink("tree/plain", root+"/link"))
		must(t, os.Symlink("tree/dir", root+"/dirlink"))
		must(t, os.Symlink("/etc/passwd", root+"/out"))
		fd, err := unix.Open(root, unix.O_RDONLY, 0)
		must(t, err)
		defer unix.Close(fd)
		out := dir + "/out"
		must(t, os.Mkdir(out, 0o755))
		owner := stack.Owner{UID: 1234, GID: 1235}
		both := func(path string) (*export.Result, *export.Result) {
			t.Helper()
			_ = os.RemoveAll(out + "/copied")
			copied, err := export.Export(background, export.Spec{Root: root, Path: path, Output: out + "/copied", Owner: owner}, silent)
			must(t, err)
			sent := make(chan error, 1)
			socket := pour(t, func(conn net.Conn) {
				_, err := export.Send(background, fd, path, func(string) {}, conn)
				sent <- err
			})
			poured, err := export.Receive(background, export.StreamSpec{Socket: socket, Path: path, Output: out + "/poured", Overwrite: true, Owner: owner, MaxEntries: 1000, MaxBytes: 1 << 30}, silent)
			must(t, err)
			must(t, <-sent)
			return copied, poured
		}
		for _, path := range []string{"tree", "", "tree/dir/deep/file", "dirlink/second", "link", "tree/sparse"} {
			copied, poured := both(path)
			if left, right := picture(t, out+"/copied", 0), picture(t, out+"/poured", 0); left != right {
				t.Fatalf("%q differs:\n%s\n---\n%s", path, left, right)
			}
			if copied.Kind != poured.Kind || copied.Files != poured.Files || copied.Bytes != poured.Bytes || copied.SkippedCount != poured.SkippedCount {
				t.Fatalf("%q: %+v %+v", path, copied, poured)
			}
			wantNone(t, out, "copied", "poured")
		}
		for path, code := range map[string]string{"out": "link_leaves", "out/x": "link_leaves", "none": "path_not_found", "../x": "bad_path", "tree/fifo": "not_exportable"} {
			_, err := export.Send(background, fd, path, func(string) { t.Fatal("begun") }, nil)
			wantCode(t, err, code)
		}
	})
}

func TestExportStreamHostile(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	must(t, os.Mkdir(dir+"/out", 0o755))
	write(t, dir+"/out/old", "old")
	whole := makeTar(t, entry{kind: tar.TypeDir, name: "./"}, entry{name: "a", content: strings.Repeat("a", 5000)})
	receive := func(ctx context.Context, data []byte, more ...func(conn net.Conn)) error {
		socket := pour(t, func(conn net.Conn) {
			_, _ = conn.Write(data)
			for _, one := range more {
				one(conn)
			}
		})
		_, err := export.Receive(ctx, export.StreamSpec{Socket: socket, Path: "a", Output: dir + "/out/old", Overwrite: true, MaxEntries: 50, MaxBytes: 1 << 20}, silent)
		return err
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "cut": whole[:3000], "no trailer": whole[:len(whole)-1024], "garbage": []byte(strings.Repeat("garbage ", 500)),
		"two files":          makeTar(t, entry{name: "a"}, entry{name: "b"}),
		"a file in a folder": makeTar(t, entry{name: "a/b"}),
		"up":                 makeTar(t, entry{kind: tar.TypeDir, name: "./"}, entry{name: "../evil"}),
		"through a link":     makeTar(t, entry{kind: tar.TypeDir, name: "./"}, entry{kind: tar.TypeSymlink, name: "l", link: "/"}, entry{name: "l/evil"}),
	} {
		if err := receive(background, data); err == nil {
			t.Errorf("%s was taken", name)
		} else {
			wantCode(t, err, "layer_invalid")
		}
	}
	wantCode(t, receive(background, makeTar(t, entry{kind: tar.TypeSymlink, name: "a", link: "/etc/passwd"})), "link_leaves")
	wantCode(t, receive(background, makeTar(t, entry{kind: tar.TypeSymlink, name: "a", link: "../x"})), "link_leaves")
	wantCode(t, receive(background, makeTar(t, entry{kind: tar.TypeChar, name: "a"})), "not_exportable")
	wantCode(t, receive(background, makeTar(t, entry{kind: tar.TypeDir, name: "./"}, entry{name: "a", content: strings.Repeat("a", 2<<20)})), "layer_too_large")
	ctx, cancel := context.WithTimeout(background, 100*time.Millisecond)
	defer cancel()
	held := make(chan struct{})
	defer close(held)
	wantCode(t, receive(ctx, whole[:3000], func(net.Conn) { <-held }), "cancelled")
	if read(t, dir+"/out/old") != "old" {
		t.Fatal("a failed export changed the output")
	}
	wantNone(t, dir+"/out", "old")
	_, err := export.Receive(background, export.StreamSpec{Socket: dir + "/none.sock", Output: dir + "/out/x", MaxEntries: 1}, silent)
	wantCode(t, err, "io_error")
}
