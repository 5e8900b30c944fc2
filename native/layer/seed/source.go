package seed

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/archive"
	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/hostpath"
	"pyro/native/layer/newtree"
)

// LookSpec asks what lies at a path, before anything is made of it.
type LookSpec struct {
	Source string   `json:"source"`
	Apart  []string `json:"apart"`
}

// Seen is a source that can be a seed.
type Seen struct {
	// Kind is "directory" or the archive's format.
	Kind string `json:"kind"`
	// Bytes is the size of an archive's file.
	Bytes int64 `json:"bytes"`
}

// Look refuses what can be no seed whatever is in it. It costs nothing to speak of.
func Look(spec LookSpec) (*Seen, error) {
	place, err := find(spec.Source, spec.Apart)
	if err != nil {
		return nil, err
	}
	defer place.Close()
	if place.Stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		fd, err := openDirectory(place, spec.Source)
		if err != nil {
			return nil, err
		}
		unix.Close(fd)
		return &Seen{Kind: "directory"}, nil
	}
	packed, file, err := openArchive(place, spec.Source)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	defer packed.Close()
	return &Seen{packed.Format, packed.Size}, nil
}

// find resolves the source and refuses what is neither a directory nor a file with content of its own.
func find(source string, apart []string) (*hostpath.Place, error) {
	place, err := hostpath.Find(source)
	if err != nil {
		return nil, notFound(err, source)
	}
	err = suits(place, source, apart)
	if err != nil {
		place.Close()
		return nil, err
	}
	return place, nil
}

func notFound(err error, source string) error {
	switch err {
	case unix.ENOENT, unix.ENAMETOOLONG:
		return fault.New("seed_not_found", source, "%s does not exist", source)
	case unix.ENOTDIR:
		return fault.New("seed_not_found", source, "%s does not exist: something on the way is no directory", source)
	case unix.EACCES, unix.EPERM, unix.ELOOP, hostpath.ErrForeignLink, hostpath.ErrKernelLink:
		return unreadable(err, source)
	case hostpath.ErrNotPlain:
		return fault.New("bad_path", source, "%q is no absolute path", source)
	}
	return fault.From(err, "looking at", source)
}

func unreadable(err error, source string) error {
	return fault.New("seed_unreadable", source, "%s cannot be read: %v", source, err)
}

func suits(place *hostpath.Place, source string, apart []string) error {
	if hostpath.KernelOwn(place.FD) {
		return fault.New("seed_unsupported", source, "%s belongs to the kernel: what lies there is no content", source)
	}
	for _, path := range apart {
		overlaps, err := place.Overlaps(path)
		if err != nil {
			return fault.From(err, "looking at", path)
		}
		if overlaps {
			return fault.New("seed_overlap", source, "%s and %s overlap", source, path)
		}
	}
	switch place.Stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR, unix.S_IFREG:
		return nil
	}
	return fault.New("seed_unsupported", source, "%s is a %s: neither a directory nor an archive", source, kindOf(place.Stat.Mode))
}

func kindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "pipe"
	case unix.S_IFSOCK:
		return "socket"
	}
	return "device"
}

func openDirectory(place *hostpath.Place, source string) (int, error) {
	fd, err := dirfd.Retry(func() (int, error) {
		return unix.Openat(place.FD, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	switch err {
	case nil:
		return fd, nil
	case unix.EACCES, unix.EPERM:
		return -1, unreadable(err, source)
	}
	return -1, fault.From(err, "opening", source)
}

// checkOverlap: a tree that contains its own copy would never end.
func checkOverlap(source *hostpath.Place, spec Spec) error {
	parent, err := hostpath.Find(filepath.Dir(spec.Dest))
	if err != nil {
		return fault.From(err, "opening", filepath.Dir(spec.Dest))
	}
	defer parent.Close()
	inside, err := parent.Within(source)
	if there, missing := hostpath.Find(spec.Dest); err == nil && !inside && missing == nil {
		inside, err = source.Within(there)
		there.Close()
	}
	if err != nil {
		return fault.From(err, "looking at", spec.Source)
	}
	if inside {
		return fault.New("seed_overlap", spec.Source, "%s and %s overlap", spec.Source, spec.Dest)
	}
	return nil
}

// openArchive opens the file that was found, whatever its name leads to by now.
func openArchive(place *hostpath.Place, source string) (*archive.Archive, *os.File, error) {
	fd, err := dirfd.Retry(func() (int, error) {
		return unix.Open(dirfd.ProcPath(place.FD), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	switch err {
	case nil:
	case unix.EACCES, unix.EPERM:
		return nil, nil, unreadable(err, source)
	default:
		return nil, nil, fault.From(err, "opening", source)
	}
	file := os.NewFile(uintptr(fd), source)
	packed, err := archive.Open(file, source)
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return packed, file, nil
}

func seedArchive(ctx context.Context, spec Spec, place *hostpath.Place, progress func(any)) (*Result, error) {
	packed, file, err := openArchive(place, spec.Source)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	defer packed.Close()
	result := &Result{Kind: "archive", Skipped: []copytree.Skipped{}}
	err = newtree.Build(spec.Dest, func(dest int) error {
		totals, err := archive.Unpack(ctx, packed, dest, archive.Options{
			UID: spec.Owner.UID, GID: spec.Owner.GID, MaxEntries: spec.MaxEntries, MaxBytes: spec.MaxBytes, Below: spec.Dest,
			Progress: func(files int64, bytes int64, read int64) {
				progress(Progress{files, bytes, read, packed.Size})
			},
		})
		if err != nil {
			return err
		}
		result.Files, result.Dirs, result.Links, result.Bytes = totals.Files, totals.Dirs, totals.Links, totals.Bytes
		result.SkippedCount, result.Skipped = totals.SkippedCount, append(result.Skipped, totals.Skipped...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}
