package job

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"pyro/native/guest/link"
)

// Exit codes that shells give to commands that can't be run.
const (
	exitNotFound      = 127
	exitNotExecutable = 126
)

// run starts the main process. Our copies of its descriptors are closed at once: the pipes must end with the job.
func (s *supervisor) run(run *link.Run, fds []int) {
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	if run == nil || len(fds) < 2 || run.Stdin && len(fds) < 3 {
		_ = s.end.Send(link.Report{Op: "failed", Code: "internal", Message: "an order without its descriptors"})
		return
	}
	// A kill that was meant for the job before must not meet this one.
	s.kills.Wait()
	stdin := uintptr(0) // /dev/null
	if run.Stdin {
		stdin = uintptr(fds[2])
	}
	attr := &syscall.ProcAttr{
		Dir:   run.Cwd,
		Env:   run.Env,
		Files: []uintptr{stdin, uintptr(fds[0]), uintptr(fds[1])},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if run.As {
		attr.Sys.Credential = &syscall.Credential{Uid: run.UID, Gid: run.GID, Groups: run.Groups}
	}
	s.mu.Lock()
	pid, err := spawn(run, attr)
	if err == nil {
		s.main, s.empty, s.cpu, s.peak = pid, make(chan struct{}), 0, 0
	}
	s.mu.Unlock()
	if err == nil {
		_ = s.end.Send(link.Report{Op: "started", Pid: pid})
		go s.reap()
		return
	}
	s.refuse(run, fds[1], err)
}

// refuse tells why nothing was started: a wrong command is the job's result, a wrong place is the request's fault.
func (s *supervisor) refuse(run *link.Run, stderr int, err error) {
	if !enterable(run) {
		_ = s.end.Send(link.Report{Op: "failed", Code: "cwd_not_found", Message: fmt.Sprintf("can't enter %s", run.Cwd)})
		return
	}
	if errors.Is(err, unix.EPERM) && run.As {
		_ = s.end.Send(link.Report{Op: "failed", Code: "user_not_found", Message: "can't become this user: " + err.Error()})
		return
	}
	code, why := exitNotExecutable, err.Error()
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR):
		code, why = exitNotFound, "no such file or directory"
		if !strings.Contains(run.Argv[0], "/") {
			why = "command not found"
		}
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM):
		_ = s.end.Send(link.Report{Op: "failed", Code: "no_resources", Message: "can't start a process: " + err.Error()})
		return
	}
	name := run.Argv[0]
	if len(name) > 1000 {
		name = name[:1000] + "…"
	}
	_, _ = unix.Write(stderr, []byte(fmt.Sprintf("pyro: %s: %s\n", name, why)))
	_ = s.end.Send(link.Report{Op: "exited", Exit: &code, Alone: true})
	_ = s.end.Send(link.Report{Op: "empty"})
}

// spawn tries what execvp would, with the job's own PATH.
func spawn(run *link.Run, attr *syscall.ProcAttr) (int, error) {
	name := run.Argv[0]
	if strings.Contains(name, "/") {
		return syscall.ForkExec(name, run.Argv, attr)
	}
	denied := error(nil)
	for _, dir := range strings.Split(run.Path, ":") {
		path := dir + "/" + name
		seen := path
		if !filepath.IsAbs(path) {
			path = "./" + path // an empty or relative entry means the job's directory, where the child is by then
			seen = filepath.Join(run.Cwd, path)
		}
		if info, err := os.Stat(seen); err != nil || info.IsDir() {
			continue
		}
		pid, err := syscall.ForkExec(path, run.Argv, attr)
		switch {
		case err == nil:
			return pid, nil
		case errors.Is(err, unix.EACCES):
			denied = err
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR):
			return 0, err
		}
	}
	if denied != nil {
		return 0, denied
	}
	return 0, unix.ENOENT
}

// enterable looks at the directory itself with the user's eyes; a wrong parent shows as one that can't be seen.
func enterable(run *link.Run) bool {
	var st unix.Stat_t
	if unix.Stat(run.Cwd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false
	}
	if !run.As || run.UID == 0 {
		return true
	}
	for at := run.Cwd; ; at = filepath.Dir(at) {
		if unix.Stat(at, &st) != nil || !searchable(&st, run) {
			return false
		}
		if at == "/" || at == "." {
			return true
		}
	}
}

func searchable(st *unix.Stat_t, run *link.Run) bool {
	if st.Uid == run.UID {
		return st.Mode&0o100 != 0
	}
	for _, gid := range append([]uint32{run.GID}, run.Groups...) {
		if st.Gid == gid {
			return st.Mode&0o010 != 0
		}
	}
	return st.Mode&0o001 != 0
}
