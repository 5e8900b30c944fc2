package machine

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// say leaves a line on the console; the kernel's log is the console of a machine without one.
func say(format string, args ...any) {
	line := fmt.Sprintf("pyro: "+format+"\n", args...)
	for _, path := range []string{"/dev/console", "/dev/kmsg"} {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		_, err = unix.Write(fd, []byte(line))
		_ = unix.Close(fd)
		if err == nil {
			return
		}
	}
}

// seal makes the disk whole, with its journal empty: whoever reads it next need not write to it. Jobs have ended; where
// something still writes, freezing does what a remount is refused.
func (m *machine) seal() {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.ended = true
	if m.params.Inspect || m.sealed {
		return
	}
	changes, err := unix.Open(m.hubPath("changes"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		say("the changes can't be reached any more: %v", err)
		unix.Sync()
		return
	}
	defer unix.Close(changes)
	if err := unix.Syncfs(changes); err != nil {
		say("sync: %v", err)
	}
	if unix.Mount("", m.hubPath("changes"), "", unix.MS_REMOUNT|unix.MS_RDONLY, "") == nil {
		m.sealed = true
		return
	}
	if err := unix.IoctlSetInt(changes, freeze, 0); err != nil {
		say("the disk stays in use: %v", err)
		return
	}
	m.sealed = true
}

// writeOutDelay gathers the ends of commands that follow each other.
const writeOutDelay = 200 * time.Millisecond

// writeOutSoon has what was written put on the disk: a machine that is killed loses what its kernel still held back, which
// after a command's end is at most this delay and the writing itself.
func (m *machine) writeOutSoon() {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.writing || m.ended {
		return
	}
	m.writing = true
	time.AfterFunc(writeOutDelay, func() {
		m.lock.Lock()
		m.writing = false
		m.lock.Unlock()
		changes, err := unix.Open(m.hubPath("changes"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		defer unix.Close(changes)
		_ = unix.Syncfs(changes)
	})
}

// freeze is FIFREEZE of linux/fs.h: _IOWR('X', 119, int).
const freeze = 0xc0045877

// killAll ends every process but this one; without a grace, as jobs had theirs.
func killAll() {
	if unix.Kill(-1, unix.SIGKILL) != nil {
		return
	}
	// The reaper collects them; one that hangs in the kernel is not waited for long.
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if unix.Kill(-1, 0) == unix.ESRCH {
			return
		}
	}
}

// end turns the machine off. A restart is what both kinds of machines take for the end: QEMU by -no-reboot, Firecracker by
// itself. It does not return where the kernel does what it is asked.
func end() {
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	say("the machine can't be turned off")
	os.Exit(1)
}
