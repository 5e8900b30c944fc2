package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"pyro/native/host/cgroup"
	"pyro/native/layer/fault"
)

// Descriptors of a keeper.
const (
	ordersFD = 3 + iota // Its order; once it keeps, what the program says.
	reportFD
	consoleFD
	passedFD
)

const maxOrder = 4 << 20

// Keep is the first process of a machine's namespaces. It starts the program as somebody who may do nothing, then
// executes itself again as the same nobody, writes what the program says to the console and ends with it. Killing
// the keeper kills the program.
func Keep(args []string) int {
	if len(args) == 3 {
		return relay(args[1], args[2])
	}
	// Ids and capabilities belong to a thread until it forks or executes: everything happens on this one.
	runtime.LockOSThread()
	orders := os.NewFile(ordersFD, "orders")
	answer := os.NewFile(reportFD, "report")
	// Their numbers are used below: neither may be closed when it is garbage.
	defer runtime.KeepAlive([]*os.File{orders, answer})
	data, err := io.ReadAll(io.LimitReader(orders, maxOrder))
	var ordered order
	if err != nil || len(args) != 1 || json.Unmarshal(data, &ordered) != nil {
		return 1 // Whoever started it is gone.
	}
	count := len(ordered.Spec.Sockets) + len(ordered.Spec.Files)
	for fd := reportFD; fd < passedFD+count; fd++ {
		unix.CloseOnExec(fd)
	}
	program, err := launch(ordered)
	said := report{}
	if err != nil {
		said.Error = fault.From(err, "the machine cannot be started", ordered.Spec.Program)
	}
	line, _ := json.Marshal(said)
	_, _ = answer.Write(line)
	if err != nil {
		return 1
	}
	for _, fd := range []int{ordersFD, consoleFD} {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	err = syscall.Exec("/proc/self/exe", []string{os.Args[0], "keep", args[0],
		strconv.Itoa(program), filepath.Base(ordered.Spec.Program)}, os.Environ())
	fmt.Fprintln(os.Stderr, "keep: executing again:", err)
	return 1
}

// launch limits this thread and starts the program from it; what the program says can be read from ordersFD.
func launch(ordered order) (pid int, err error) {
	spec := ordered.Spec
	// What the program makes is for its user and its folder's group: an ordinary user's engine is in that group only.
	unix.Umask(0o007)
	if err := cgroup.Join(ordered.CgroupDirs); err != nil {
		return 0, err
	}
	if err := limit(); err != nil {
		return 0, err
	}
	if !spec.Privileged {
		if err := become(spec); err != nil {
			return 0, err
		}
	}
	if pid, err = run(spec); err != nil {
		return 0, err
	}
	if spec.Privileged {
		err = become(spec)
	}
	return pid, err
}

func run(spec StartSpec) (int, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return 0, fault.From(err, "making a pipe", "")
	}
	writeEnd := os.NewFile(uintptr(ends[1]), "output")
	defer writeEnd.Close()
	if err := unix.Dup3(ends[0], ordersFD, unix.O_CLOEXEC); err != nil {
		return 0, fault.From(err, "placing a pipe", "")
	}
	command := exec.Command(spec.Program, spec.Args...)
	command.Dir = "/"
	command.Env = spec.Env
	if len(command.Env) == 0 {
		command.Env = os.Environ()
	}
	command.Stdout, command.Stderr = writeEnd, writeEnd
	for i := range len(spec.Sockets) + len(spec.Files) {
		command.ExtraFiles = append(command.ExtraFiles, os.NewFile(uintptr(passedFD+i), "passed"))
	}
	if err := command.Start(); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return 0, fault.New("tool_missing", spec.Program, "%s is not there", spec.Program)
		}
		return 0, fault.New("machine_failed", spec.Program, "%v", err)
	}
	return command.Process.Pid, nil
}

// limit forbids what neither this process nor the program needs: core files, which would hold the guest's memory, and
// more rights than it has.
func limit() error {
	if err := syscall.Setrlimit(unix.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fault.From(err, "forbidding core files", "")
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fault.From(err, "setting no_new_privs", "")
	}
	return nil
}

// become makes this thread somebody without capabilities, for good.
func become(spec StartSpec) error {
	for capability := uintptr(0); capability < 64; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if err == unix.EINVAL {
			break // The kernel knows no more of them.
		}
		if err != nil {
			return fault.From(err, "dropping a capability", "")
		}
	}
	if !spec.KeepGroups {
		if err := unix.Setgroups(spec.Groups); err != nil {
			return fault.From(err, "setting groups", "")
		}
	}
	if err := syscall.Setresgid(spec.GID, spec.GID, spec.GID); err != nil {
		return fault.From(err, fmt.Sprintf("becoming group %d", spec.GID), "")
	}
	if err := syscall.Setresuid(spec.UID, spec.UID, spec.UID); err != nil {
		return fault.From(err, fmt.Sprintf("becoming user %d", spec.UID), "")
	}
	// Left over where they were inherited as such: becoming somebody does not clear them.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fault.From(err, "clearing capabilities", "")
	}
	return nil
}
