package hold

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"pyro/native/host/wire"
)

// serve is the holder's life: set up, tell the starter, start hands until told to leave.
func serve(socket string, infoPath string) int {
	// A hand gets a signal when the thread that made it ends. The main goroutine stays on one thread for good.
	runtime.LockOSThread()
	ready := os.NewFile(3, "ready")
	unix.CloseOnExec(3)
	listener, info, lock, err := prepare(socket, infoPath)
	if err != nil {
		return say(ready, nil, err)
	}
	defer lock.Close()
	signals := make(chan os.Signal, 8)
	// Caught, not ignored: what is ignored stays so in every child, sandboxes included.
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGPIPE, unix.SIGTERM, unix.SIGCHLD)
	leave := make(chan struct{}, 1)
	hands := make(chan launch)
	go accept(listener, hands, leave)
	say(ready, info, nil)
	ready.Close()
	for {
		select {
		case next := <-hands:
			next.started <- next.run()
		case got := <-signals:
			if got == unix.SIGCHLD {
				reap()
				continue
			}
			if got != unix.SIGTERM {
				continue
			}
			cleanUp(socket, infoPath)
			return 0
		case <-leave:
			cleanUp(socket, infoPath)
			return 0
		}
	}
}

func prepare(socket string, infoPath string) (*net.UnixListener, *Info, *os.File, error) {
	unix.Umask(0o022)
	lock, err := takeLock(infoPath)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, nil, nil, fmt.Errorf("becoming a subreaper: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return nil, nil, nil, namespaceProblem(err, wire.Mode(wire.IDMap("uid_map")) == "user")
	}
	stage, err := wire.MountStage()
	if err == nil {
		err = wire.MarkStage(stage)
	}
	if err != nil {
		return nil, nil, nil, namespaceProblem(fmt.Errorf("mounting a tmpfs: %w", err), wire.Mode(wire.IDMap("uid_map")) == "user")
	}
	listener, err := listen(socket)
	if err != nil {
		return nil, nil, nil, err
	}
	info := &Info{Pid: os.Getpid(), BootID: wire.BootID(), UIDMap: wire.IDMap("uid_map"), GIDMap: wire.IDMap("gid_map"), Stage: stage}
	info.Mode = wire.Mode(info.UIDMap)
	info.StartTime, _ = wire.StartTime(info.Pid)
	if err := writeInfo(infoPath, info); err != nil {
		_ = os.Remove(socket)
		return nil, nil, nil, err
	}
	return listener, info, lock, nil
}

// takeLock makes sure of one holder: a second one would see none of the first one's mounts, and could mount the
// same upper directory twice.
func takeLock(infoPath string) (*os.File, error) {
	lock, err := os.OpenFile(infoPath+".lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, &Problem{Code: "already_held", Message: "another holder is running for " + infoPath}
	}
	return lock, err
}

func listen(socket string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, err
	}
	// The lock is ours, so a socket in this place is nobody's.
	if st, err := os.Lstat(socket); err == nil && st.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(socket)
	}
	old := unix.Umask(0o177)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	unix.Umask(old)
	return listener, err
}

func writeInfo(path string, info *Info) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	temp := path + ".tmp"
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func cleanUp(socket string, infoPath string) {
	_ = os.Remove(infoPath)
	_ = os.Remove(socket)
}

// reap takes every child that ended: hands, and the sandboxes they started and left behind.
func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
	}
}
