// Package machine starts and stops a program that runs a machine (QEMU, Firecracker) as a child of the holder: as
// somebody who may do nothing, in namespaces of its own, with descriptors instead of paths.
package machine

import (
	"path/filepath"
	"strings"

	"pyro/native/host/cgroup"
	"pyro/native/layer/fault"
)

const (
	maxArgs  = 512
	maxFiles = 64
)

// StartSpec is one machine to start.
type StartSpec struct {
	Program string   `json:"program"`
	Args    []string `json:"args"`
	// Empty means a PATH and nothing else.
	Env []string `json:"env,omitempty"`
	// Who it runs as, in ids of the holder's namespace; never 0.
	UID int `json:"uid"`
	GID int `json:"gid"`
	// Supplementary groups: none unless given. KeepGroups leaves those of the engine's user, which inside a user
	// namespace is the only way to belong to a group that is not mapped.
	Groups     []int `json:"groups,omitempty"`
	KeepGroups bool  `json:"keep_groups,omitempty"`
	// The program begins with the hand's own ids and capabilities and gives them up itself, as a jailer does.
	Privileged bool `json:"privileged,omitempty"`
	// Null: no group of its own.
	Cgroup *cgroup.Spec `json:"cgroup"`
	// File that names the machine's process, for whoever has to end it without having heard of it.
	Record string `json:"record"`
	// File for what the program says, consoleLimit bytes at most; emptied at each start.
	Console string `json:"console"`
	// Unix sockets to listen on: descriptors 3 and up of the program.
	Sockets []string `json:"sockets,omitempty"`
	// Files to open, as the descriptors after those.
	Files []File `json:"files,omitempty"`
}

// File is opened for the program, which then needs no way to it.
type File struct {
	Path  string `json:"path"`
	Write bool   `json:"write"`
}

func (s StartSpec) check() error {
	paths := append([]string{s.Program, s.Record, s.Console}, s.Sockets...)
	for _, file := range s.Files {
		paths = append(paths, file.Path)
	}
	if err := fault.Clean(paths...); err != nil {
		return err
	}
	if s.UID <= 0 || s.GID <= 0 {
		return fault.New("bad_args", "", "a machine never runs as %d:%d", s.UID, s.GID)
	}
	if len(s.Args) > maxArgs || len(s.Sockets)+len(s.Files) > maxFiles {
		return fault.New("bad_args", "", "more than %d arguments or %d descriptors", maxArgs, maxFiles)
	}
	for _, text := range append(append([]string{}, s.Args...), s.Env...) {
		if strings.IndexByte(text, 0) >= 0 {
			return fault.New("bad_args", "", "an argument holds a zero byte")
		}
	}
	if s.Cgroup != nil {
		return checkGroup(s.Cgroup.Path)
	}
	return nil
}

// checkGroup keeps to groups that carry our name: they are removed with all that is inside.
func checkGroup(path string) error {
	if err := fault.Clean(path); err != nil {
		return err
	}
	if !strings.HasPrefix(filepath.Base(path), "pyro-") {
		return fault.New("bad_args", path, "%s is no group of ours", path)
	}
	return nil
}
