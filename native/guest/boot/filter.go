package boot

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// filterFD is the seccomp program that the host hands in: struct sock_filter in sequence (linux/filter.h).
const filterFD = 4

// maxInstructions is the kernel's own bound (BPF_MAXINSNS).
const maxInstructions = 4096

// confine installs the program on every thread. Whatever starts later inherits it, and nothing takes it off again.
func confine() error {
	defer unix.Close(filterFD)
	size := int(unsafe.Sizeof(unix.SockFilter{}))
	buffer := make([]byte, maxInstructions*size)
	n, err := unix.Pread(filterFD, buffer, 0)
	if err != nil {
		return fmt.Errorf("read the seccomp filter: %w", err)
	}
	if n == 0 || n%size != 0 {
		return fmt.Errorf("a seccomp filter of %d bytes", n)
	}
	program := unix.SockFprog{Len: uint16(n / size), Filter: (*unix.SockFilter)(unsafe.Pointer(&buffer[0]))}
	// Without privileges over the host this is what allows a filter at all.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("install the seccomp filter: %w", errno)
	}
	return nil
}
