package layer_test

import (
	"encoding/json"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/assemble"
	"pyro/native/layer/export"
	"pyro/native/layer/stack"
)

func TestExport(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		write(t, dir+"/lower/tree/file", "lower")
		mount(t, dir, nil, dir+"/lower")
		root := dir + "/merged"
		write(t, root+"/tree/big", strings.Repeat("y", 500_000))
		must(t, os.Chmod(root+"/tree/big", 0o4750))
		must(t, os.Symlink("/etc/shadow", root+"/tree/leaving"))
		must(t, os.Symlink("tree/file", root+"/link"))
		must(t, os.Symlink("tree", root+"/dirlink"))
		must(t, os.Symlink("/etc", root+"/out"))
		must(t, os.Symlink("../../etc", root+"/tree/out2"))
		must(t, unix.Mkfifo(root+"/tree/fifo", 0o600))
		out := dir + "/out"
		must(t, os.Mkdir(out, 0o755))
		owner := stack.Owner{UID: 1234, GID: 1235}
		do := func(path string, output string, overwrite bool) (*export.Result, error) {
			return export.Export(background, export.Spec{Root: root, Path: path, Output: output, Overwrite: overwrite, Owner: owner}, silent)
		}
		result, err := do("tree", out+"/tree", false)
		must(t, err)
		if result.Kind != "directory" || result.Files != 2 || result.SkippedCount != 1 {
			t.Fatalf("%+v", result)
		}
		var st unix.Stat_t
		must(t, unix.Lstat(out+"/tree/big", &st))
		if st.Mode&0o7777 != 0o750 || st.Uid != 1234 || st.Gid != 1235 || read(t, out+"/tree/file") != "lower" {
			t.Fatalf("%+v", st)
		}
		if target, _ := os.Readlink(out + "/tree/leaving"); target != "/etc/shadow" {
			t.Fatal(target)
		}
		result, err = do("dirlink/file", out+"/file", false)
		must(t, err)
		if result.Kind != "file" || read(t, out+"/file") != "lower" {
			t.Fatalf("%+v", result)
		}
		result, err = do("link", out+"/link", false)
		must(t, err)
		if target, _ := os.Readlink(out + "/link"); result.Kind != "symlink" || target != "tree/file" {
			t.Fatalf("%+v", result)
		}
		for path, code := range map[string]string{"tree/leaving": "link_leaves", "out/passwd": "link_leaves", "tree/out2/passwd": "link_leaves",
			"none": "path_not_found", "tree/none/x": "path_not_found", "../x": "bad_path", "/etc": "bad_path", "tree/fifo": "not_exportable"} {
			_, err = do(path, out+"/x", false)
			wantCode(t, err, code)
		}
		_, err = do("tree", out+"/file", false)
		wantCode(t, err, "output_exists")
		_, err = do("tree", dir+"/none/x", false)
		wantCode(t, err, "output_parent_missing")
		_, err = do("tree", out+"/file", true)
		must(t, err)
		_, err = do("tree/file", out+"/tree", true)
		must(t, err)
		if read(t, out+"/file/file") != "lower" || read(t, out+"/tree") != "lower" {
			t.Fatal("not overwritten")
		}
		wantNone(t, out, "file", "link", "tree")
	})
}

func TestExportGrowingFile(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/root/log", strings.Repeat("x", 40<<20))
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		file, err := os.OpenFile(dir+"/root/log", os.O_APPEND|os.O_WRONLY, 0)
		for err == nil && !stop.Load() {
			_, err = file.WriteString("more")
			time.Sleep(50 * time.Microsecond)
		}
	}()
	_, err := export.Export(background, export.Spec{Root: dir + "/root", Path: "log", Output: dir + "/out"}, silent)
	stop.Store(true)
	<-done
	wantCode(t, err, "export_changed")
	wantNone(t, dir, "root")
}

func parse(text string, into any) error { return json.Unmarshal([]byte(text), into) }

func TestAssemble(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/host/etc/open", "open")
	write(t, dir+"/host/etc/closed", "closed")
	must(t, os.Chmod(dir+"/host/etc/closed", 0o640))
	must(t, os.Symlink("/etc/x", dir+"/host/etc/link"))
	var spec assemble.Spec
	must(t, parse(`{"dest":"`+dir+`/layer","owner":{"uid":7,"gid":8},
		"dirs":[{"path":"tmp","mode":1023},{"path":"/var/lib","mode":493}],
		"links":[{"path":"bin","target":"usr/bin"}],
		"files":[{"path":"etc/open","mode":420,"content":"ours"},{"path":"etc/hostname","mode":420,"content":"box\n"}],
		"copies":[{"from":"`+dir+`/host/etc","to":"etc"},{"from":"`+dir+`/host/none","to":"none"},{"from":"`+dir+`/host/etc/open","to":"opt/one"}]}`, &spec))
	result, err := assemble.Build(background, spec)
	must(t, err)
	at := dir + "/layer"
	if result.Files != 4 || len(result.Skipped) != 2 || read(t, at+"/etc/open") != "ours" || read(t, at+"/opt/one") != "open" {
		t.Fatalf("%+v", result)
	}
	wantNone(t, at+"/etc", "hostname", "link", "open")
	var st unix.Stat_t
	must(t, unix.Lstat(at+"/tmp", &st))
	if st.Mode&0o7777 != 0o1777 || st.Uid != 7 || st.Gid != 8 {
		t.Fatalf("%+v", st)
	}
	_, err = assemble.Build(background, spec)
	wantCode(t, err, "exists")
	spec.Dest, spec.Dirs[0].Path = dir+"/second", "../evil"
	_, err = assemble.Build(background, spec)
	wantCode(t, err, "bad_path")
	wantNone(t, dir, "host", "layer")
}
