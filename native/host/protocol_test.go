package host_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
)

func rootHolder(t *testing.T) *holder {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home, err := os.MkdirTemp("", "pyro-hold-*")
	must(t, err)
	t.Cleanup(func() { _ = dirfd.Remove(home) })
	return startHolder(t, binary(t), home)
}

func TestProtocolGarbage(t *testing.T) {
	h := rootHolder(t)
	c := h.hand(t)
	c.refused("nope", object{}, "unknown_op")
	c.refused("unmount", object{"path": "/tmp/x", "more": 1}, "bad_args")
	c.refused("unmount", object{"path": 5}, "bad_args")
	c.refused("unmount", object{"path": "x"}, "bad_path")
	c.refused("remove", object{"path": "/tmp/../etc"}, "bad_path")
	c.refused("remove", object{"path": "/etc"}, "bad_path")
	c.refused("start", object{"id": "../x", "runtime": "/r"}, "bad_args")
	fmt.Fprintln(c.conn, `{"cancel":99}`)
	c.ask("unmount", object{"path": "/tmp/x"}, nil)
	for _, line := range []string{"garbage\n", `{"id":1,"op":"hello","what":1}` + "\n", "[]\n", `{"op":"hello"} {}` + "\n"} {
		c := h.hand(t)
		fmt.Fprint(c.conn, line)
		if got := c.receive(); got.Error == nil || got.Error.Code != "protocol_error" {
			t.Fatalf("%q: %+v", line, got)
		}
		if _, err := c.in.ReadByte(); err != io.EOF {
			t.Fatalf("%q: the hand goes on: %v", line, err)
		}
	}
	c = h.hand(t)
	go func() { _, _ = c.conn.Write(bytes.Repeat([]byte("x"), 9<<20)) }()
	if got := c.receive(); got.Error == nil || got.Error.Code != "protocol_error" {
		t.Fatalf("%+v", got)
	}
}

func TestHolderGarbage(t *testing.T) {
	h := rootHolder(t)
	for _, line := range []string{"x\n", "{}\n", `{"hand":"relative"}` + "\n", `{"hand":"/none"}` + "\n", `{"exit":false}` + "\n",
		`{"hand":"/a","exit":true}` + "\n", strings.Repeat("y", 10_000)} {
		connection, err := net.Dial("unix", h.socket)
		must(t, err)
		_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(connection, line)
		got, _ := io.ReadAll(connection)
		if !bytes.Contains(got, []byte(`"error"`)) && len(line) < 10_000 {
			t.Fatalf("%q: %s", line, got)
		}
		connection.Close()
	}
	h.hand(t).ask("hello", object{}, nil)
	st, err := os.Stat(h.socket)
	must(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Fatal(st.Mode())
	}
	// A second holder for the same state is refused.
	out, err := exec.Command(h.binary, "hold", "--socket", h.socket, "--info", h.info).Output()
	if err == nil || !bytes.Contains(out, []byte("already_held")) {
		t.Fatalf("%v %s", err, out)
	}
	h.hand(t).ask("hello", object{}, nil)
}

// A cancelled copy, and one whose engine dies, leave nothing.
func TestCancelUndoes(t *testing.T) {
	h := rootHolder(t)
	for i := range 20_000 {
		dir := fmt.Sprintf("%s/src/%d", h.home, i%200)
		if i < 200 {
			must(t, os.MkdirAll(dir, 0o755))
		}
		must(t, os.WriteFile(fmt.Sprintf("%s/%d", dir, i), []byte("x"), 0o644))
	}
	args := object{"source": h.home + "/src", "dest": h.home + "/dest", "owner": object{"uid": 0, "gid": 0}, "all": true, "max_entries": 0, "max_bytes": 0}
	temp := func() bool { found, _ := filepath.Glob(h.home + "/dest*"); return len(found) > 0 }
	c := h.hand(t)
	id := c.send("seed", args)
	if !eventually(temp) {
		t.Fatal("the copy did not start")
	}
	fmt.Fprintf(c.conn, "{\"cancel\":%d}\n", id)
	if got := c.receive(); got.Error == nil || got.Error.Code != "cancelled" {
		t.Fatalf("%+v", got)
	}
	if temp() {
		t.Fatal("the cancelled copy left something")
	}
	c.send("seed", args)
	if !eventually(temp) {
		t.Fatal("the copy did not start")
	}
	c.conn.Close()
	if !eventually(func() bool { return !temp() }) {
		t.Fatal("the abandoned copy left something")
	}
}

// Killing the holder takes its hands and every mount along.
func TestHolderKilled(t *testing.T) {
	h := rootHolder(t)
	c := h.hand(t)
	must(t, os.Mkdir(h.home+"/lower", 0o755))
	c.ask("mount_stack", object{"lowers": []string{h.home + "/lower"}, "upper": h.home + "/upper", "work": h.home + "/work",
		"merged": h.home + "/merged", "idmap": nil, "owner": object{"uid": 0, "gid": 0}}, nil)
	here, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if bytes.Contains(here, []byte(h.home)) || bytes.Contains(here, []byte("pyro-stage")) {
		t.Fatal("the mount is seen outside")
	}
	must(t, unix.Kill(h.Pid, unix.SIGKILL))
	if _, err := c.in.ReadByte(); err != io.EOF {
		t.Fatalf("the hand lives on: %v", err)
	}
	if !eventually(func() bool { return os.Remove(h.home+"/merged") == nil }) {
		t.Fatal("still mounted somewhere")
	}
	again := startHolder(t, h.binary, h.home)
	again.hand(t).ask("hello", object{}, nil)
	must(t, unix.Kill(again.Pid, unix.SIGTERM))
	if !eventually(func() bool { return missing(again.socket) && missing(again.info) }) {
		t.Fatal("the holder left its files")
	}
}
