package assemble

import (
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// copy takes a host file or tree, as far as everybody may read it.
func (b *builder) copy(from string, to string) error {
	if err := fault.Clean(from); err != nil {
		return err
	}
	dir, err := dirfd.OpenDir(filepath.Dir(from))
	if err != nil {
		b.skip(from, "missing")
		return nil
	}
	defer unix.Close(dir)
	base := filepath.Base(from)
	st, err := dirfd.Stat(dir, base)
	if err != nil {
		b.skip(from, "missing")
		return nil
	}
	if reason := worldReadable(&st); reason != "" {
		b.skip(from, reason)
		return nil
	}
	parent, name, err := b.parent(to)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	totals, err := copytree.CopyEntry(b.ctx, dir, base, parent, name, copytree.Options{
		UID: b.spec.Owner.UID, GID: b.spec.Owner.GID, ChangedCode: "source_changed", Merge: true, Leave: worldReadable,
	})
	if err != nil {
		return err
	}
	b.result.Files += totals.Files
	b.result.Bytes += totals.Bytes
	for _, one := range totals.Skipped {
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			one.Path = filepath.Join(from, one.Path)
		} else {
			one.Path = from
		}
		b.skip(one.Path, one.Reason)
	}
	return nil
}

func (b *builder) skip(path string, reason string) {
	if len(b.result.Skipped) < copytree.MaxSkipped {
		b.result.Skipped = append(b.result.Skipped, copytree.Skipped{Path: path, Reason: reason})
	}
}

func worldReadable(st *unix.Stat_t) string {
	need := uint32(0o004)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return ""
	case unix.S_IFDIR:
		need = 0o005
	}
	if st.Mode&need != need {
		return "not readable by everybody"
	}
	return ""
}
