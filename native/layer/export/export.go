// Package export copies a file or a tree out of a sandbox to a place the user named.
package export

import (
	"context"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

// Spec is one copy: Path is relative to Root, Output is on the host.
type Spec struct {
	Root      string      `json:"root"`
	Path      string      `json:"path"`
	Output    string      `json:"output"`
	Overwrite bool        `json:"overwrite"`
	Owner     stack.Owner `json:"owner"`
	// Apart are directories that the output may neither hold nor lie in.
	Apart []string `json:"apart"`
}

// Result is what lies at Output.
type Result struct {
	Kind         string             `json:"kind"`
	Files        int64              `json:"files"`
	Bytes        int64              `json:"bytes"`
	SkippedCount int64              `json:"skipped_count"`
	Skipped      []copytree.Skipped `json:"skipped"`
}

// Export puts the copy in its place in one step.
func Export(ctx context.Context, spec Spec, progress func(any)) (*Result, error) {
	if err := fault.Clean(spec.Root); err != nil {
		return nil, err
	}
	if err := checkRelative(spec.Path); err != nil {
		return nil, err
	}
	root, err := dirfd.OpenDir(spec.Root)
	if err != nil {
		return nil, fault.From(err, "opening", spec.Root)
	}
	defer unix.Close(root)
	from, err := find(root, spec.Path)
	if err != nil {
		return nil, err
	}
	defer from.close()
	return place(spec.target(), func(parent int, temp string) (string, *copytree.Totals, error) {
		totals, err := from.copy(ctx, parent, temp, copytree.Options{
			UID: spec.Owner.UID, GID: spec.Owner.GID, ChangedCode: "export_changed",
			Progress: func(files int64, bytes int64) { progress(map[string]int64{"files": files, "bytes": bytes}) },
		})
		if err == nil && from.kind != "directory" && totals.SkippedCount > 0 {
			err = fault.New("not_exportable", spec.Path, "%s is no file, directory or link", spec.Path)
		}
		if err == nil {
			err = from.made(parent, temp, spec.Path)
		}
		return from.kind, totals, err
	})
}

func (s Spec) target() target { return target{s.Output, s.Overwrite, s.Apart} }

func checkRelative(path string) error {
	if filepath.IsAbs(path) || (path != "" && filepath.Clean(path) != path) || path == ".." || strings.HasPrefix(path, "../") || strings.ContainsRune(path, 0) {
		return fault.New("bad_path", path, "%q is not a clean path below the root", path)
	}
	return nil
}
