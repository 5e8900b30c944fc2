package layer_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/layer/export"
	"pyro/native/layer/hostpath"
	"pyro/native/layer/seed"
)

// everybodys is a directory like /tmp with links in it: of a stranger's, of root's own, and of the directory's owner.
func everybodys(t *testing.T, dir string) string {
	t.Helper()
	open := dir + "/open"
	must(t, os.Mkdir(open, 0o755))
	for name, uid := range map[string]int{"stranger": 12_345, "own": 0, "owner": 23_456} {
		must(t, os.Symlink("../src", open+"/"+name))
		must(t, os.Lchown(open+"/"+name, uid, uid))
	}
	must(t, os.Chown(open, 23_456, 23_456))
	must(t, os.Chmod(open, 0o777|os.ModeSticky))
	return open
}

func TestHostilePathsOfSeeds(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	src := dir + "/src"
	write(t, src+"/sub/file", "x")
	must(t, os.WriteFile(dir+"/archive.tar", makeTar(t, entry{name: "a"}), 0o644))
	open := everybodys(t, dir)
	must(t, unix.Mkfifo(dir+"/pipe", 0o600))
	socket, err := net.Listen("unix", dir+"/socket")
	must(t, err)
	defer socket.Close()
	must(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	must(t, os.Symlink("loop", dir+"/loop"))
	must(t, os.Symlink(dir+"/pipe", dir+"/to-pipe"))
	must(t, os.Symlink("home/inner", dir+"/to-home"))
	write(t, dir+"/home/inner/file", "state")
	for path, code := range map[string]string{
		open + "/stranger": "seed_unreadable", open + "/stranger/sub": "seed_unreadable", open + "/own/../open/stranger": "seed_unreadable",
		dir + "/none": "seed_not_found", src + "/sub/file/x": "seed_not_found", src + "/sub/file/": "seed_not_found",
		dir + "/archive.tar/": "seed_not_found", dir + "/archive.tar/..": "seed_not_found",
		dir + "/pipe": "seed_unsupported", dir + "/to-pipe": "seed_unsupported", dir + "/socket": "seed_unsupported", dir + "/null": "seed_unsupported",
		dir + "/loop": "seed_unreadable", "/proc": "seed_unsupported", "/proc/self/environ": "seed_unreadable", "/proc/1/environ": "seed_unsupported",
		"/proc/1/root" + src: "seed_unreadable", "/proc/1/cwd": "seed_unreadable", "/sys": "seed_unsupported",
		dir + "/" + strings.Repeat("n", 256): "seed_not_found", "/" + strings.Repeat("n/", 2100): "seed_not_found",
		dir + "/home": "seed_overlap", dir + "/home/inner": "seed_overlap", dir + "/home/inner/file": "seed_overlap", dir: "seed_overlap",
		"/": "seed_overlap", dir + "/to-home": "seed_overlap", src + "/sub/../../home/inner": "seed_overlap",
		"relative": "bad_path", src + "\x00": "bad_path", "": "bad_path",
	} {
		spec := seed.Spec{Source: path, Dest: dir + "/home/new", Apart: []string{dir + "/home"}, MaxEntries: 100, MaxBytes: 1000}
		_, err := seed.Look(seed.LookSpec{Source: path, Apart: spec.Apart})
		if err == nil {
			t.Errorf("%s was not refused", path)
			continue
		}
		wantCode(t, err, code)
		_, err = seed.Seed(background, spec, silent)
		wantCode(t, err, code)
		wantNone(t, dir+"/home", "inner")
	}
	for path, kind := range map[string]string{
		open + "/own": "directory", open + "/owner/sub": "directory", src + "/": "directory", src + "/sub/..//": "directory", src + "/.": "directory",
		dir + "/archive.tar": "tar", dir + "/src/../archive.tar": "tar",
	} {
		seen, err := seed.Look(seed.LookSpec{Source: path, Apart: []string{dir + "/home", dir + "/nowhere"}})
		must(t, err)
		if seen.Kind != kind {
			t.Errorf("%s: %+v", path, seen)
		}
	}
}

func TestHostilePathsOfExports(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/root/file", "new")
	write(t, dir+"/src/old", "old")
	write(t, dir+"/home/state", "state")
	open := everybodys(t, dir)
	must(t, unix.Mkfifo(dir+"/src/pipe", 0o600))
	must(t, unix.Mknod(dir+"/src/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	must(t, os.Symlink("old", dir+"/src/link"))
	do := func(output string) error {
		_, err := export.Export(background, export.Spec{Root: dir + "/root", Path: "file", Output: output, Overwrite: true, Apart: []string{dir + "/home", dir + "/nowhere"}}, silent)
		return err
	}
	for output, code := range map[string]string{
		open + "/stranger/x": "output_unsuitable", dir + "/src/pipe": "output_unsuitable", dir + "/src/null": "output_unsuitable",
		dir + "/home": "output_unsuitable", dir + "/home/": "output_unsuitable", dir + "/home/state": "output_unsuitable", dir: "output_unsuitable",
		dir + "/src/../home/new": "output_unsuitable", "/": "output_unsuitable", dir + "/src/..": "output_unsuitable", dir + "/src/.": "output_unsuitable",
		"/proc/self/cwd/x": "output_unsuitable", "/proc/x": "output_unsuitable", "/sys/x": "output_unsuitable", "x": "output_unsuitable",
		dir + "/src/" + strings.Repeat("n", 256): "output_unsuitable", dir + "/" + strings.Repeat("n/", 2100): "output_parent_missing",
		dir + "/src/old/x": "output_parent_missing", dir + "/none/x": "output_parent_missing", dir + "/src\x00/x": "output_unsuitable",
	} {
		err := do(output)
		if err == nil {
			t.Errorf("%s was not refused", output)
			continue
		}
		wantCode(t, err, code)
	}
	wantNone(t, dir, "home", "open", "root", "src")
	wantNone(t, dir+"/src", "link", "null", "old", "pipe")
	wantNone(t, dir+"/home", "state")
	// A link at the output itself is what is replaced, and not where it leads; a slash behind says nothing.
	must(t, do(dir+"/src/link/"))
	must(t, do(open+"/own/new\nname\xff"))
	if read(t, dir+"/src/link") != "new" || read(t, dir+"/src/old") != "old" || read(t, dir+"/src/new\nname\xff") != "new" {
		t.Fatal("content")
	}
}

func TestPlaceIsWhereItWasFound(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/a/b/file", "")
	for path, want := range map[string]bool{"/a/b/file": true, "/a/b": true, "/a": true, "": false, "/c": false} {
		must(t, os.MkdirAll(dir+"/c", 0o755))
		place, err := hostpath.Find(dir + path)
		must(t, err)
		inside, err := place.LiesIn(dir + "/a")
		must(t, err)
		if inside != want {
			t.Errorf("%s in a: %v", path, inside)
		}
		place.Close()
	}
}
