// Package leash starts a program that ends when the process that asked for it does.
package leash

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// notInstalled is what a shell says of a program that is not there.
const notInstalled = 127

// Main becomes the program, with the kernel's word to kill it when its parent dies: leash PROGRAM ARGS...
func Main(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: pyro-native leash PROGRAM ARGS...")
		return 2
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return notInstalled
	}
	// The word is kept with the thread, and the thread that calls exec is the one that goes on.
	runtime.LockOSThread()
	parent := os.Getppid()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "asking to end with the parent:", err)
		return 1
	}
	if os.Getppid() != parent {
		return 1 // It died before the kernel knew.
	}
	fmt.Fprintln(os.Stderr, program+":", unix.Exec(program, args, os.Environ()))
	return 1
}
