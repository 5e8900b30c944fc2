// Package seed makes a new tree of a project: of what git knows of it, of everything in a directory, or of an archive.
package seed

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
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
	// Apart are directories that the source may neither hold nor lie in.
	Apart []string `json:"apart"`
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

// Progress is what is reported on the way; of an archive also how many of its own bytes were read.
type Progress struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	Read  int64 `json:"read,omitempty"`
	Total int64 `json:"total,omitempty"`
}

// Seed makes the tree; on any error dest is not there.
func Seed(ctx context.Context, spec Spec, progress func(any)) (*Result, error) {
	if err := fault.Clean(spec.Dest); err != nil {
		return nil, err
	}
	place, err := find(spec.Source, spec.Apart)
	if err != nil {
		return nil, err
	}
	defer place.Close()
	if place.Stat.Mode&unix.S_IFMT == unix.S_IFREG {
		return seedArchive(ctx, spec, place, progress)
	}
	source, err := openDirectory(place, spec.Source)
	if err != nil {
		return nil, err
	}
	defer unix.Close(source)
	if err := checkOverlap(place, spec); err != nil {
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
			Progress: func(files int64, bytes int64) { progress(Progress{Files: files, Bytes: bytes}) },
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
