package container

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroupDirs finds the groups of a sandbox in every hierarchy: from the runtime's state, from the configured
// path, and from the process itself. Only directories that carry the id in their name are ever touched.
func cgroupDirs(spec StopSpec, state runtimeState, cgroupsPath string, alive bool) []string {
	names := map[string]bool{}
	own := groupsOf("self")
	add := func(path string) {
		path = filepath.Clean("/" + path)
		if carries(filepath.Base(path), spec.ID) && !slices.Contains(own, path) {
			names[path] = true
		}
	}
	for _, path := range state.cgroups {
		if below, ok := strings.CutPrefix(path, cgroupRoot); ok {
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
		for _, path := range groupsOf(strconv.Itoa(spec.Pid)) {
			add(path)
		}
	}
	var dirs []string
	for _, hierarchy := range hierarchies() {
		for name := range names {
			dir := hierarchy + name
			if st, err := os.Lstat(dir); err == nil && st.IsDir() && !slices.Contains(dirs, dir) {
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

func groupsOf(pid string) []string {
	var paths []string
	data, _ := os.ReadFile("/proc/" + pid + "/cgroup")
	for _, line := range strings.Split(string(data), "\n") {
		if fields := strings.SplitN(line, ":", 3); len(fields) == 3 {
			paths = append(paths, fields[2])
		}
	}
	return paths
}

func hierarchies() []string {
	roots := []string{cgroupRoot}
	entries, _ := os.ReadDir(cgroupRoot)
	for _, entry := range entries {
		// In a pure v2 tree these are groups, not hierarchies.
		var st unix.Statfs_t
		path := filepath.Join(cgroupRoot, entry.Name())
		if entry.IsDir() && unix.Statfs(path, &st) == nil && !isV2Root() {
			roots = append(roots, path)
		}
	}
	return roots
}

func isV2Root() bool {
	var st unix.Statfs_t
	return unix.Statfs(cgroupRoot, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// removeCgroups removes what the runtime left, killing what is still inside.
func removeCgroups(ctx context.Context, dirs []string) error {
	deadline := time.Now().Add(5 * time.Second)
	for _, dir := range dirs {
		for {
			err := removeGroup(dir)
			if err == nil || os.IsNotExist(err) {
				break
			}
			if err == unix.EACCES || err == unix.EPERM || err == unix.EROFS {
				break // Not ours to remove: an ordinary user's sandbox has no group of its own.
			}
			if time.Now().After(deadline) || ctx.Err() != nil {
				return fault.Retry("runtime_failed", dir, "the cgroup %s cannot be removed: %v", dir, err)
			}
			killGroup(dir)
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

func removeGroup(dir string) error {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeGroup(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return unix.Rmdir(dir)
}

func killGroup(dir string) {
	_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil
		}
		data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
}
