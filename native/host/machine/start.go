package machine

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/cgroup"
	"pyro/native/host/wire"
	"pyro/native/layer/fault"
)

const (
	startTimeout = 60 * time.Second
	undoTimeout  = 20 * time.Second
)

// Started names the machine's process: the keeper, with whom everything of the machine ends.
type Started struct {
	Pid       int    `json:"pid"`
	StartTime uint64 `json:"start_time"`
}

// order is what the keeper reads before it does anything; without one it leaves.
type order struct {
	Spec       StartSpec `json:"spec"`
	CgroupDirs []string  `json:"cgroup_dirs"`
}

// report is the keeper's one line: it has started the program, or why not.
type report struct {
	Error *fault.Error `json:"error,omitempty"`
}

// Start runs the program and returns when it executes, or leaves nothing. That it is any good shows in its console.
// Errors: bad_args, bad_path, already_started, tool_missing, machine_failed, io_error.
func Start(ctx context.Context, spec StartSpec) (*Started, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	if known, ok := readRecord(spec.Record); ok && known.alive() {
		return nil, fault.New("already_started", spec.Record, "the machine runs already, as process %d", known.Pid)
	}
	started, err := start(ctx, spec)
	if err != nil && !fault.HasCode(err, "already_started") {
		// The undoing has its own time, as the request may be cancelled.
		undo, cancel := context.WithTimeout(context.Background(), undoTimeout)
		defer cancel()
		stop := StopSpec{Record: spec.Record, Sockets: spec.Sockets}
		if spec.Cgroup != nil {
			stop.Cgroup = &spec.Cgroup.Path
		}
		_, _ = Stop(undo, stop)
	}
	return started, err
}

func start(ctx context.Context, spec StartSpec) (*Started, error) {
	ordered := order{Spec: spec}
	var err error
	if spec.Cgroup != nil {
		if ordered.CgroupDirs, err = cgroup.Make(*spec.Cgroup); err != nil {
			return nil, err
		}
	}
	console, err := os.OpenFile(spec.Console, os.O_CREATE|os.O_RDWR|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fault.From(err, "opening", spec.Console)
	}
	defer console.Close()
	passed, err := openAll(spec)
	defer closeAll(passed)
	if err != nil {
		return nil, err
	}
	keeper, err := startKeeper(spec, console, passed)
	if err != nil {
		return nil, err
	}
	defer keeper.orders.Close()
	defer keeper.report.Close()
	known := record{Pid: keeper.pid, BootID: wire.BootID()}
	known.StartTime, _ = wire.StartTime(keeper.pid)
	if err := writeRecord(spec.Record, known); err != nil {
		return nil, err
	}
	if err := keeper.tell(ctx, ordered); err != nil {
		return nil, err
	}
	return &Started{Pid: known.Pid, StartTime: known.StartTime}, nil
}

type keeper struct {
	pid            int
	orders, report *os.File
}

// startKeeper runs this binary again. Process, network and ipc namespaces are its own: when it ends, the kernel ends
// all that it started, and a program that was taken over finds neither a network nor others' processes. Its mount
// namespace is the holder's: a copy would keep other sandboxes' mounts busy after they were unmounted here.
func startKeeper(spec StartSpec, console *os.File, passed []*os.File) (*keeper, error) {
	ordersRead, orders, err := os.Pipe()
	if err != nil {
		return nil, fault.From(err, "making a pipe", "")
	}
	defer ordersRead.Close()
	answer, answerWrite, err := os.Pipe()
	if err != nil {
		orders.Close()
		return nil, fault.From(err, "making a pipe", "")
	}
	defer answerWrite.Close()
	command := exec.Command("/proc/self/exe", "keep", spec.Record)
	command.Args[0] = os.Args[0]
	command.Dir = "/"
	command.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	command.Stderr = os.Stderr
	command.ExtraFiles = append([]*os.File{ordersRead, answerWrite, console}, passed...)
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
	}
	if err := command.Start(); err != nil {
		orders.Close()
		answer.Close()
		return nil, fault.New("machine_failed", "", "starting the machine's keeper: %v", err)
	}
	// As long as this hand lives it is the parent; afterwards the holder reaps.
	go func() { _ = command.Wait() }()
	return &keeper{command.Process.Pid, orders, answer}, nil
}

// tell hands the order over and waits for the answer.
func (k *keeper) tell(ctx context.Context, ordered order) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		_ = k.orders.SetDeadline(time.Unix(1, 0))
		_ = k.report.SetDeadline(time.Unix(1, 0))
	})()
	data, err := json.Marshal(ordered)
	if err == nil {
		_, err = k.orders.Write(data)
	}
	k.orders.Close()
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(k.report, 64<<10))
	}
	switch ctx.Err() {
	case context.Canceled:
		return fault.From(context.Canceled, "", "")
	case context.DeadlineExceeded:
		return fault.Retry("machine_failed", "", "the machine's program was not started within %s", startTimeout)
	}
	var said report
	if err != nil || json.Unmarshal(data, &said) != nil {
		return fault.New("machine_failed", "", "the machine's keeper ended without a word: %v", err)
	}
	if said.Error != nil {
		return said.Error
	}
	return nil
}

// openAll opens the sockets, then the files; what it returns is to be closed, also with an error.
func openAll(spec StartSpec) (passed []*os.File, err error) {
	for _, path := range spec.Sockets {
		socket, err := wire.Listen(path)
		if err != nil {
			return passed, err
		}
		passed = append(passed, socket)
	}
	for _, file := range spec.Files {
		flags := os.O_RDONLY
		if file.Write {
			flags = os.O_RDWR
		}
		// Without O_NONBLOCK a fifo in this place would hold us up for good.
		opened, err := os.OpenFile(file.Path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return passed, fault.From(err, "opening", file.Path)
		}
		passed = append(passed, opened)
		st, err := opened.Stat()
		if err != nil {
			return passed, fault.From(err, "looking at", file.Path)
		}
		if kind := st.Mode().Type(); kind != 0 && kind&os.ModeCharDevice == 0 {
			return passed, fault.New("bad_path", file.Path, "%s is no plain file", file.Path)
		}
	}
	return passed, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}
