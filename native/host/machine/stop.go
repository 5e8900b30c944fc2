package machine

import (
	"context"
	"os"
	"time"

	"pyro/native/host/cgroup"
	"pyro/native/host/process"
	"pyro/native/host/wire"
	"pyro/native/layer/fault"
)

const goneTimeout = 10 * time.Second

// StopSpec is one machine to end: by its process where that is known, by its record and its group in any case.
type StopSpec struct {
	Pid       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"start_time,omitempty"`
	// As in StartSpec.
	Record  string   `json:"record"`
	Cgroup  *string  `json:"cgroup"`
	Sockets []string `json:"sockets,omitempty"`
}

// Stopped says whether a process was there to be ended.
type Stopped struct {
	Existed bool `json:"existed"`
}

// Stop ends a machine, waits until it is gone and removes what it had, but for its console. Repeatable.
// Errors: bad_args, bad_path, machine_failed (retryable) where it does not end.
func Stop(ctx context.Context, spec StopSpec) (*Stopped, error) {
	if err := fault.Clean(append([]string{spec.Record}, spec.Sockets...)...); err != nil {
		return nil, err
	}
	if spec.Cgroup != nil {
		if err := checkGroup(*spec.Cgroup); err != nil {
			return nil, err
		}
	}
	processes := []record{{Pid: spec.Pid, StartTime: spec.StartTime, BootID: wire.BootID()}}
	if known, ok := readRecord(spec.Record); ok {
		processes = append(processes, known)
	}
	result := &Stopped{}
	for _, one := range processes {
		if !one.alive() {
			continue
		}
		result.Existed = true
		if !process.KillAndWait(ctx, one.Pid, one.StartTime, goneTimeout) {
			return nil, fault.Retry("machine_failed", "", "process %d of the machine does not end", one.Pid)
		}
	}
	if spec.Cgroup != nil {
		if err := cgroup.Remove(ctx, cgroup.Dirs(*spec.Cgroup), "machine_failed"); err != nil {
			return nil, err
		}
	}
	for _, path := range spec.Sockets {
		if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSocket != 0 {
			_ = os.Remove(path)
		}
	}
	if err := os.Remove(spec.Record); err != nil && !os.IsNotExist(err) {
		return nil, fault.From(err, "removing", spec.Record)
	}
	return result, nil
}
