package container

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pyro/native/host/cgroup"
)

// cgroupDirs finds the groups of a sandbox in every hierarchy: from the runtime's state, from the configured
// path, and from the process itself. Only directories that carry the id in their name are ever touched.
func cgroupDirs(spec StopSpec, state runtimeState, cgroupsPath string, alive bool) []string {
	names := map[string]bool{}
	own := cgroup.GroupsOf("self")
	add := func(path string) {
		path = filepath.Clean("/" + path)
		if carries(filepath.Base(path), spec.ID) && !slices.Contains(own, path) {
			names[path] = true
		}
	}
	for _, path := range state.cgroups {
		if below, ok := strings.CutPrefix(path, cgroup.Root); ok {
			path = below
			// In the v1 layout the first component is the hierarchy; the plain path is tried in each anyway.
			if _, rest, ok := strings.Cut(strings.TrimPrefix(below, "/"), "/"); ok {
				add(rest)
			}
		}
		add(path)
	}
	if cgroupsPath != "" {
		add(cgroupsPath)
	}
	add("/" + spec.ID)
	if alive {
		for _, path := range cgroup.GroupsOf(strconv.Itoa(spec.Pid)) {
			add(path)
		}
	}
	var dirs []string
	for name := range names {
		for _, dir := range cgroup.Dirs(name) {
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// carries says whether a group's name is the sandbox's: the id, anything-id, or that as a systemd scope.
func carries(name string, id string) bool {
	name = strings.TrimSuffix(name, ".scope")
	return name == id || strings.HasSuffix(name, "-"+id)
}
