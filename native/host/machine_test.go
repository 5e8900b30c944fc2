package host_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/machine"
)

// virtualMachine plays the program that a machine is: it says what it is, on its console or to who connects.
func virtualMachine(mode string) {
	switch mode {
	case "serve":
		_ = exec.Command("/bin/sleep", "600").Start()
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
			fmt.Fprint(connection, selfPortrait())
			connection.Close()
		}
	case "flood":
		for i := range 100_000 {
			fmt.Println("line", i, strings.Repeat("x", 40))
		}
		fmt.Println("the end")
		time.Sleep(time.Hour)
	}
}

func selfPortrait() string {
	var said strings.Builder
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		for _, key := range []string{"Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "SigIgn:"} {
			if strings.HasPrefix(line, key) {
				fmt.Fprintln(&said, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	file := os.NewFile(4, "shared")
	data := make([]byte, 16)
	n, _ := file.ReadAt(data, 0)
	_, writeErr := file.Write([]byte("x"))
	fmt.Fprintf(&said, "4 reads %s, writes %v\n", data[:n], writeErr == nil)
	_, writeErr = os.NewFile(5, "own").Write([]byte("written"))
	fmt.Fprintf(&said, "5 writes %v\n", writeErr == nil)
	var strangers []string
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		// Sockets, event and process descriptors are this program's own; Go's runtime follows its cgroup's limits.
		to, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		if strings.HasPrefix(to, "/") && entry.Name() > "2" && !strings.Contains(to, "/cpu.") {
			strangers = append(strangers, entry.Name()+" "+filepath.Base(to))
		}
	}
	fmt.Fprintf(&said, "opened %v\n", strangers)
	links, _ := net.Interfaces()
	session, _ := unix.Getsid(0)
	var limit unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_CORE, &limit)
	fmt.Fprintf(&said, "links %d session %d core %d pid %d\n", len(links), session, limit.Max, os.Getpid())
	return said.String()
}

func portrait(t *testing.T, socket string) string {
	t.Helper()
	connection, err := net.Dial("unix", socket)
	must(t, err)
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
	var said strings.Builder
	for scanner := bufio.NewScanner(connection); scanner.Scan(); {
		said.WriteString(scanner.Text() + "\n")
	}
	return said.String()
}

// machines is a machine's process from its start to its end, as root or as an ordinary user.
func machines(t *testing.T, h *holder) {
	c := h.hand(t)
	dir, err := os.MkdirTemp(filepath.Dir(h.socket), "machine-*")
	must(t, err)
	uid, id := 7, fmt.Sprintf("pyro-pm%d", os.Getpid())
	var group, groupPath any
	if h.Mode == "root" {
		uid = 1_879_048_192
		groupPath = "/" + id
		group = object{"path": "/" + id, "cpu": 1.5, "memory": 300 << 20, "pids": 60}
	}
	must(t, os.WriteFile(dir+"/shared", []byte("kernel"), 0o600))
	must(t, os.WriteFile(dir+"/own", nil, 0o600))
	spec := object{
		"program": h.binary, "args": []string{"machine", "serve"}, "uid": uid, "gid": uid, "cgroup": group,
		"record": dir + "/record", "console": dir + "/console", "sockets": []string{dir + "/s.sock"},
		"files": []object{{"path": dir + "/shared"}, {"path": dir + "/own", "write": true}},
	}
	stop := object{"record": dir + "/record", "cgroup": groupPath, "sockets": []string{dir + "/s.sock"}}
	// Registered after the holder's end, so done before it: a machine outlives everything else of a test that fails.
	t.Cleanup(func() { h.hand(t).ask("machine_stop", stop, nil) })
	c.refused("machine_start", with(spec, object{"uid": 0}), "bad_args")
	c.refused("machine_start", with(spec, object{"cgroup": object{"path": "/other"}}), "bad_args")
	c.refused("machine_start", with(spec, object{"program": "/none"}), "tool_missing")
	c.refused("machine_start", with(spec, object{"files": []object{{"path": dir + "/none"}}}), "io_error")
	c.refused("machine_start", with(spec, object{"files": []object{{"path": dir}}}), "bad_path")
	nothingLeft(t, dir, id)

	var started machine.Started
	c.ask("machine_start", spec, &started)
	said := portrait(t, dir+"/s.sock")
	want := []string{fmt.Sprintf("Uid: %d %d %d %d", uid, uid, uid, uid), fmt.Sprintf("Gid: %d %d %d %d", uid, uid, uid, uid), "Groups:", "SigIgn: 0000000000000000",
		"CapInh: 0000000000000000", "CapPrm: 0000000000000000", "CapEff: 0000000000000000", "CapBnd: 0000000000000000",
		"CapAmb: 0000000000000000", "NoNewPrivs: 1", "4 reads kernel, writes false",
		"5 writes true", "opened [4 shared 5 own]", "links 1 session 1 core 0 pid 7"}
	got := strings.Split(strings.TrimSpace(said), "\n")
	// Its number there depends on how many threads the keeper had.
	want[len(want)-1] = regexp.MustCompile(`pid \d+$`).ReplaceAllString(want[len(want)-1], "")
	got[len(got)-1] = regexp.MustCompile(`pid \d+$`).ReplaceAllString(got[len(got)-1], "")
	if !slices.Equal(got, want) {
		t.Fatalf("the machine is\n%s", said)
	}
	if own, _ := os.ReadFile(dir + "/own"); string(own) != "written" {
		t.Fatalf("the machine's file holds %q", own)
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", started.Pid))
	if !strings.Contains(string(status), "CapEff:\t0000000000000000") || !strings.Contains(string(status), "CapBnd:\t0000000000000000") {
		t.Fatalf("the keeper is\n%s", status)
	}
	if h.Mode == "root" && len(cgroups(id)) == 0 {
		t.Fatal("no cgroup was made")
	}
	// The engine dies: its hand goes, the machine stays, the next one finds and ends it, without knowing its number too.
	c.conn.Close()
	c = h.hand(t)
	c.refused("machine_start", spec, "already_started")
	if portrait(t, dir+"/s.sock") == "" {
		t.Fatal("the machine does not answer any more")
	}
	inside := descendants(started.Pid)
	if len(inside) < 2 {
		t.Fatal("the machine's processes are not seen: ", inside)
	}
	c.ask("machine_stop", stop, nil)
	for _, pid := range append(inside, started.Pid) {
		if alive(pid) {
			t.Fatalf("process %d of the machine is left", pid)
		}
	}
	nothingLeft(t, dir, id)
	var stopped machine.Stopped
	c.ask("machine_stop", with(stop, object{"pid": started.Pid, "start_time": started.StartTime}), &stopped)
	if stopped.Existed {
		t.Fatal("stopped twice")
	}

	c.ask("machine_start", with(spec, object{"args": []string{"machine", "flood"}}), nil)
	if !eventually(func() bool { return strings.HasSuffix(read(dir+"/console"), "the end\n") }) || len(read(dir+"/console")) > 256<<10 {
		t.Fatalf("the console has %d bytes", len(read(dir+"/console")))
	}
	c.ask("machine_stop", stop, nil)
	c.ask("machine_start", with(spec, object{"program": "/bin/sh", "args": []string{"-c", "echo last words; kill -ABRT $$"}}), &started)
	if !eventually(func() bool { return !alive(started.Pid) }) {
		t.Fatal("the keeper of a machine that ended does not")
	}
	if words := read(dir + "/console"); words != "last words\n\npyro: sh was ended by SIGABRT\n" {
		t.Fatalf("the console says %.500q", words)
	}
	c.ask("machine_stop", stop, nil)
	nothingLeft(t, dir, id)
}

func read(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

func nothingLeft(t *testing.T, dir string, id string) {
	t.Helper()
	for _, name := range []string{"/record", "/record.tmp", "/s.sock"} {
		if !missing(dir + name) {
			t.Fatalf("%s is left", name)
		}
	}
	if left := cgroups(id); len(left) > 0 {
		t.Fatal("left: ", left)
	}
}

func descendants(pid int) []int {
	var found []int
	for _, field := range strings.Fields(read(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))) {
		var child int
		_, _ = fmt.Sscan(field, &child)
		found = append(found, child)
		found = append(found, descendants(child)...)
	}
	return found
}

func TestMachineAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	machines(t, startHolder(t, binary(t), t.TempDir()))
}
