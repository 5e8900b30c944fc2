package host_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pyro/native/layer/dirfd"
)

func TestJailAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home, err := os.MkdirTemp("/root", "pyro-test-*")
	must(t, err)
	t.Cleanup(func() { _ = dirfd.Remove(home) })
	jailed(t, binary(t), home, 3_000_000)
}

// jailed is a machine's view of its files from the making to the removal, as whoever runs this.
func jailed(t *testing.T, binary string, home string, uid int) {
	h := startHolder(t, binary, home+"/jailed")
	c := h.hand(t)
	owner := object{"uid": uid, "gid": uid}
	text := func(path string, mode int) object { return object{"path": path, "mode": mode, "content": path} }
	c.ask("assemble", object{"dest": home + "/images", "owner": owner, "files": []object{text("changes", 0o600), text("kernel", 0o644)}}, nil)
	c.ask("assemble", object{"dest": home + "/others", "owner": object{"uid": 0, "gid": 0}, "files": []object{text("secret", 0o600)}}, nil)
	dir, sockets := h.Stage+"/vm", home+"/run-vm"
	file := func(source, name string, readOnly bool) object {
		return object{"source": home + source, "name": name, "read_only": readOnly}
	}
	spec := object{"dir": dir, "root": "deep/root", "devices": false, "owner": owner, "sockets": sockets,
		"files": []object{file("/images/kernel", "kernel", true), file("/images/changes", "changes", false)}}
	c.ask("jail_make", spec, nil)
	c.refused("jail_make", spec, "exists")

	seen := fmt.Sprintf("/proc/%d/root%s/deep/root/", h.Pid, dir)
	for _, name := range []string{"kernel", "changes"} {
		got, err := os.ReadFile(seen + name)
		if os.Geteuid() == 0 && (err != nil || string(got) != name) {
			t.Fatalf("%s: %q %v", name, got, err)
		}
	}
	if _, err := os.OpenFile(seen+"kernel", os.O_WRONLY, 0); err == nil {
		t.Fatal("the kernel can be written to")
	}
	st, err := os.Stat(sockets)
	must(t, err)
	if st.Mode() != os.ModeDir|os.ModeSetgid|0o770 {
		t.Fatal(st.Mode())
	}
	must(t, os.WriteFile(sockets+"/from-outside", nil, 0o600))
	if _, err := os.Stat(seen + "run/from-outside"); err != nil {
		t.Fatal(err)
	}
	remove := object{"dir": dir, "sockets": sockets}
	c.ask("jail_remove", remove, nil)
	gone := func() {
		t.Helper()
		mounts, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", h.Pid))
		if !missing(sockets) || strings.Contains(string(mounts), dir) || !missing(fmt.Sprintf("/proc/%d/root%s", h.Pid, dir)) {
			t.Fatal("the jail left something behind")
		}
	}
	gone()
	c.ask("jail_remove", remove, nil)

	bad := func(name string, readOnly bool, source string) object {
		return with(spec, object{"files": []object{file("/images/kernel", "kernel", true), file(source, name, readOnly)}})
	}
	must(t, os.Symlink(home+"/images/kernel", home+"/link"))
	c.refused("jail_make", bad("x", true, "/others/secret"), "bad_path")
	c.refused("jail_make", bad("x", true, "/link"), "bad_path")
	c.refused("jail_make", bad("x", true, "/none"), "io_error")
	c.refused("jail_make", bad("../x", true, "/images/kernel"), "bad_args")
	c.refused("jail_make", bad("run", true, "/images/kernel"), "bad_args")
	c.refused("jail_make", with(spec, object{"root": "../x"}), "bad_args")
	gone()
	for _, name := range []string{"/images", "/others", "/link"} {
		c.ask("remove", object{"path": home + name}, nil)
	}
}
