package layer_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/layer/changes"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/disk"
	"pyro/native/layer/stack"
)

const base = 2_000_000

func mount(t *testing.T, dir string, idmap *stack.Idmap, lowers ...string) {
	t.Helper()
	must(t, stack.Mount(stack.Spec{Lowers: lowers, Upper: dir + "/upper", Work: dir + "/work", Merged: dir + "/merged", Idmap: idmap}))
}

// The layers are unshifted on disk, the upper one is shifted: a process whose root is base sees its own files.
func TestIdmappedStack(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		lower := filepath.Join(dir, "lower")
		write(t, lower+"/root-file", "root")
		write(t, lower+"/user-file", "user")
		must(t, os.Chown(lower+"/user-file", 1000, 1000))
		owner := stack.Owner{UID: base, GID: base}
		spec := stack.Spec{Lowers: []string{lower}, Upper: dir + "/upper", Work: dir + "/work", Merged: dir + "/merged",
			Idmap: &stack.Idmap{Base: base, Size: 65536}, Owner: owner}
		must(t, stack.Mount(spec))
		wantCode(t, stack.Mount(spec), "already_mounted")
		if names, _ := filepath.Glob(dir + "/merged.lower*"); len(names) > 0 {
			t.Fatal("left behind: ", names)
		}
		script := `set -e; cd "$1"; stat -c %u:%g root-file user-file; echo more >> user-file; chown 5:6 root-file
			echo n > new; stat -c %u:%g user-file root-file new`
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: base, Size: 65536}}
		command := exec.Command("/bin/sh", "-c", script, "sh", dir+"/merged")
		command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
			Credential: &syscall.Credential{}}
		out, err := command.CombinedOutput()
		if err != nil || string(out) != "0:0\n1000:1000\n1000:1000\n5:6\n0:0\n" {
			t.Fatalf("%v %q", err, out)
		}
		for path, uid := range map[string]uint32{"/upper": base, "/upper/user-file": base + 1000, "/upper/root-file": base + 5, "/upper/new": base} {
			var st unix.Stat_t
			must(t, unix.Lstat(dir+path, &st))
			if st.Uid != uid {
				t.Fatalf("%s belongs to %d, want %d", path, st.Uid, uid)
			}
		}
		var st unix.Stat_t
		must(t, unix.Lstat(lower+"/user-file", &st))
		if st.Uid != 1000 || read(t, lower+"/user-file") != "user" {
			t.Fatal("the sealed layer changed")
		}
		must(t, stack.Unmount(dir+"/merged"))
		must(t, stack.Unmount(dir+"/merged"))
		wantNone(t, dir+"/merged")
	})
}

func TestStackWithoutLowers(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	mount(t, dir, nil)
	write(t, dir+"/merged/a", "b")
	if read(t, dir+"/upper/a") != "b" {
		t.Fatal("not the same directory")
	}
	must(t, stack.Unmount(dir+"/merged"))
	wantCode(t, stack.Unmount("/"), "bad_path")
	wantCode(t, stack.Mount(stack.Spec{Lowers: []string{dir + "/none"}, Upper: dir + "/u", Work: dir + "/w", Merged: dir + "/m"}), "layer_missing")
}

func TestChanges(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		lower, older := dir+"/lower", dir+"/older"
		for _, name := range []string{"same", "edited", "gone", "sub/untouched", "tree/a", "tree/b/c", "remade/old", "remade/kept", "todir", "dirto/x", "moded"} {
			write(t, lower+"/"+name, "content of "+name)
		}
		must(t, os.Symlink("one", lower+"/link"))
		write(t, older+"/deep/file", "deep")
		mount(t, dir, nil, lower, older)
		m := dir + "/merged"
		write(t, m+"/same", "content of same")
		write(t, m+"/edited", "content of EDITED")
		write(t, m+"/sub/new", "n")
		write(t, m+"/deep/other", "o")
		must(t, os.Remove(m+"/gone"))
		must(t, os.RemoveAll(m+"/tree"))
		must(t, os.RemoveAll(m+"/remade"))
		write(t, m+"/remade/kept", "content of remade/kept")
		must(t, os.Remove(m+"/todir"))
		write(t, m+"/todir/in", "i")
		must(t, os.RemoveAll(m+"/dirto"))
		write(t, m+"/dirto", "file")
		must(t, os.Remove(m+"/link"))
		must(t, os.Symlink("two", m+"/link"))
		must(t, os.Chmod(m+"/moded", 0o755))
		write(t, m+"/brief", "b")
		must(t, os.Remove(m+"/brief"))
		want := `deep/other added file
dirto modified file
dirto/x deleted file
edited modified file
gone deleted file
link modified symlink
moded modified file
remade/old deleted file
sub/new added file
todir modified directory
todir/in added file
tree deleted directory
tree/a deleted file
tree/b deleted directory
tree/b/c deleted file
`
		spec := changes.Spec{Lowers: []string{lower, older}, Upper: dir + "/upper", Limit: 1000}
		result, err := changes.Scan(background, spec)
		must(t, err)
		var got strings.Builder
		for _, e := range result.Entries {
			fmt.Fprintln(&got, e.Path, e.Change, e.Type)
			if e.ChangedAtMS < 1_700_000_000_000 {
				t.Fatalf("%+v", e)
			}
		}
		if got.String() != want || result.Added != 3 || result.Modified != 5 || result.Deleted != 7 || result.Truncated {
			t.Fatalf("%+v\n%s", result, got.String())
		}
		spec.Limit = 2
		result, err = changes.Scan(background, spec)
		must(t, err)
		if len(result.Entries) != 2 || !result.Truncated || result.Entries[0].Path != "deep/other" {
			t.Fatalf("%+v", result)
		}
	})
}

// A hand lives as long as its engine, and compares layers again and again.
func TestChangesHoldNothingOpen(t *testing.T) {
	dir := t.TempDir()
	for _, layer := range []string{"/lower", "/second", "/upper"} {
		write(t, dir+layer+"/folder/file", layer)
	}
	_, err := changes.Scan(background, changes.Spec{Lowers: []string{dir + "/lower", dir + "/second"}, Upper: dir + "/upper", Limit: 10})
	must(t, err)
	descriptors, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, descriptor := range descriptors {
		if path, _ := os.Readlink("/proc/self/fd/" + descriptor.Name()); strings.HasPrefix(path, dir) {
			t.Errorf("%s is still open", path)
		}
	}
}

func TestWhiteoutByAttribute(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/lower/a", "a")
	write(t, dir+"/upper/a", "")
	must(t, unix.Setxattr(dir+"/upper/a", "user.overlay.whiteout", []byte("y"), 0))
	result, err := changes.Scan(background, changes.Spec{Lowers: []string{dir + "/lower"}, Upper: dir + "/upper", Limit: 10})
	must(t, err)
	if result.Deleted != 1 || result.Added+result.Modified != 0 {
		t.Fatalf("%+v", result)
	}
}

func TestRemoveAndUsage(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/outside", "safe")
	tree := dir + "/tree"
	write(t, tree+"/closed/file", strings.Repeat("x", 100_000))
	must(t, os.Link(tree+"/closed/file", tree+"/again"))
	must(t, os.Symlink(dir, tree+"/link"))
	used, err := disk.Usage(background, tree)
	must(t, err)
	if used.Entries != 5 || used.Bytes < 100_000 || used.Bytes > 150_000 {
		t.Fatalf("%+v", used)
	}
	must(t, os.Chmod(tree+"/closed", 0))
	must(t, os.Mkdir(tree+"/deep", 0o755))
	fd, err := unix.Open(tree+"/deep", unix.O_DIRECTORY, 0)
	must(t, err)
	for range 3000 {
		must(t, unix.Mkdirat(fd, "d", 0o755))
		next, err := unix.Openat(fd, "d", unix.O_DIRECTORY, 0)
		must(t, err)
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	must(t, dirfd.Remove(tree))
	must(t, dirfd.Remove(tree))
	wantNone(t, dir, "outside")
}

func TestProbe(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		result, err := disk.Probe(dir)
		must(t, err)
		if !result.Overlay || result.FreeBytes == 0 || result.Reflink != (result.Type == "xfs") {
			t.Fatalf("%+v", result)
		}
		if names, _ := filepath.Glob(dir + "/.pyro*"); len(names) > 0 {
			t.Fatal("left behind: ", names)
		}
	})
	t.Run("no overlay", func(t *testing.T) {
		needRoot(t)
		result, err := disk.Probe(loop(t, "16M", "mkfs.vfat"))
		must(t, err)
		if result.Overlay || result.Reason == "" {
			t.Fatalf("%+v", result)
		}
	})
}
