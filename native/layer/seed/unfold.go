package seed

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
	"pyro/native/layer/gitdir"
)

// unfold makes the files of a fresh clone. They are dated before the index that will list them, so that git sees from
// their times that they are as it wrote them.
func (s *seeder) unfold(ctx context.Context, t tree, copied *gitdir.Copy) error {
	if s.result.Head == nil {
		return nil
	}
	if err := copied.Checkout(ctx, t.dstPath); err != nil {
		return err
	}
	when := unix.NsecToTimespec(time.Now().Add(-2 * time.Second).UnixNano())
	return filepath.WalkDir(t.dstPath, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return fault.From(err, "reading", path)
		}
		if path == copied.Path() {
			return filepath.SkipDir
		}
		if err := ctx.Err(); err != nil {
			return fault.From(err, "", "")
		}
		return s.settle(path, entry, when)
	})
}

// settle counts an entry, and gives it its owner, the mode that git means, and a time.
func (s *seeder) settle(path string, entry os.DirEntry, when unix.Timespec) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fault.From(err, "looking at", path)
	}
	mode, r := uint32(0o755), s.result
	switch {
	case entry.IsDir():
		r.Dirs++
	case entry.Type().IsRegular():
		r.Files++
		r.Bytes += st.Size
		if st.Mode&0o100 == 0 {
			mode = 0o644
		}
	default:
		r.Links++
		mode = 0
	}
	if most := s.spec.MaxEntries; most > 0 && r.Files+r.Dirs+r.Links > most {
		return fault.New("seed_too_large", path, "there are more than %d entries", most)
	}
	if most := s.spec.MaxBytes; most > 0 && r.Bytes > most {
		return fault.New("seed_too_large", path, "there are more than %d bytes", most)
	}
	err := unix.Lchown(path, int(s.spec.Owner.UID), int(s.spec.Owner.GID))
	if err == nil && mode != 0 {
		err = unix.Chmod(path, mode)
	}
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fault.From(err, "setting the attributes of", path)
	}
	if (r.Files+r.Links)%512 == 0 {
		s.progress(Progress{Files: r.Files, Bytes: r.Bytes})
	}
	return nil
}
