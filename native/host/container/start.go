// Package container starts and stops sandboxes with an OCI runtime, and attaches mounts to running ones.
package container

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/wire"
	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

const (
	startTimeout = 60 * time.Second
	undoTimeout  = 20 * time.Second
)

// StartSpec is one sandbox to start.
type StartSpec struct {
	Runtime     string   `json:"runtime"`
	RuntimeRoot string   `json:"runtime_root"`
	RuntimeArgs []string `json:"runtime_args"`
	ID          string   `json:"id"`
	Bundle      string   `json:"bundle"`
	Config      string   `json:"config"`
	Socket      string   `json:"socket"`
	Console     string   `json:"console"`
	// Filter is the seccomp program that the sandbox's init installs, as struct sock_filter in sequence.
	Filter []byte `json:"filter"`
	// Folders and Mounts are made first, in this order; whoever drops the workspace takes them away.
	Folders []stack.Folder `json:"folders"`
	Mounts  []stack.Spec   `json:"mounts"`
}

// Started names the sandbox's first process.
type Started struct {
	Pid       int    `json:"pid"`
	StartTime uint64 `json:"start_time"`
	RuntimeMS int64  `json:"runtime_ms"`
}

// Start runs the sandbox with a listening socket as its descriptor 3 and the filter as its descriptor 4. Listening is
// called as soon as connections are taken: they wait for its agent. On any failure nothing is left of it.
func Start(ctx context.Context, spec StartSpec, listening func()) (*Started, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	if err := lay(spec); err != nil {
		return nil, err
	}
	started, err := run(ctx, spec, listening)
	if err != nil {
		for _, mount := range slices.Backward(spec.Mounts) {
			_ = stack.Unmount(mount.Merged)
		}
	}
	return started, err
}

// lay makes the folders and the mounts, all or nothing.
func lay(spec StartSpec) error {
	for _, folder := range spec.Folders {
		if err := stack.MakeFolder(folder); err != nil {
			return err
		}
	}
	for i, mount := range spec.Mounts {
		if err := stack.Mount(mount); err != nil {
			for _, earlier := range slices.Backward(spec.Mounts[:i]) {
				_ = stack.Unmount(earlier.Merged)
			}
			return err
		}
	}
	return nil
}

func run(ctx context.Context, spec StartSpec, listening func()) (*Started, error) {
	if err := os.MkdirAll(spec.Bundle, 0o700); err != nil {
		return nil, fault.From(err, "making", spec.Bundle)
	}
	if _, err := os.Lstat(filepath.Join(spec.RuntimeRoot, spec.ID)); err == nil {
		return nil, fault.New("already_started", spec.RuntimeRoot, "the runtime already knows a sandbox %s", spec.ID)
	}
	files := bundleFiles(spec.Bundle)
	for _, path := range []string{files.log, files.pid} {
		_ = os.Remove(path)
	}
	if err := os.WriteFile(files.config, []byte(spec.Config), 0o600); err != nil {
		return nil, fault.From(err, "writing", files.config)
	}
	console, err := os.OpenFile(spec.Console, os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fault.From(err, "opening", spec.Console)
	}
	defer console.Close()
	socket, err := wire.Listen(spec.Socket)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	listening()
	filter, err := filterFile(spec.Filter)
	if err != nil {
		return nil, fault.From(err, "passing on the filter of", spec.Bundle)
	}
	defer filter.Close()
	began := time.Now()
	if err := runRuntime(ctx, spec, files, console, socket, filter); err != nil {
		undo(spec, files)
		return nil, err
	}
	result := &Started{RuntimeMS: time.Since(began).Milliseconds()}
	// The runtime gives the console to the sandbox's root user; the engine reads it as its own.
	_ = console.Chown(os.Getuid(), os.Getgid())
	result.Pid, err = readPid(files.pid)
	if err == nil {
		var gone bool
		if result.StartTime, gone = wire.StartTime(result.Pid); gone {
			err = fault.New("runtime_failed", spec.Bundle, "the sandbox ended at once; see %s", spec.Console)
		}
	}
	if err != nil {
		undo(spec, files)
		return nil, err
	}
	return result, nil
}

func check(spec StartSpec) error {
	if err := checkID(spec.ID); err != nil {
		return err
	}
	if len(spec.Filter) == 0 {
		return fault.New("bad_args", "", "a sandbox without a seccomp filter is not started")
	}
	return fault.Clean(spec.Runtime, spec.RuntimeRoot, spec.Bundle, spec.Socket, spec.Console)
}

// checkID keeps ids fit for a path component and a command line.
func checkID(id string) error {
	ok := len(id) >= 1 && len(id) <= 64 && id[0] != '-' && id[0] != '.'
	for _, c := range []byte(id) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	if !ok {
		return fault.New("bad_args", "", "%.100q is not a sandbox id", id)
	}
	return nil
}

type bundlePaths struct{ config, log, pid string }

func bundleFiles(bundle string) bundlePaths {
	return bundlePaths{filepath.Join(bundle, "config.json"), filepath.Join(bundle, "runtime.log"), filepath.Join(bundle, "runtime.pid")}
}

// filterFile is a sealed file in memory: nobody who holds it can change what init reads.
func filterFile(program []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("filter", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "filter")
	if _, err = file.WriteAt(program, 0); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func runRuntime(ctx context.Context, spec StartSpec, files bundlePaths, console *os.File, passed ...*os.File) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	args := append([]string{}, spec.RuntimeArgs...)
	args = append(args, "--root", spec.RuntimeRoot, "--log", files.log, "--log-format", "json", "run", "-d",
		"--bundle", spec.Bundle, "--pid-file", files.pid, "--preserve-fds", strconv.Itoa(len(passed)), spec.ID)
	command := runtimeCommand(ctx, spec.Runtime, args)
	command.Stdout, command.Stderr = console, console
	command.ExtraFiles = passed
	err := command.Run()
	if ctx.Err() == context.Canceled {
		return fault.From(context.Canceled, "", "")
	}
	if err != nil {
		return fault.New("runtime_failed", spec.Bundle, "%s", lastWords(files.log, err))
	}
	return nil
}

// runtimeCommand kills the runtime's whole process group when ctx ends.
func runtimeCommand(ctx context.Context, runtime string, args []string) *exec.Cmd {
	command := exec.CommandContext(ctx, runtime, args...)
	command.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
	command.WaitDelay = time.Second
	return command
}

// lastWords is the runtime's own explanation: the message of the last line it logged.
func lastWords(log string, err error) string {
	data, _ := os.ReadFile(log)
	if len(data) > 64<<10 {
		data = data[len(data)-64<<10:]
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	var last struct {
		Msg string `json:"msg"`
	}
	if json.Unmarshal(lines[len(lines)-1], &last) == nil && last.Msg != "" {
		return last.Msg
	}
	if text := strings.TrimSpace(string(lines[len(lines)-1])); text != "" {
		return text
	}
	return fmt.Sprintf("the runtime failed: %v", err)
}

func readPid(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fault.From(err, "reading", path)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0, fault.New("runtime_failed", path, "the runtime wrote no pid")
	}
	return pid, nil
}

// undo leaves nothing of a failed start: it has its own time, as the request may be cancelled.
func undo(spec StartSpec, files bundlePaths) {
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	stop := StopSpec{Runtime: spec.Runtime, RuntimeRoot: spec.RuntimeRoot, RuntimeArgs: spec.RuntimeArgs, ID: spec.ID}
	if pid, err := readPid(files.pid); err == nil {
		if ticks, gone := wire.StartTime(pid); !gone {
			stop.Pid, stop.StartTime = pid, ticks
		}
	}
	var config struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	_ = json.Unmarshal([]byte(spec.Config), &config)
	_, _ = stopSandbox(ctx, stop, config.Linux.CgroupsPath)
	_ = os.RemoveAll(filepath.Join(spec.RuntimeRoot, spec.ID))
	_ = os.Remove(spec.Socket)
	_ = os.Remove(files.pid)
}
