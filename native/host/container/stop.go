package container

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"pyro/native/host/cgroup"
	"pyro/native/host/process"
	"pyro/native/layer/fault"
)

const goneTimeout = 10 * time.Second

// StopSpec is one sandbox to end; pid and start time are an optional second way to name its first process.
type StopSpec struct {
	Runtime     string   `json:"runtime"`
	RuntimeRoot string   `json:"runtime_root"`
	RuntimeArgs []string `json:"runtime_args"`
	ID          string   `json:"id"`
	Pid         int      `json:"pid"`
	StartTime   uint64   `json:"start_time"`
}

// Stopped says whether there was anything to stop.
type Stopped struct {
	Existed bool `json:"existed"`
}

// Stop ends a sandbox and waits until it is gone; one that is not there is fine.
func Stop(ctx context.Context, spec StopSpec) (*Stopped, error) {
	if err := checkID(spec.ID); err != nil {
		return nil, err
	}
	if err := fault.Clean(spec.Runtime, spec.RuntimeRoot); err != nil {
		return nil, err
	}
	return stopSandbox(ctx, spec, "")
}

func stopSandbox(ctx context.Context, spec StopSpec, cgroupsPath string) (*Stopped, error) {
	state := readState(spec)
	if spec.Pid == 0 {
		spec.Pid, spec.StartTime = state.pid, state.startTime
	}
	alive := process.Same(spec.Pid, spec.StartTime)
	groups := cgroupDirs(spec, state, cgroupsPath, alive)
	existed := state.exists || alive
	if alive {
		// Killing it first spares the runtime's own waiting, which goes in steps of 100 ms. A frozen sandbox does
		// not die of it; the runtime thaws it.
		process.KillAndWait(ctx, spec.Pid, spec.StartTime, 500*time.Millisecond)
	}
	if state.exists {
		if err := deleteState(ctx, spec); err != nil {
			return nil, err
		}
	}
	if process.Same(spec.Pid, spec.StartTime) && !process.KillAndWait(ctx, spec.Pid, spec.StartTime, goneTimeout) {
		return nil, fault.Retry("runtime_failed", "", "process %d of sandbox %s does not end", spec.Pid, spec.ID)
	}
	if err := cgroup.Remove(ctx, groups, "runtime_failed"); err != nil {
		return nil, err
	}
	return &Stopped{Existed: existed}, nil
}

func deleteState(ctx context.Context, spec StopSpec) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	log, err := os.CreateTemp("", "pyro-delete-*")
	if err != nil {
		return fault.From(err, "making a temporary file", "")
	}
	defer os.Remove(log.Name())
	log.Close()
	args := append([]string{}, spec.RuntimeArgs...)
	args = append(args, "--root", spec.RuntimeRoot, "--log", log.Name(), "--log-format", "json", "delete", "--force", spec.ID)
	runErr := runtimeCommand(ctx, spec.Runtime, args).Run()
	if errors.Is(ctx.Err(), context.Canceled) {
		return fault.From(context.Canceled, "", "")
	}
	if _, err := os.Lstat(filepath.Join(spec.RuntimeRoot, spec.ID)); os.IsNotExist(err) {
		return nil
	}
	if runErr != nil && process.Same(spec.Pid, spec.StartTime) {
		return fault.New("runtime_failed", "", "%s", lastWords(log.Name(), runErr))
	}
	// A runtime that was killed half way leaves a directory that it does not take for a sandbox.
	if err := os.RemoveAll(filepath.Join(spec.RuntimeRoot, spec.ID)); err != nil {
		return fault.From(err, "removing the runtime's state of", spec.ID)
	}
	return nil
}

// runtimeState is what the runtimes' own state files say, as far as it is needed here.
type runtimeState struct {
	exists    bool
	pid       int
	startTime uint64
	cgroups   []string
}

func readState(spec StopSpec) runtimeState {
	dir := filepath.Join(spec.RuntimeRoot, spec.ID)
	var state runtimeState
	if _, err := os.Lstat(dir); err != nil {
		return state
	}
	state.exists = true
	if data, err := os.ReadFile(filepath.Join(dir, "state.json")); err == nil { // runc
		var file struct {
			Pid   int               `json:"init_process_pid"`
			Start uint64            `json:"init_process_start"`
			Paths map[string]string `json:"cgroup_paths"`
		}
		if json.Unmarshal(data, &file) == nil {
			state.pid, state.startTime = file.Pid, file.Start
			for _, path := range file.Paths {
				state.cgroups = append(state.cgroups, path)
			}
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "status")); err == nil { // crun
		var file struct {
			Pid    int    `json:"pid"`
			Start  uint64 `json:"process-start-time"`
			Cgroup string `json:"cgroup-path"`
		}
		if json.Unmarshal(data, &file) == nil && file.Pid > 0 {
			state.pid, state.startTime = file.Pid, file.Start
			state.cgroups = append(state.cgroups, file.Cgroup)
		}
	}
	return state
}
