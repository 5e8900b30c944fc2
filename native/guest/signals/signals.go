// Package signals makes a process deaf to signals without making its children so.
package signals

import (
	"os"
	"os/signal"
	"unsafe"

	"golang.org/x/sys/unix"
)

// action is the kernel's struct sigaction, which amd64 and arm64 lay out alike.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// ignored is SIG_IGN.
const ignored = 1

// Shrug has the kernel ignore the signals for this process. Go's runtime, which handles them otherwise, is not told: in
// each child it puts back the default of every signal that it believes to handle, so the children are not deaf. (It does not
// handle SIGTSTP, SIGTTIN, SIGTTOU and SIGCONT: these are not for Shrug.) Its own way
// of catching a signal costs two changes of threads for each.
func Shrug(signals ...unix.Signal) {
	ignore := action{handler: ignored}
	for _, one := range signals {
		// What was ignored when the program began is nothing that the runtime handles, until it is asked to.
		if signal.Ignored(one) {
			signal.Notify(make(chan os.Signal, 1), one)
		}
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(one), uintptr(unsafe.Pointer(&ignore)), 0,
			unsafe.Sizeof(ignore.mask), 0, 0)
	}
}
