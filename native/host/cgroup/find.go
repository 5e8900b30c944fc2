// Package cgroup finds, makes and removes the control groups of sandboxes, in version 1 and version 2 hierarchies.
package cgroup

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
)

// Root is where every hierarchy is mounted.
const Root = "/sys/fs/cgroup"

// GroupsOf are the groups of a process ("self" or its number), as paths below their hierarchies.
func GroupsOf(pid string) []string {
	var paths []string
	data, _ := os.ReadFile("/proc/" + pid + "/cgroup")
	for _, line := range strings.Split(string(data), "\n") {
		if fields := strings.SplitN(line, ":", 3); len(fields) == 3 {
			paths = append(paths, fields[2])
		}
	}
	return paths
}

// Hierarchies are the folders that groups lie below: one in version 2, one for each controller in version 1.
func Hierarchies() []string {
	roots := []string{Root}
	if isV2() {
		return roots // What lies below it are groups, not hierarchies.
	}
	entries, _ := os.ReadDir(Root)
	for _, entry := range entries {
		if entry.IsDir() {
			roots = append(roots, filepath.Join(Root, entry.Name()))
		}
	}
	return roots
}

func isV2() bool {
	var st unix.Statfs_t
	return unix.Statfs(Root, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// Dirs are the folders that a group has, in whichever hierarchy.
func Dirs(name string) []string {
	var dirs []string
	for _, hierarchy := range Hierarchies() {
		dir := hierarchy + name
		if st, err := os.Lstat(dir); err == nil && st.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Remove removes groups with all below them, killing what is still inside; code names the error where one stays.
func Remove(ctx context.Context, dirs []string, code string) error {
	deadline := time.Now().Add(5 * time.Second)
	for _, dir := range dirs {
		for {
			err := remove(dir)
			if err == nil || os.IsNotExist(err) {
				break
			}
			if err == unix.EACCES || err == unix.EPERM || err == unix.EROFS {
				break // Not ours to remove: an ordinary user's sandbox has no group of its own.
			}
			if time.Now().After(deadline) || ctx.Err() != nil {
				return fault.Retry(code, dir, "the cgroup %s cannot be removed: %v", dir, err)
			}
			kill(dir)
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

func remove(dir string) error {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			if err := remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return unix.Rmdir(dir)
}

func kill(dir string) {
	_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil
		}
		for _, pid := range members(path) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		return nil
	})
}

// members are the processes in a group itself, without those in groups below it.
func members(dir string) []int {
	var pids []int
	data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids
}
