package layer_test

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// heeded are the capabilities without which root heeds the modes of files.
const heeded = 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER

var free = func() (now [2]unix.CapUserData) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	_ = unix.Capget(&header, &now[0])
	return now
}()

// bindHands takes capabilities from every thread. A binary with C in it cannot do so and reads as root does.
func bindHands() bool {
	bound := free
	bound[0].Effective &^= heeded
	return setCapabilities(bound)
}

func freeHands() { setCapabilities(free) }

func setCapabilities(to [2]unix.CapUserData) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&to[0])), 0)
	return errno == 0
}

// keepChanging does a program's steps in the writable layer again and again, and removes in between what it made.
func (h *hostile) keepChanging(all []step) func() {
	if !h.moves || len(all) == 0 {
		return func() {}
	}
	ending := make(chan struct{})
	var ended sync.WaitGroup
	again := func(turn func(i int)) {
		ended.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-ending:
					return
				default:
					turn(i)
				}
			}
		})
	}
	// An attribute comes, grows and goes between two looks at it.
	again(func(i int) {
		path := h.at("upper/" + nodes[i%2])
		if size := i / 2 % 4 * 500; size == 0 || unix.Lsetxattr(path, "user.race", make([]byte, size), 0) != nil {
			_ = unix.Lremovexattr(path, "user.race")
		}
	})
	again(func(i int) {
		one := all[i%len(all)]
		one.layer = 0
		if one.what == makeDeep || one.what == makeMany {
			one.what = remove
		}
		turn := i / len(all)
		switch {
		case turn%3 == 1:
			one.what = remove
		case turn%3 == 2:
			one.what = byte(i*7+turn) % makeSparse
		}
		one.take(h.dir, layerNames)
	})
	return func() {
		close(ending)
		ended.Wait()
	}
}
