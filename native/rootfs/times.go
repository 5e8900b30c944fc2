package rootfs

import (
	"context"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// walk goes through a tree without following links, each directory after what is in it.
func walk(ctx context.Context, dir int, path string, visit func(parent int, name string, st *unix.Stat_t) error) error {
	if err := ctx.Err(); err != nil {
		return fault.From(err, "", "")
	}
	entries, err := dirfd.List(dir)
	if err != nil {
		return fault.From(err, "reading", path)
	}
	for _, entry := range entries {
		at := path + "/" + entry.Name
		st, err := dirfd.Stat(dir, entry.Name)
		if err != nil {
			return fault.From(err, "looking at", at)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			child, err := dirfd.ChildDir(dir, entry.Name)
			if err != nil {
				return fault.From(err, "opening", at)
			}
			err = walk(ctx, child, at, visit)
			unix.Close(child)
			if err != nil {
				return err
			}
		}
		if err := visit(dir, entry.Name, &st); err != nil {
			return fault.From(err, "visiting", at)
		}
	}
	return nil
}

// newestTime is the latest modification in the tree, in whole seconds rounded up.
func newestTime(ctx context.Context, root string) (int64, error) {
	fd, err := dirfd.OpenDir(root)
	if err != nil {
		return 0, fault.From(err, "opening", root)
	}
	defer unix.Close(fd)
	var top unix.Stat_t
	if err := unix.Fstat(fd, &top); err != nil {
		return 0, fault.From(err, "looking at", root)
	}
	newest := top.Mtim.Sec + 1
	err = walk(ctx, fd, root, func(_ int, _ string, st *unix.Stat_t) error {
		newest = max(newest, st.Mtim.Sec+1)
		return nil
	})
	return newest, err
}

// stampTimes gives everything that changed since a moment the time epoch: what a build wrote by itself has then the
// same time in every build, and what came with a package keeps its own. Both in seconds since 1970.
func stampTimes(ctx context.Context, root int, path string, since int64, epoch int64) error {
	times := []unix.Timespec{{Sec: epoch}, {Sec: epoch}}
	stamp := func(parent int, name string, st *unix.Stat_t) error {
		if st.Mtim.Sec < since {
			return nil
		}
		return unix.UtimesNanoAt(parent, name, times, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err := walk(ctx, root, path, stamp); err != nil {
		return err
	}
	if err := unix.UtimesNanoAt(root, ".", times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fault.From(err, "setting the time of", path)
	}
	return nil
}
