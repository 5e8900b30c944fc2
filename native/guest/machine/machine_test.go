package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParams(t *testing.T) {
	p, err := Parse("console=ttyS0 quiet pyro.mode=run pyro.env=serial:env pyro.base=serial:base pyro.changes=/dev/vdc pyro.channel=vsock pyro.pids=77\n")
	if want := (Params{Env: "serial:env", Base: "serial:base", Changes: "/dev/vdc", Vsock: true, Pids: 77}); err != nil || p != want {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := Parse("pyro.mode=inspect pyro.changes=serial:changes"); err != nil || !p.Inspect {
		t.Errorf("%+v %v", p, err)
	}
	for line, part := range map[string]string{
		"":                                   "no disk",
		"pyro.changes=serial:c":              "no disk",
		"pyro.env=serial:e":                  "no disk",
		"pyro.env=/dev/ pyro.changes=/dev/x": "pyro.env",
		"pyro.env=/dev/../etc":               "pyro.env",
		"pyro.env=/etc/passwd":               "pyro.env",
		"pyro.env=serial:":                   "pyro.env",
		"pyro.mode=both":                     "pyro.mode",
		"pyro.channel=tcp":                   "pyro.channel",
		"pyro.pids=-1":                       "pyro.pids",
		"pyro.pids=x":                        "pyro.pids",
		"pyro.pids=99999999999":              "pyro.pids",
		"pyro.other=1":                       "pyro.other",
	} {
		if _, err := Parse(line); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDevicesAreFoundByName(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/block/vda/serial", "base\n")
	put(t, dir+"/block/vdb/serial", "env")
	put(t, dir+"/block/loop0/serial", "changes")
	put(t, dir+"/ports/vport1p1/name", "pyro.control\n")
	put(t, dir+"/ports/vport1p2/name", "pyro.bulk\n")
	for disk, want := range map[string]string{"serial:env": "/dev/vdb", "serial:base": "/dev/vda", "serial:changes": "", "serial:en": "", "/dev/null": "/dev/null", "/dev/none-such": ""} {
		if got := lookForDisk(disk, dir+"/block", "/dev"); got != want {
			t.Errorf("%s: %q, want %q", disk, got, want)
		}
	}
	for port, want := range map[string]string{"pyro.bulk": "vport1p2", "pyro.control": "vport1p1", "pyro.network": ""} {
		if got := lookForPort(port, dir+"/ports"); got != want {
			t.Errorf("%s: %q, want %q", port, got, want)
		}
	}
}

func TestModulesOfNoListAreNone(t *testing.T) {
	if err := loadModules(t.TempDir() + "/order"); err != nil {
		t.Error(err)
	}
	list := t.TempDir() + "/order"
	put(t, list, "virtio_none.ko\n")
	if err := loadModules(list); err == nil || !strings.Contains(err.Error(), "virtio_none.ko") {
		t.Errorf("a missing module: %v", err)
	}
}
