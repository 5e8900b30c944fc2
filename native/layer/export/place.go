package export

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/hostpath"
)

// target is where an export goes, and what it must be apart from.
type target struct {
	output    string
	overwrite bool
	apart     []string
}

// base is the last name of the output. A slash behind it says nothing: what is made is what is exported.
func (t target) base() string { return filepath.Base(t.output) }

func (t target) openParent() (int, error) {
	base := t.base()
	if !filepath.IsAbs(t.output) || strings.ContainsRune(t.output, 0) || strings.HasSuffix(t.output, "/.") || base == "/" || base == ".." || len(base) > 255 {
		return -1, unsuitable(t.output, "names no new file or directory")
	}
	dir := strings.TrimRight(t.output, "/")
	dir = dir[:len(dir)-len(base)]
	place, err := hostpath.Find(dir)
	switch err {
	case nil:
	case unix.ENOENT, unix.ENOTDIR, unix.ENAMETOOLONG:
		return -1, fault.New("output_parent_missing", t.output, "the directory %s does not exist", filepath.Clean(dir))
	default:
		return -1, unsuitable(t.output, fmt.Sprintf("cannot be reached: %v", err))
	}
	defer place.Close()
	if err := t.suits(place, base); err != nil {
		return -1, err
	}
	if err := unix.Faccessat(place.FD, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return -1, unsuitable(t.output, fmt.Sprintf("lies in a directory that cannot be written to: %v", err))
	}
	parent, err := dirfd.Retry(func() (int, error) {
		return unix.Openat(place.FD, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err == unix.EACCES {
		return -1, unsuitable(t.output, "lies in a directory that cannot be read")
	}
	if err != nil {
		return -1, fault.From(err, "opening", dir)
	}
	return parent, nil
}

// suits refuses what an export must never replace, whoever asks for it.
func (t target) suits(parent *hostpath.Place, base string) error {
	if hostpath.KernelOwn(parent.FD) {
		return unsuitable(t.output, "belongs to the kernel")
	}
	st, err := dirfd.Stat(parent.FD, base)
	there := err == nil
	if there && !t.overwrite {
		return exists(t.output)
	}
	if there {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
		default:
			return unsuitable(t.output, "is a device, a pipe or a socket")
		}
	}
	for _, path := range t.apart {
		inside, err := parent.LiesIn(path)
		if err == nil && !inside && there && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			inside, err = holds(parent, base, path)
		}
		if err != nil {
			return fault.From(err, "looking at", path)
		}
		if inside {
			return unsuitable(t.output, "is, holds, or lies in "+path)
		}
	}
	return nil
}

// holds says whether the path lies in that directory.
func holds(parent *hostpath.Place, base string, path string) (bool, error) {
	there, err := parent.Child(base)
	if err != nil {
		return false, err
	}
	defer there.Close()
	return there.Overlaps(path)
}

func unsuitable(output string, why string) error {
	return fault.New("output_unsuitable", output, "%s %s", output, why)
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
	base := t.base()
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
	base := t.base()
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
