// The tests of holder and hand: this test binary plays the native binary, with real namespaces and sandboxes.
package host_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/hand"
	"pyro/native/host/hold"
	"pyro/native/host/machine"
	"pyro/native/layer/fault"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "hold":
			os.Exit(hold.Main(os.Args[2:]))
		case "hand":
			os.Exit(hand.Main(os.Args[2:]))
		case "keep":
			os.Exit(machine.Keep(os.Args[2:]))
		case "machine":
			virtualMachine(os.Args[2])
			os.Exit(0)
		case "version":
			os.Exit(0)
		case "init":
			sandbox()
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// sandbox is a first process: it answers on its socket with what it is.
func sandbox() {
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		_, mounted := os.Stat("/workspace/attached")
		fmt.Fprintf(connection, "pid %d uid %d attached %v\n", os.Getpid(), os.Getuid(), mounted == nil)
		connection.Close()
	}
}

// binary is this program at a place where every user may run it.
func binary(t *testing.T) string {
	dir, err := os.MkdirTemp("", "pyro-host-*")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	path := filepath.Join(dir, "pyro-native")
	must(t, os.WriteFile(path, self, 0o755))
	return path
}

type holder struct {
	hold.Info
	binary, home, socket, info string
}

// hold starts a holder; it is told to leave when the test ends.
func startHolder(t *testing.T, binary string, home string) *holder {
	t.Helper()
	h := &holder{binary: binary, home: home, socket: home + "/run/hold.sock", info: home + "/run/hold.json"}
	out, err := exec.Command(binary, "hold", "--socket", h.socket, "--info", h.info).Output()
	var line struct {
		OK    bool `json:"ok"`
		Error *hold.Problem
		hold.Info
	}
	if jsonErr := json.Unmarshal(out, &line); jsonErr != nil || err != nil || !line.OK {
		t.Fatalf("hold: %v %s", err, out)
	}
	h.Info = line.Info
	t.Cleanup(func() {
		if connection, err := net.Dial("unix", h.socket); err == nil {
			fmt.Fprintln(connection, `{"exit":true}`)
			connection.Close()
		}
		if !eventually(func() bool { return !alive(h.Pid) }) {
			_ = unix.Kill(h.Pid, unix.SIGKILL)
			t.Error("the holder did not leave")
		}
	})
	return h
}

type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	next int64
}

func (h *holder) hand(t *testing.T) *client {
	t.Helper()
	connection, err := net.Dial("unix", h.socket)
	must(t, err)
	t.Cleanup(func() { connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(60 * time.Second))
	fmt.Fprintf(connection, "{\"hand\":%q}\n", h.binary)
	return &client{t: t, conn: connection, in: bufio.NewReader(connection)}
}

type answer struct {
	ID       int64           `json:"id"`
	Result   json.RawMessage `json:"result"`
	Error    *fault.Error    `json:"error"`
	Progress json.RawMessage `json:"progress"`
}

func (c *client) send(op string, args any) int64 {
	c.t.Helper()
	c.next++
	data, err := json.Marshal(map[string]any{"id": c.next, "op": op, "args": args})
	must(c.t, err)
	_, err = c.conn.Write(append(data, '\n'))
	must(c.t, err)
	return c.next
}

func (c *client) receive() answer {
	c.t.Helper()
	for {
		line, err := c.in.ReadBytes('\n')
		must(c.t, err)
		var got answer
		must(c.t, json.Unmarshal(line, &got))
		if got.Progress == nil {
			return got
		}
	}
}

// ask wants a result, and decodes it into result when that is not nil.
func (c *client) ask(op string, args any, result any) {
	c.t.Helper()
	c.send(op, args)
	got := c.receive()
	if got.Error != nil {
		c.t.Fatalf("%s: %v", op, got.Error)
	}
	if result != nil {
		must(c.t, json.Unmarshal(got.Result, result))
	}
}

func (c *client) refused(op string, args any, code string) {
	c.t.Helper()
	c.send(op, args)
	if got := c.receive(); got.Error == nil || got.Error.Code != code {
		c.t.Fatalf("%s: want %s, got %s %v", op, code, got.Result, got.Error)
	}
}

type object = map[string]any

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	var id int
	var name, state string
	_, _ = fmt.Sscan(string(data), &id, &name, &state)
	return state != "Z"
}

func eventually(check func() bool) bool {
	for range 500 {
		if check() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, os.ErrNotExist)
}
