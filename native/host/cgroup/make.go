package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
)

// Spec is one group to make; Path is below every hierarchy. A limit of zero is none.
type Spec struct {
	Path string `json:"path"`
	// CPUs, as time per time.
	CPU float64 `json:"cpu"`
	// Bytes, page cache included, swap excluded.
	Memory int64 `json:"memory"`
	// Processes and threads.
	Pids int64 `json:"pids"`
}

const period = 100_000 // Microseconds.

var controllers = []string{"cpu", "memory", "pids"}

// Make makes the group and sets its limits; it returns the folders whose cgroup.procs a process joins by. All or
// nothing.
// Errors: already_started (somebody is inside), io_error.
func Make(spec Spec) (dirs []string, err error) {
	defer func() {
		if err != nil {
			for _, dir := range dirs {
				_ = unix.Rmdir(dir)
			}
			dirs = nil
		}
	}()
	enter := func(dir string) error {
		if len(members(dir)) > 0 {
			return fault.New("already_started", dir, "the cgroup %s is in use", dir)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fault.New("io_error", dir, "the cgroup cannot be made: %v", err)
		}
		dirs = append(dirs, dir)
		return nil
	}
	if isV2() {
		if err := offer(spec.Path); err != nil {
			return dirs, err
		}
		dir := Root + spec.Path
		if err := enter(dir); err != nil {
			return dirs, err
		}
		return dirs, set(dir, limitsV2(spec))
	}
	for _, controller := range controllers {
		dir := filepath.Join(Root, controller) + spec.Path
		if err := enter(dir); err != nil {
			return dirs, err
		}
		if err := set(dir, limitsV1(spec, controller)); err != nil {
			return dirs, err
		}
	}
	return dirs, nil
}

// offer gives every folder above the group the controllers, where it has not got them already.
func offer(path string) error {
	dir := Root
	for _, part := range strings.Split(strings.TrimPrefix(filepath.Dir(path), "/"), "/") {
		file := filepath.Join(dir, "cgroup.subtree_control")
		data, _ := os.ReadFile(file)
		offered := strings.Fields(string(data))
		for _, controller := range controllers {
			if slices.Contains(offered, controller) {
				continue
			}
			if err := write(file, "+"+controller); err != nil {
				return fault.New("io_error", file, "the cgroup above cannot offer the controller %s: %v", controller, err)
			}
		}
		dir = filepath.Join(dir, part)
		if part == "" {
			return nil
		}
	}
	return nil
}

type setting struct {
	file, value string
	// Not every kernel has it.
	optional bool
}

func limitsV1(spec Spec, controller string) []setting {
	switch {
	case controller == "cpu" && spec.CPU > 0:
		return []setting{{"cpu.cfs_period_us", strconv.Itoa(period), false}, {"cpu.cfs_quota_us", quota(spec.CPU), false}}
	case controller == "memory" && spec.Memory > 0:
		bytes := strconv.FormatInt(spec.Memory, 10)
		return []setting{{"memory.limit_in_bytes", bytes, false}, {"memory.memsw.limit_in_bytes", bytes, true}}
	case controller == "pids" && spec.Pids > 0:
		return []setting{{"pids.max", strconv.FormatInt(spec.Pids, 10), false}}
	}
	return nil
}

func limitsV2(spec Spec) []setting {
	var all []setting
	if spec.CPU > 0 {
		all = append(all, setting{"cpu.max", quota(spec.CPU) + " " + strconv.Itoa(period), false})
	}
	if spec.Memory > 0 {
		all = append(all, setting{"memory.max", strconv.FormatInt(spec.Memory, 10), false}, setting{"memory.swap.max", "0", true})
	}
	if spec.Pids > 0 {
		all = append(all, setting{"pids.max", strconv.FormatInt(spec.Pids, 10), false})
	}
	return all
}

func quota(cpus float64) string { return strconv.FormatInt(int64(cpus*period), 10) }

func set(dir string, settings []setting) error {
	for _, one := range settings {
		if err := write(filepath.Join(dir, one.file), one.value); err != nil && !(one.optional && os.IsNotExist(err)) {
			return fault.New("io_error", dir, "setting %s to %s: %v", one.file, one.value, err)
		}
	}
	return nil
}

// Join moves the calling process, whole, into the groups.
func Join(dirs []string) error {
	for _, dir := range dirs {
		if err := write(filepath.Join(dir, "cgroup.procs"), "0"); err != nil {
			return fault.New("io_error", dir, "joining the cgroup: %v", err)
		}
	}
	return nil
}

// write never makes a file: in a folder that is no cgroup that would look like success.
func write(file string, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
