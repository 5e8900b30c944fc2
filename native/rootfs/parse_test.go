package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, path string, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func TestInstalledPackages(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "var/lib/dpkg/status"),
		"Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2-3\nDescription: x\n Version: no\n\nPackage: b\nVersion: 2\nArchitecture: amd64\n")
	found, err := installed(root)
	must(t, err)
	if len(found) != 2 || found[0] != (Package{"a", "1:2-3", "all"}) || found[1] != (Package{"b", "2", "amd64"}) {
		t.Errorf("%+v", found)
	}
	// A script of the build may have put a link there.
	must(t, os.Remove(filepath.Join(root, "var/lib/dpkg/status")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(root, "var/lib/dpkg/status")))
	if _, err := installed(root); err == nil {
		t.Error("a link was followed")
	}
}

func TestReleases(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "x_InRelease"),
		"-----BEGIN PGP SIGNED MESSAGE-----\n\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n Date: no\nCodename: second\n")
	found, err := releases(folder)
	must(t, err)
	want := Release{"bookworm", "Sat, 11 Jul 2026 10:16:37 UTC", found[0].SHA256, "x_InRelease"}
	if len(found) != 1 || found[0] != want || len(want.SHA256) != 64 {
		t.Errorf("%+v", found)
	}
	must(t, os.Symlink("/etc/passwd", filepath.Join(folder, "y")))
	if _, err := releases(folder); err == nil {
		t.Error("a link was followed")
	}
	must(t, os.Remove(filepath.Join(folder, "y")))
	must(t, unix.Mkfifo(filepath.Join(folder, "pipe"), 0o600))
	if _, err := releases(folder); err != nil {
		t.Log(err) // It did not wait for a writer.
	}
}

func TestHowFarAnInstallationIs(t *testing.T) {
	root := t.TempDir()
	var said []counted
	w := &watcher{root: root, tell: func(one any) { said = append(said, one.(counted)) }, archives: map[string]int64{}, settled: map[string]bool{}}
	last := func() counted { return said[len(said)-1] }
	w.look()
	write(t, filepath.Join(root, "var/cache/apt/archives/partial/a_1.deb"), strings.Repeat("x", 10))
	w.look()
	must(t, os.Rename(filepath.Join(root, "var/cache/apt/archives/partial/a_1.deb"), filepath.Join(root, "var/cache/apt/archives/a_1.deb")))
	write(t, filepath.Join(root, "var/cache/apt/archives/b_1.deb"), strings.Repeat("x", 20))
	w.look()
	if last() != (counted{Text: "downloading packages", Done: 30, Unit: "bytes"}) {
		t.Errorf("%+v", said)
	}
	must(t, os.RemoveAll(filepath.Join(root, "var/cache/apt/archives")))
	w.look()
	if last().Done != 30 {
		t.Errorf("it went back: %+v", said)
	}
	log := filepath.Join(root, "var/log/dpkg.log")
	write(t, log, "2026-11-25 10:00:00 status installed a:amd64 1\n2026-11-25 10:00:00 status unpacked b:amd64 1\n2026-11-25 10:00:01 status inst")
	w.look()
	if last() != (counted{Text: "installing packages", Done: 1, Unit: "packages"}) {
		t.Errorf("%+v", said)
	}
	file, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = file.WriteString("alled b:amd64 1\n2026-11-25 10:00:02 status installed a:amd64 1\n")
	must(t, err)
	must(t, file.Close())
	w.look()
	if last().Done != 2 {
		t.Errorf("%+v", said)
	}
	count := len(said)
	w.look()
	must(t, os.Remove(log))
	must(t, os.Symlink("/etc/passwd", log))
	w.look()
	if len(said) != count {
		t.Error("it said something twice, or followed a link")
	}
}
