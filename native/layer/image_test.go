package layer_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/layer/image"
	"pyro/native/layer/layertar"
	"pyro/native/layer/stack"
)

func needTool(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed")
		}
	}
}

// loopMount mounts an image of ours for reading.
func loopMount(t *testing.T, path string, at string, options string) {
	t.Helper()
	must(t, os.MkdirAll(at, 0o755))
	if out, err := exec.Command("mount", "-o", "loop,"+options, path, at).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", at).Run() })
}

func TestImageCreate(t *testing.T) {
	needTool(t, "mkfs.ext4", "e2fsck")
	onEach(t, func(t *testing.T, dir string) {
		path := dir + "/changes"
		made, err := image.Create(background, image.CreateSpec{Output: path, SizeMiB: 16384, Owner: stack.Owner{UID: base, GID: base + 1}})
		must(t, err)
		t.Logf("%.1f ms, %d bytes", made.MS, made.Bytes)
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		if st.Uid != base || st.Gid != base+1 || st.Mode&0o777 != 0o600 || st.Size != 16<<30 || st.Blocks*512 > 2<<20 {
			t.Fatalf("%+v", st)
		}
		if out, err := exec.Command("e2fsck", "-fn", path).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		loopMount(t, path, dir+"/at", "noinit_itable")
		for _, one := range []string{"root/upper", "root/work", "workspace/upper", "workspace/work", "spool"} {
			must(t, unix.Lstat(dir+"/at/"+one, &st))
			if st.Uid != 0 || st.Gid != 0 || st.Mode&unix.S_IFMT != unix.S_IFDIR {
				t.Fatalf("%s: %+v", one, st)
			}
		}
		write(t, dir+"/at/workspace/upper/file", "written")
		_, err = image.Create(background, image.CreateSpec{Output: path, SizeMiB: 64})
		wantCode(t, err, "exists")
		_, err = image.Create(background, image.CreateSpec{Output: dir + "/none/x", SizeMiB: 64})
		wantCode(t, err, "io_error")
		_, err = image.Create(background, image.CreateSpec{Output: dir + "/x", SizeMiB: 1})
		wantCode(t, err, "bad_args")
		must(t, exec.Command("umount", dir+"/at").Run())
		wantNone(t, dir, "at", "changes")
		for _, size := range []int64{16, 64, 255, 256, 16 << 20} {
			if size == 16<<20 && strings.Contains(t.Name(), "default") {
				size = 15 << 20 // ext4 holds no file of 16 TiB.
			}
			_, err := image.Create(background, image.CreateSpec{Output: dir + "/x", SizeMiB: size})
			must(t, err)
			must(t, os.Remove(dir+"/x"))
		}
	})
}

// What was a directory, owned by a range of ids, is the same tree in an image; and so is what came by a tar.
func TestImageSeal(t *testing.T) {
	needTool(t, "mkfs.erofs")
	onEach(t, func(t *testing.T, dir string) {
		awkward(t, dir+"/layer", base)
		want := strings.NewReplacer(fmt.Sprintf("%x", capability(base)), fmt.Sprintf("%x", capability(0)),
			fmt.Sprintf("%x", accessList(base+5)), fmt.Sprintf("%x", accessList(5))).Replace(picture(t, dir+"/layer", base))
		shifted := &stack.Idmap{Base: base, Size: 65536}
		const size = 1 << 40
		owner := stack.Owner{UID: base, GID: base}
		must(t, image.Placeholder(image.PlaceholderSpec{Output: dir + "/base", Size: size, Owner: owner}))
		var before, after unix.Stat_t
		must(t, unix.Stat(dir+"/base", &before))
		sealed, err := image.Seal(background, image.SealSpec{Source: dir + "/layer", Output: dir + "/base", IDs: shifted, KeepSize: true})
		must(t, err)
		t.Logf("%.1f ms, %d bytes", sealed.MS, sealed.Bytes)
		must(t, unix.Stat(dir+"/base", &after))
		used, err := image.Usage(dir + "/base")
		must(t, err)
		if after.Ino != before.Ino || after.Uid != base || used.Length != size || used.Allocated > 16<<20 || used.Allocated < 300_000 {
			t.Fatalf("%+v %+v", after, used)
		}
		loopMount(t, dir+"/base", dir+"/at", "ro")
		if got := picture(t, dir+"/at", 0); got != want {
			t.Fatalf("the image differs:\n%s\n---\n%s", want, got)
		}
		must(t, unpack(pack(t, dir+"/layer", layertar.PackOptions{IDs: shifted}), dir+"/moved", layertar.UnpackOptions{}))
		_, err = image.Seal(background, image.SealSpec{Source: dir + "/moved", Output: dir + "/second", Owner: owner})
		must(t, err)
		loopMount(t, dir+"/second", dir+"/at2", "ro")
		if got := picture(t, dir+"/at2", 0); got != want {
			t.Fatalf("the moved layer's image differs:\n%s\n---\n%s", want, got)
		}
		back := pack(t, dir+"/at2", layertar.PackOptions{})
		if string(back) != string(pack(t, dir+"/moved", layertar.PackOptions{})) {
			t.Fatal("the image packs to other bytes than the directory")
		}
	})
}

func TestImageSealFails(t *testing.T) {
	needTool(t, "mkfs.erofs", "mkfs.ext4")
	needRoot(t)
	dir := openDir(t)
	_, err := image.Seal(background, image.SealSpec{Source: dir + "/none", Output: dir + "/image"})
	wantCode(t, err, "layer_missing")
	write(t, dir+"/layer/file", strings.Repeat("0123456789abcdef", 1<<20))
	small := loop(t, "8M", "mkfs.ext4", "-q")
	_, err = image.Seal(background, image.SealSpec{Source: dir + "/layer", Output: small + "/image"})
	wantCode(t, err, "disk_full")
	must(t, image.Placeholder(image.PlaceholderSpec{Output: small + "/base", Size: 1 << 30}))
	_, err = image.Seal(background, image.SealSpec{Source: dir + "/layer", Output: small + "/base", KeepSize: true})
	wantCode(t, err, "disk_full")
	used, err := image.Usage(small + "/base")
	must(t, err)
	if used.Allocated != 0 || used.Length != 1<<30 {
		t.Fatalf("%+v", used)
	}
	left, _ := filepath.Glob(small + "/.*tmp*")
	if len(left) > 0 {
		t.Fatal(left)
	}
	must(t, os.Symlink(dir+"/layer/file", small+"/link"))
	_, err = image.Seal(background, image.SealSpec{Source: dir + "/layer", Output: small + "/link", KeepSize: true})
	wantCode(t, err, "io_error")
}
