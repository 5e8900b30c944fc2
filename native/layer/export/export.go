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
	if err := fault.Clean(spec.Root, spec.Output); err != nil {
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
	parent, err := openParent(spec)
	if err != nil {
		return nil, err
	}
	defer unix.Close(parent)
	return place(ctx, from, parent, spec, progress)
}

func checkRelative(path string) error {
	if filepath.IsAbs(path) || (path != "" && filepath.Clean(path) != path) || path == ".." || strings.HasPrefix(path, "../") || strings.ContainsRune(path, 0) {
		return fault.New("bad_path", path, "%q is not a clean path below the root", path)
	}
	return nil
}

func openParent(spec Spec) (int, error) {
	dir, base := filepath.Split(spec.Output)
	if base == "" {
		return -1, fault.New("bad_path", spec.Output, "%s cannot be an output", spec.Output)
	}
	parent, err := dirfd.OpenDir(dir)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return -1, fault.New("output_parent_missing", spec.Output, "the directory %s does not exist", filepath.Clean(dir))
	}
	if err != nil {
		return -1, fault.From(err, "opening", dir)
	}
	if _, err := dirfd.Stat(parent, base); err == nil && !spec.Overwrite {
		unix.Close(parent)
		return -1, exists(spec.Output)
	}
	return parent, nil
}

func exists(output string) error {
	return fault.New("output_exists", output, "%s exists already", output)
}

// place copies to a temporary name beside the output, then swaps.
func place(ctx context.Context, from *source, parent int, spec Spec, progress func(any)) (*Result, error) {
	temp := dirfd.TempName(".pyro-export")
	totals, err := from.copy(ctx, parent, temp, copytree.Options{
		UID: spec.Owner.UID, GID: spec.Owner.GID, ChangedCode: "export_changed",
		Progress: func(files int64, bytes int64) { progress(map[string]int64{"files": files, "bytes": bytes}) },
	})
	if err == nil && from.kind != "directory" && totals.SkippedCount > 0 {
		err = fault.New("not_exportable", spec.Path, "%s is no file, directory or link", spec.Path)
	}
	if err == nil {
		err = swap(parent, temp, spec)
	}
	if err != nil {
		_ = dirfd.RemoveAt(parent, temp)
		return nil, err
	}
	result := &Result{Kind: from.kind, Files: totals.Files, Bytes: totals.Bytes, SkippedCount: totals.SkippedCount, Skipped: totals.Skipped}
	if result.Skipped == nil {
		result.Skipped = []copytree.Skipped{}
	}
	return result, nil
}

func swap(parent int, temp string, spec Spec) error {
	base := filepath.Base(spec.Output)
	err := unix.Renameat2(parent, temp, parent, base, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL {
		return swapPlainly(parent, temp, spec)
	}
	if err == unix.EEXIST && !spec.Overwrite {
		return exists(spec.Output)
	}
	if err == unix.EEXIST {
		err = unix.Renameat2(parent, temp, parent, base, unix.RENAME_EXCHANGE)
		if err == nil {
			// The old content carries the temporary name now.
			err = dirfd.RemoveAt(parent, temp)
		}
	}
	if err != nil {
		return fault.From(err, "renaming to", spec.Output)
	}
	return nil
}

// swapPlainly is for file systems that know no flags for a rename (NFS, some FUSE).
func swapPlainly(parent int, temp string, spec Spec) error {
	base := filepath.Base(spec.Output)
	if st, err := dirfd.Stat(parent, base); err == nil {
		if !spec.Overwrite {
			return exists(spec.Output)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if err := dirfd.RemoveAt(parent, base); err != nil {
				return fault.From(err, "removing", spec.Output)
			}
		}
	}
	if err := unix.Renameat(parent, temp, parent, base); err != nil {
		return fault.From(err, "renaming to", spec.Output)
	}
	return nil
}
