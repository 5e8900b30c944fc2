// The tests of the layers as a whole: real mounts and files, in a mount namespace of their own.
package layer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
)

const inside = "PYRO_TEST_INSIDE"

// TestMain runs the tests again in a private mount namespace, so that nothing they mount outlives them.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		os.Exit(0) // Started for its user namespace only.
	}
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		if os.Geteuid() == 0 {
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		os.Exit(m.Run())
	}
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	again.Env = append(os.Environ(), inside+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	err := again.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		os.Exit(failed.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
}

// onEach runs a test on the file system of the temporary directory and on an XFS with reflinks.
func onEach(t *testing.T, test func(t *testing.T, dir string)) {
	needRoot(t)
	t.Run("default", func(t *testing.T) { test(t, openDir(t)) })
	t.Run("xfs", func(t *testing.T) { test(t, loop(t, "320M", "mkfs.xfs", "-q", "-m", "reflink=1")) })
}

// openDir is a temporary directory that every user may pass.
func openDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "pyro-layer-*")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() {
		_ = unix.Unmount(filepath.Join(dir, "merged"), unix.MNT_DETACH)
		_ = os.RemoveAll(dir)
	})
	return dir
}

// loop makes a file system in a file and mounts it.
func loop(t *testing.T, size string, mkfs ...string) string {
	if _, err := exec.LookPath(mkfs[0]); err != nil {
		t.Skip(mkfs[0] + " is not installed")
	}
	dir := openDir(t)
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "mounted")
	must(t, exec.Command("truncate", "-s", size, image).Run())
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v: %s", mkfs[0], err, out)
	}
	must(t, os.Mkdir(at, 0o755))
	if out, err := exec.Command("mount", "-o", "loop", image, at).CombinedOutput(); err != nil {
		t.Skipf("no loop device: %v: %s", err, out)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(filepath.Join(at, "merged"), unix.MNT_DETACH)
		_ = exec.Command("umount", "-l", at).Run()
	})
	return at
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.HasCode(err, code) {
		t.Fatalf("want %s, got %v", code, err)
	}
}

func wantNone(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Fatalf("%s holds %v, want %v", dir, got, names)
	}
}

var background = context.Background()

func silent(any) {}
