// Package leash runs a program that ends, with what it started, when the process that asked for it does.
package leash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// notInstalled is what a shell says of a program that is not there.
const notInstalled = 127

// Main runs `leash PROGRAM ARGS...` in the process group that it leads, and ends as the program does. What leaves the
// group, as a helper that is to remember a password does, lives on.
func Main(args []string) int {
	if len(args) == 0 || unix.Getpgrp() != os.Getpid() {
		fmt.Fprintln(os.Stderr, "usage: pyro-native leash PROGRAM ARGS..., as the leader of a process group")
		return 2
	}
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	// The kernel's word on the parent's death is asked for by a thread, and kept as long as that lives.
	runtime.LockOSThread()
	parent := os.Getppid()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "asking to end with the parent:", err)
		return 1
	}
	if os.Getppid() != parent {
		return 1 // It died before the kernel knew.
	}
	command := exec.Command(args[0], args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := command.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return notInstalled
		}
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		<-ending
		_ = unix.Kill(0, unix.SIGKILL)
	}()
	_ = command.Wait()
	if status := command.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return command.ProcessState.ExitCode()
}
