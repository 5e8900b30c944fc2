package tool

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitSetup tells a run that could not be set up from a program that failed.
const exitSetup = 125

// Main is the first process of a run, for this program's own use: it makes the private directory, starts the program,
// reaps what that leaves, and ends with it. The kernel then ends the rest.
func Main([]string) int {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "tool is started by a hand")
		return 2
	}
	var one order
	in := os.NewFile(3, "order")
	if err := json.NewDecoder(io.LimitReader(in, 8<<20)).Decode(&one); err != nil {
		return complain("reading the order", err)
	}
	in.Close()
	if err := private(one.Trees); err != nil {
		return complain("making a private directory", err)
	}
	command := exec.Cmd{
		Path: one.Program, Args: append([]string{filepath.Base(one.Program)}, one.Args...), Env: one.Env, Dir: one.Dir,
		Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if err := command.Start(); err != nil {
		return complain("starting "+one.Program, err)
	}
	return reap(command.Process.Pid)
}

func complain(what string, err error) int {
	fmt.Fprintln(os.Stderr, what+":", err)
	return exitSetup
}

// private puts a tmpfs in the place of the machine's, with the trees in it, and a /proc of the run's own processes.
func private(trees []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts private: %w", err)
	}
	if err := unix.Mount("pyro-tool", Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	for i, name := range trees {
		at := filepath.Join(Root, name)
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		fd := 4 + i
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("attaching %s: %w", name, err)
		}
		_ = unix.Close(fd)
	}
	// A kernel that shows only part of /proc refuses a new one; the programs run here can do without.
	_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	return nil
}

// reap waits for the program, taking orphans on the way, and returns its status as a shell would.
func reap(program int) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return exitSetup
		}
		if pid != program {
			continue
		}
		if status.Signaled() {
			return 128 + int(status.Signal())
		}
		return status.ExitStatus()
	}
}
