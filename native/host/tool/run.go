// Package tool runs a program of this machine apart: with process ids and mounts of its own, and where asked with
// users of its own. Its end is the end of everything it started and of everything it mounted.
package tool

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

// Spec is one run.
type Spec struct {
	Program string
	// Package of Debian that holds the program, for who has to install it.
	Package string
	Args    []string
	// Env is added to PATH, HOME, TMPDIR and LC_ALL.
	Env []string
	// IDs are the users of the run, as ids of the holder; the program is the first of them and calls itself root. Null:
	// it runs as this process does.
	IDs *stack.Idmap
	// Trees are directories of this machine, by the name below Root at which the program finds them. Nothing else of the
	// machine's is writable for a program with users of its own.
	Trees map[string]string
	// Dir is the working directory as the program sees it.
	Dir string
	// Line is given each line that the program writes, at most maxLine bytes of it. May be null.
	Line func(string)
}

// Root is the private directory of a run: a tmpfs in the place of the machine's own.
const Root = "/tmp"

const (
	maxLine   = 1024
	lastLines = 12
	path      = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// order is what the first process of the run reads on its descriptor 3; the trees follow from descriptor 4.
type order struct {
	Program string   `json:"program"`
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Dir     string   `json:"dir"`
	Trees   []string `json:"trees"`
}

// Find is the program's path: looked for where an ordinary user's PATH does not lead, too. Code: tool_missing.
func Find(name string, pkg string) (string, error) {
	for _, dir := range append(filepath.SplitList(path), filepath.SplitList(os.Getenv("PATH"))...) {
		candidate := filepath.Join(dir, name)
		if filepath.IsAbs(candidate) && unix.Access(candidate, unix.X_OK) == nil {
			return candidate, nil
		}
	}
	missing := fault.New("tool_missing", "", "%s is not installed", name)
	missing.Hint = "sudo apt-get install " + pkg
	return "", missing
}

// Run runs the program to its end. Codes: tool_missing; build_failed with the program's last words; cancelled, when
// nothing of it is left either.
func Run(ctx context.Context, spec Spec) error {
	program, err := Find(spec.Program, spec.Package)
	if err != nil {
		return err
	}
	one := order{Program: program, Args: spec.Args, Dir: spec.Dir, Env: append([]string{
		"PATH=" + path, "HOME=/root", "TMPDIR=" + Root, "LC_ALL=C.UTF-8",
	}, spec.Env...)}
	var files []*os.File
	defer func() {
		for _, file := range files {
			file.Close()
		}
	}()
	orderRead, orderWrite, err := os.Pipe()
	if err != nil {
		return fault.From(err, "making a pipe for", program)
	}
	defer orderWrite.Close()
	files = append(files, orderRead)
	for name, source := range spec.Trees {
		tree, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fault.From(err, "cloning the mount of", source)
		}
		files = append(files, os.NewFile(uintptr(tree), source))
		one.Trees = append(one.Trees, name)
	}
	command := exec.Command("/proc/self/exe", "tool")
	command.Args[0] = "pyro-native"
	command.Dir, command.Env, command.ExtraFiles = "/", []string{}, files
	command.SysProcAttr = attributes(spec.IDs)
	return follow(ctx, spec, command, func() error {
		return json.NewEncoder(orderWrite).Encode(one)
	})
}

func attributes(ids *stack.Idmap) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Setsid:     true,
		Pdeathsig:  unix.SIGKILL,
	}
	if ids != nil {
		mapping := []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(ids.Base), Size: int(ids.Size)}}
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		attributes.UidMappings, attributes.GidMappings = mapping, mapping
		attributes.GidMappingsEnableSetgroups = true
		attributes.Credential = &syscall.Credential{}
	}
	return attributes
}

// follow starts the command and reads what it says until everything that it started is gone.
func follow(ctx context.Context, spec Spec, command *exec.Cmd, instruct func() error) error {
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return fault.From(err, "making a pipe for", spec.Program)
	}
	defer outRead.Close()
	command.Stdout, command.Stderr = outWrite, outWrite
	// The kernel's word to the child on its parent's death is about the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = command.Start()
	outWrite.Close()
	if err != nil {
		return fault.From(err, "starting", spec.Program)
	}
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Kill() })
	defer stop()
	if err := instruct(); err != nil {
		_ = command.Process.Kill()
	}
	last := listen(outRead, spec.Line)
	err = command.Wait()
	if ctx.Err() != nil {
		return fault.From(ctx.Err(), "", "")
	}
	if err != nil {
		return failed(spec.Program, err, last)
	}
	return nil
}

// listen returns the last lines.
func listen(in io.Reader, line func(string)) []string {
	var last []string
	reader := bufio.NewReaderSize(in, maxLine)
	for {
		part, more, err := reader.ReadLine()
		if err != nil {
			return last
		}
		text := strings.ToValidUTF8(string(part), "?")
		for more && err == nil {
			_, more, err = reader.ReadLine()
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		if line != nil {
			line(text)
		}
		if last = append(last, text); len(last) > lastLines {
			last = last[1:]
		}
	}
}

func failed(program string, err error, last []string) error {
	how := err.Error()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() >= 0 {
		how = "it ended with " + ended.ProcessState.String()
	}
	said := strings.Join(last, "\n")
	if strings.Contains(said, "No space left on device") {
		return fault.New("disk_full", "", "%s: the disk is full", program)
	}
	return fault.Retry("build_failed", "", "%s failed, %s:\n%s", program, how, said)
}
