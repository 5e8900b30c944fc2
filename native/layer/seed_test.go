package layer_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/seed"
	"pyro/native/layer/stack"
)

func TestSeedPlainTree(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		src, dest := filepath.Join(dir, "src"), filepath.Join(dir, "dest")
		write(t, src+"/a/b/file", "content")
		write(t, src+"/big", strings.Repeat("x", 300_000))
		must(t, os.Link(src+"/big", src+"/a/other-name"))
		must(t, os.Symlink("/etc/passwd", src+"/link"))
		must(t, os.Chmod(src+"/a/b/file", 0o755|os.ModeSetuid))
		must(t, os.Chmod(src+"/a", 0o711))
		must(t, unix.Mkfifo(src+"/fifo", 0o600))
		must(t, unix.Truncate(src+"/a/b/file", 7))
		sparse, err := os.Create(src + "/sparse")
		must(t, err)
		_, err = sparse.WriteAt([]byte("end"), 8<<20)
		must(t, err)
		must(t, sparse.Close())
		when := unix.NsecToTimespec(1_500_000_000_123_456_789)
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, src+"/big", []unix.Timespec{when, when}, 0))
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, src+"/a", []unix.Timespec{when, when}, 0))
		result, err := seed.Seed(background, seed.Spec{Source: src, Dest: dest, Owner: stack.Owner{UID: 1000, GID: 1001}}, silent)
		must(t, err)
		if result.Kind != "directory" || result.Files != 4 || result.Dirs != 2 || result.Links != 1 || result.SkippedCount != 1 || result.Skipped[0].Reason != "special" {
			t.Fatalf("%+v", result)
		}
		var st, other unix.Stat_t
		must(t, unix.Lstat(dest+"/big", &st))
		must(t, unix.Lstat(dest+"/a/other-name", &other))
		if st.Uid != 1000 || st.Gid != 1001 || st.Mtim != when || st.Ino != other.Ino || st.Size != 300_000 {
			t.Fatalf("%+v %+v", st, other)
		}
		must(t, unix.Lstat(dest+"/a", &st))
		if st.Mode&0o7777 != 0o711 || st.Mtim != when || st.Uid != 1000 {
			t.Fatalf("%+v", st)
		}
		must(t, unix.Lstat(dest+"/a/b/file", &st))
		if st.Mode&0o7777 != 0o755 {
			t.Fatalf("mode %o", st.Mode)
		}
		must(t, unix.Lstat(dest+"/sparse", &st))
		if st.Blocks*512 > 1<<20 || !strings.HasSuffix(read(t, dest+"/sparse"), "end") {
			t.Fatalf("not sparse: %d blocks", st.Blocks)
		}
		if target, _ := os.Readlink(dest + "/link"); target != "/etc/passwd" {
			t.Fatal(target)
		}
		_, err = seed.Seed(background, seed.Spec{Source: src, Dest: dest}, silent)
		wantCode(t, err, "exists")
	})
}

func TestSeedGitTree(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	src, dest := filepath.Join(dir, "src"), filepath.Join(dir, "dest")
	write(t, src+"/kept", "1")
	write(t, src+"/sub/kept too", "2")
	write(t, src+"/gone", "3")
	write(t, src+"/dir/inner", "4")
	write(t, src+"/.gitignore", "ignored\n")
	hook := filepath.Join(dir, "hook-ran")
	run := func(args ...string) {
		t.Helper()
		command := exec.Command("git", args...)
		command.Dir = src
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s", args, out)
		}
	}
	run("init", "-q")
	run("add", ".")
	run("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
	write(t, src+"/new", "5")
	write(t, src+"/ignored", "6")
	must(t, os.Remove(src+"/gone"))
	must(t, os.RemoveAll(src+"/dir"))
	must(t, os.Symlink("sub", src+"/dir")) // A tracked directory that became a link: its files are not there.
	write(t, src+"/nested/.git/HEAD", "ref: refs/heads/x\n")
	must(t, exec.Command("git", "init", "-q", src+"/nested").Run())
	write(t, src+"/nested/file", "7")
	run("config", "core.fsmonitor", "touch "+hook)
	must(t, os.Chown(src+"/.git", 12345, 12345))
	result, err := seed.Seed(background, seed.Spec{Source: src, Dest: dest}, silent)
	must(t, err)
	if result.Kind != "git" || result.Head == nil || len(*result.Head) != 40 {
		t.Fatalf("%+v", result)
	}
	wantNone(t, dest, ".git", ".gitignore", "dir", "kept", "nested", "new", "sub")
	wantNone(t, dest+"/nested", ".git", "file")
	if _, err := os.Lstat(hook); err == nil {
		t.Fatal("the repository's fsmonitor ran")
	}
	all, err := seed.Seed(background, seed.Spec{Source: src, Dest: dir + "/all", All: true}, silent)
	must(t, err)
	if all.Kind != "git" || read(t, dir+"/all/ignored") != "6" {
		t.Fatalf("%+v", all)
	}
}

func TestSeedRefusals(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	src := filepath.Join(dir, "src")
	write(t, src+"/a", strings.Repeat("x", 1000))
	write(t, src+"/b", "y")
	for _, one := range []struct {
		spec seed.Spec
		code string
	}{
		{seed.Spec{Source: dir + "/none", Dest: dir + "/d"}, "seed_not_found"},
		{seed.Spec{Source: src + "/a", Dest: dir + "/d"}, "seed_unsupported"},
		{seed.Spec{Source: src, Dest: src + "/d"}, "seed_overlap"},
		{seed.Spec{Source: src, Dest: src}, "seed_overlap"},
		{seed.Spec{Source: src, Dest: dir}, "seed_overlap"},
		{seed.Spec{Source: src, Dest: dir + "/d", MaxEntries: 1}, "seed_too_large"},
		{seed.Spec{Source: src, Dest: dir + "/d", MaxBytes: 500}, "seed_too_large"},
		{seed.Spec{Source: "src", Dest: dir + "/d"}, "bad_path"},
	} {
		_, err := seed.Seed(background, one.spec, silent)
		wantCode(t, err, one.code)
	}
	cancelled, cancel := context.WithCancel(background)
	cancel()
	_, err := seed.Seed(cancelled, seed.Spec{Source: src, Dest: dir + "/d"}, silent)
	wantCode(t, err, "cancelled")
	wantNone(t, dir, "src")
}

func TestSeedDiskFull(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/src/a", strings.Repeat("x", 3<<20))
	small := filepath.Join(dir, "small")
	must(t, os.Mkdir(small, 0o755))
	must(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	_, err := seed.Seed(background, seed.Spec{Source: dir + "/src", Dest: small + "/d"}, silent)
	wantCode(t, err, "disk_full")
	wantNone(t, small)
}

func TestSeedGrowingFile(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/src/log", strings.Repeat("x", 40<<20))
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		file, err := os.OpenFile(dir+"/src/log", os.O_APPEND|os.O_WRONLY, 0)
		for err == nil && !stop.Load() {
			_, err = file.WriteString("more")
			time.Sleep(50 * time.Microsecond)
		}
	}()
	_, err := seed.Seed(background, seed.Spec{Source: dir + "/src", Dest: dir + "/d"}, silent)
	stop.Store(true)
	<-done
	wantCode(t, err, "seed_changed")
	wantNone(t, dir, "src")
}

// A directory that is swapped with a link to a secret while it is walked must never lead out.
func TestSeedRacingLink(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	src := filepath.Join(dir, "src")
	write(t, dir+"/secret/deep/file", "secret")
	for _, name := range []string{"a", "b", "c"} {
		write(t, src+"/"+name+"/deep/file", "public")
	}
	must(t, os.Symlink(dir+"/secret", src+"/evil"))
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			_ = unix.Renameat2(unix.AT_FDCWD, src+"/b", unix.AT_FDCWD, src+"/evil", unix.RENAME_EXCHANGE)
		}
	}()
	finished := 0
	for range 1500 {
		dest := dir + "/dest"
		_, err := seed.Seed(background, seed.Spec{Source: src, Dest: dest, All: true}, silent)
		if err != nil {
			wantCode(t, err, "seed_changed")
			continue
		}
		finished++
		for _, name := range []string{"a", "b", "c", "evil"} {
			if st, err := os.Lstat(dest + "/" + name); err == nil && st.IsDir() && read(t, dest+"/"+name+"/deep/file") != "public" {
				t.Fatal("the secret was copied")
			}
		}
		must(t, os.RemoveAll(dest))
	}
	stop.Store(true)
	<-done
	t.Logf("%d of 1500 finished", finished)
}
