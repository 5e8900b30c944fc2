package machine

import (
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// lastWordsTimeout bounds the wait for output of a program that has ended.
const lastWordsTimeout = time.Second

// relay is a keeper at work: it lives as long as its machine, and has next to nothing to do.
func relay(pid string, name string) int {
	program, err := strconv.Atoi(pid)
	if err != nil {
		return 2
	}
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(20)
	output := os.NewFile(ordersFD, "output")
	log := &console{file: os.NewFile(consoleFD, "console")}
	unix.CloseOnExec(ordersFD)
	unix.CloseOnExec(consoleFD)
	written := make(chan struct{})
	go func() {
		_, _ = io.CopyBuffer(log, output, make([]byte, 16<<10))
		close(written)
	}()
	status := reapUntil(program)
	// Whatever the program left behind would hold the pipe open.
	_ = unix.Kill(-1, unix.SIGKILL)
	select {
	case <-written:
		log.say(name, status)
	case <-time.After(lastWordsTimeout):
	}
	return 0
}

// reapUntil takes every child that ended until the program did.
func reapUntil(program int) unix.WaitStatus {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if pid == program || (err != nil && err != unix.EINTR) {
			return status
		}
	}
}
