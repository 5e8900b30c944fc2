package export

import (
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// target is where an export goes.
type target struct {
	output    string
	overwrite bool
}

func (t target) openParent() (int, error) {
	dir, base := filepath.Split(t.output)
	if base == "" {
		return -1, fault.New("bad_path", t.output, "%s cannot be an output", t.output)
	}
	parent, err := dirfd.OpenDir(dir)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return -1, fault.New("output_parent_missing", t.output, "the directory %s does not exist", filepath.Clean(dir))
	}
	if err != nil {
		return -1, fault.From(err, "opening", dir)
	}
	if _, err := dirfd.Stat(parent, base); err == nil && !t.overwrite {
		unix.Close(parent)
		return -1, exists(t.output)
	}
	return parent, nil
}

func exists(output string) error {
	return fault.New("output_exists", output, "%s exists already", output)
}

// place lets what it is given be made under a temporary name beside the output, and then swaps. Where there is an error
// the output is what it was.
func place(to target, make func(parent int, temp string) (string, *copytree.Totals, error)) (*Result, error) {
	parent, err := to.openParent()
	if err != nil {
		return nil, err
	}
	defer unix.Close(parent)
	temp := dirfd.TempName(".pyro-export")
	kind, totals, err := make(parent, temp)
	if err == nil {
		err = to.swap(parent, temp)
	}
	if err != nil {
		_ = dirfd.RemoveAt(parent, temp)
		return nil, err
	}
	result := &Result{Kind: kind, Files: totals.Files, Bytes: totals.Bytes, SkippedCount: totals.SkippedCount, Skipped: totals.Skipped}
	if result.Skipped == nil {
		result.Skipped = []copytree.Skipped{}
	}
	return result, nil
}

func (t target) swap(parent int, temp string) error {
	base := filepath.Base(t.output)
	err := unix.Renameat2(parent, temp, parent, base, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL {
		return t.swapPlainly(parent, temp)
	}
	if err == unix.EEXIST && !t.overwrite {
		return exists(t.output)
	}
	if err == unix.EEXIST {
		err = unix.Renameat2(parent, temp, parent, base, unix.RENAME_EXCHANGE)
		if err == nil {
			// The old content carries the temporary name now.
			err = dirfd.RemoveAt(parent, temp)
		}
	}
	if err != nil {
		return fault.From(err, "renaming to", t.output)
	}
	return nil
}

// swapPlainly is for file systems that know no flags for a rename (NFS, some FUSE).
func (t target) swapPlainly(parent int, temp string) error {
	base := filepath.Base(t.output)
	if st, err := dirfd.Stat(parent, base); err == nil {
		if !t.overwrite {
			return exists(t.output)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if err := dirfd.RemoveAt(parent, base); err != nil {
				return fault.From(err, "removing", t.output)
			}
		}
	}
	if err := unix.Renameat(parent, temp, parent, base); err != nil {
		return fault.From(err, "renaming to", t.output)
	}
	return nil
}
