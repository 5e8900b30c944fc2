package host_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pyro/native/layer/dirfd"
)

const (
	homeVariable   = "PYRO_TEST_HOME"
	binaryVariable = "PYRO_TEST_BINARY"
)

// allowAll is a program of one instruction: BPF_RET with SECCOMP_RET_ALLOW.
var allowAll = []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}

func findRuntime(t *testing.T) string {
	path, err := exec.LookPath("runc")
	if err != nil {
		path, err = exec.LookPath("crun")
	}
	if err != nil {
		t.Skip("neither runc nor crun is installed")
	}
	return path
}

func TestLifeAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home, err := os.MkdirTemp("/root", "pyro-test-*")
	must(t, err)
	t.Cleanup(func() { _ = dirfd.Remove(home) })
	life(t, binary(t), home)
}

// TestLifeAsUser makes a user with subordinate ids, and runs TestUserSide as that user.
func TestLifeAsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a user needs root")
	}
	if _, err := exec.LookPath("newuidmap"); err != nil {
		t.Skip("newuidmap is not installed")
	}
	name := fmt.Sprintf("pyrotest%d", os.Getpid())
	if out, err := exec.Command("useradd", "-m", name).CombinedOutput(); err != nil {
		t.Skipf("useradd: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("userdel", "-r", name).Run() })
	account, err := user.Lookup(name)
	must(t, err)
	must(t, os.Chmod(account.HomeDir, 0o700))
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	foreign := account.HomeDir + "/foreign"
	must(t, os.MkdirAll(foreign+"/closed", 0o755))
	must(t, os.WriteFile(foreign+"/open", nil, 0o644))
	must(t, os.WriteFile(foreign+"/secret", nil, 0o600))
	must(t, os.Chmod(foreign+"/closed", 0o700))
	path := binary(t)
	command := exec.Command(path, "-test.run=^TestUserSide$", "-test.v")
	command.Dir = "/"
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + account.HomeDir, "USER=" + name,
		homeVariable + "=" + account.HomeDir + "/state", binaryVariable + "=" + path}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestUserSide") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestUserSide(t *testing.T) {
	home := os.Getenv(homeVariable)
	if home == "" {
		t.Skip("runs inside TestLifeAsUser")
	}
	must(t, os.MkdirAll(home, 0o700))
	life(t, os.Getenv(binaryVariable), home)
	unreadable(t, os.Getenv(binaryVariable), home)
	jailed(t, os.Getenv(binaryVariable), home, 1)
	machines(t, startHolder(t, os.Getenv(binaryVariable), home+"/machines"))
	layers(t, startHolder(t, os.Getenv(binaryVariable), home+"/layers"), home+"/kept")
}

// unreadable entries, which only an ordinary user meets, are left out and listed.
func unreadable(t *testing.T, binary string, home string) {
	c := startHolder(t, binary, home+"/other").hand(t)
	var result struct {
		Files, Dirs int
		Skipped     []struct{ Path, Reason string }
	}
	c.ask("seed", object{"source": filepath.Dir(home) + "/foreign", "dest": home + "/foreign", "owner": object{"uid": 1, "gid": 1},
		"all": true, "max_entries": 0, "max_bytes": 0}, &result)
	got := fmt.Sprint(result)
	if got != "{1 0 [{closed unreadable} {secret unreadable}]}" {
		t.Fatal(got)
	}
	c.ask("remove", object{"path": home + "/foreign"}, nil)
}

// life is a workspace from its first layer to its removal.
func life(t *testing.T, binary string, home string) {
	runtime := findRuntime(t)
	h := startHolder(t, binary, home)
	c := h.hand(t)
	var hello struct{ Mode, Stage string }
	c.ask("hello", object{}, &hello)
	if hello.Stage != h.Stage || hello.Mode != h.Mode || h.Stage == "" {
		t.Fatalf("%+v", hello)
	}
	base, diskOwner, size, extra := 1, 1, 65535, []string{"--rootless=auto"}
	var idmap any
	if hello.Mode == "root" {
		base, diskOwner, size, extra = 3_000_000, 0, 65536, []string{}
		idmap = object{"base": base, "size": size}
	}
	lower, merged, id := home+"/lower", h.Stage+"/one", fmt.Sprintf("pt%d", os.Getpid())
	var dirs []object
	for _, name := range []string{"usr", "proc", "sys", "dev", "run", "workspace", "etc"} {
		dirs = append(dirs, object{"path": name, "mode": 0o755})
	}
	var links []object
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		links = append(links, object{"path": name, "target": "usr/" + name})
	}
	c.ask("assemble", object{"dest": lower, "owner": object{"uid": diskOwner, "gid": diskOwner}, "dirs": dirs, "links": links}, nil)
	owner := object{"uid": base, "gid": base}
	stackArgs := object{"lowers": []string{lower}, "upper": home + "/upper", "work": home + "/work", "merged": merged, "idmap": idmap, "owner": owner}
	c.ask("mount_stack", stackArgs, nil)
	c.refused("mount_stack", stackArgs, "already_mounted")
	config := configFor(binary, merged, base, size, hello.Mode, id)
	common := object{"runtime": runtime, "runtime_root": home + "/rt", "runtime_args": extra, "id": id}
	start := with(common, object{"bundle": home + "/bundle", "config": config, "socket": home + "/agent.sock", "console": home + "/console", "filter": allowAll})
	var started struct {
		Pid       int    `json:"pid"`
		StartTime uint64 `json:"start_time"`
	}
	c.ask("start", start, &started)
	says(t, home, "pid 1 uid 0 attached false")
	c.ask("mount_stack", object{"lowers": []string{}, "upper": home + "/data", "work": "", "merged": h.Stage + "/two", "idmap": nil, "owner": owner}, nil)
	c.ask("seed", object{"source": home + "/bundle", "dest": home + "/seeded", "owner": owner, "all": true, "max_entries": 0, "max_bytes": 0}, nil)
	attach := object{"pid": started.Pid, "start_time": started.StartTime, "source": h.Stage + "/two", "target": "/workspace"}
	must(t, os.WriteFile(home+"/marker", nil, 0o644))
	c.ask("assemble", object{"dest": home + "/data/attached", "owner": owner}, nil)
	c.refused("attach", with(attach, object{"start_time": started.StartTime + 1}), "process_gone")
	c.refused("attach", with(attach, object{"target": "/lib"}), "target_not_directory")
	c.refused("attach", with(attach, object{"target": "/none"}), "target_not_found")
	c.ask("attach", attach, nil)
	says(t, home, "pid 1 uid 0 attached true")
	// The engine dies: its hand goes, the sandbox stays, the next engine finds it.
	c.conn.Close()
	c = h.hand(t)
	says(t, home, "pid 1 uid 0 attached true")
	c.refused("start", start, "already_started")
	stop := with(common, object{"pid": started.Pid, "start_time": started.StartTime})
	var stopped struct{ Existed bool }
	c.ask("stop", stop, &stopped)
	if !stopped.Existed || alive(started.Pid) {
		t.Fatal("not stopped")
	}
	c.ask("stop", common, &stopped)
	if stopped.Existed {
		t.Fatal("stopped twice")
	}
	broken := with(start, object{"config": strings.Replace(config, `"/run/pyro/guest","init","--confine"`, `"/none"`, 1)})
	c.refused("start", broken, "runtime_failed")
	if !missing(home+"/agent.sock") || !missing(home+"/rt/"+id) || len(cgroups(id)) > 0 {
		t.Fatal("a failed start left something behind: ", cgroups(id))
	}
	for _, path := range []string{h.Stage + "/one", h.Stage + "/two"} {
		c.ask("unmount", object{"path": path}, nil)
		c.ask("unmount", object{"path": path}, nil)
	}
	for _, name := range []string{"/upper", "/work", "/lower", "/data", "/seeded", "/upper"} {
		c.ask("remove", object{"path": home + name}, nil)
	}
}

func says(t *testing.T, home string, want string) {
	t.Helper()
	connection, err := net.Dial("unix", home+"/agent.sock")
	must(t, err)
	defer connection.Close()
	buffer := make([]byte, 200)
	n, _ := connection.Read(buffer)
	if got := strings.TrimSpace(string(buffer[:n])); got != want {
		console, _ := os.ReadFile(home + "/console")
		t.Fatalf("the sandbox says %q, want %q; console: %s", got, want, console)
	}
}

func with(one object, two object) object {
	merged := object{}
	for _, part := range []object{one, two} {
		for key, value := range part {
			merged[key] = value
		}
	}
	return merged
}

func cgroups(id string) []string {
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(entry.Name(), id) {
			found = append(found, path)
		}
		return nil
	})
	return found
}

func configFor(binary string, root string, base int, size int, mode string, id string) string {
	mapping := []object{{"containerID": 0, "hostID": base, "size": size}}
	var namespaces []object
	for _, kind := range []string{"user", "pid", "network", "mount", "ipc", "uts", "cgroup"} {
		namespaces = append(namespaces, object{"type": kind})
	}
	linux := object{"uidMappings": mapping, "gidMappings": mapping, "namespaces": namespaces}
	if mode == "root" {
		linux["cgroupsPath"] = "/pyro-" + id
	}
	mounted := func(at, kind, source string, options ...string) object {
		return object{"destination": at, "type": kind, "source": source, "options": options}
	}
	data, _ := json.Marshal(object{
		"ociVersion": "1.0.2", "hostname": "box", "root": object{"path": root}, "linux": linux,
		"process": object{"user": object{"uid": 0, "gid": 0}, "args": []string{"/run/pyro/guest", "init", "--confine"}, "cwd": "/",
			"env": []string{"PATH=/usr/bin"}, "noNewPrivileges": true},
		"mounts": []object{
			mounted("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
			mounted("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755", "size=1m"),
			mounted("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
			mounted("/run", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=755", "size=1m"),
			mounted("/usr", "bind", "/usr", "rbind", "ro", "nosuid", "nodev"),
			mounted("/run/pyro/guest", "bind", binary, "bind", "ro", "nosuid", "nodev"),
		},
	})
	return string(data)
}
