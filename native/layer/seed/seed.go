// Package seed copies a project into a new tree: what git knows of it, or everything.
package seed

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/newtree"
	"pyro/native/layer/stack"
)

// Spec is one copy to make.
type Spec struct {
	Source     string      `json:"source"`
	Dest       string      `json:"dest"`
	Owner      stack.Owner `json:"owner"`
	All        bool        `json:"all"`
	MaxEntries int64       `json:"max_entries"`
	MaxBytes   int64       `json:"max_bytes"`
}

// Result tells what is in the new tree.
type Result struct {
	Kind         string             `json:"kind"`
	Files        int64              `json:"files"`
	Dirs         int64              `json:"dirs"`
	Links        int64              `json:"links"`
	Bytes        int64              `json:"bytes"`
	SkippedCount int64              `json:"skipped_count"`
	Skipped      []copytree.Skipped `json:"skipped"`
	Head         *string            `json:"head"`
}

// Progress is what is reported on the way.
type Progress struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Seed makes the tree; on any error dest is not there.
func Seed(ctx context.Context, spec Spec, progress func(any)) (*Result, error) {
	if err := fault.Clean(spec.Source, spec.Dest); err != nil {
		return nil, err
	}
	source, err := openSource(spec.Source)
	if err != nil {
		return nil, err
	}
	defer unix.Close(source)
	if err := checkOverlap(spec.Source, spec.Dest); err != nil {
		return nil, err
	}
	result := &Result{Kind: "directory"}
	var choose *copytree.Node
	if !spec.All {
		listing, err := listGit(ctx, spec.Source)
		if err != nil {
			return nil, err
		}
		if listing != nil {
			result.Kind, result.Head, choose = "git", listing.head, listing.root
		}
	}
	err = newtree.Build(spec.Dest, func(dest int) error {
		totals, err := copytree.Copy(ctx, source, dest, choose, copytree.Options{
			UID: spec.Owner.UID, GID: spec.Owner.GID, MaxEntries: spec.MaxEntries, MaxBytes: spec.MaxBytes,
			ChangedCode: "seed_changed", LimitCode: "seed_too_large",
			Progress: func(files int64, bytes int64) { progress(Progress{files, bytes}) },
		})
		if err != nil {
			return err
		}
		result.Files, result.Dirs, result.Links, result.Bytes = totals.Files, totals.Dirs, totals.Links, totals.Bytes
		result.SkippedCount, result.Skipped = totals.SkippedCount, totals.Skipped
		return nil
	})
	if err != nil {
		return nil, err
	}
	if result.Skipped == nil {
		result.Skipped = []copytree.Skipped{}
	}
	return result, nil
}

func openSource(path string) (int, error) {
	fd, err := dirfd.OpenDir(path)
	switch err {
	case nil:
		return fd, nil
	case unix.ENOENT:
		return -1, fault.New("seed_not_found", path, "%s does not exist", path)
	case unix.ENOTDIR:
		return -1, fault.New("seed_not_directory", path, "%s is not a directory", path)
	}
	return -1, fault.From(err, "opening", path)
}

// checkOverlap compares the real paths: a tree that contains its own copy would never end.
func checkOverlap(source string, dest string) error {
	realSource, err := filepath.EvalSymlinks(source)
	if err != nil {
		return fault.From(err, "resolving", source)
	}
	realParent, err := filepath.EvalSymlinks(filepath.Dir(dest))
	if err != nil {
		return fault.From(err, "resolving", filepath.Dir(dest))
	}
	realDest := filepath.Join(realParent, filepath.Base(dest))
	if within(realDest, realSource) || within(realSource, realDest) {
		return fault.New("seed_overlap", source, "%s and %s overlap", source, dest)
	}
	return nil
}

func within(path string, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// inRepository looks for .git here and above, as git does, before a process is spent on asking.
func inRepository(path string) (here bool, above bool) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false, false
	}
	for dir := real; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir == real, true
		}
		if dir == "/" {
			return false, false
		}
	}
}
