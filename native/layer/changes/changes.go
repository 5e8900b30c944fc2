// Package changes tells what a writable layer changed against the sealed layers below it. It reads the writable
// layer, and of the others only what it needs to compare with.
package changes

import (
	"context"
	"sort"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/overlay"
)

// Spec is one comparison; Lowers has the topmost first.
type Spec struct {
	Lowers []string `json:"lowers"`
	Upper  string   `json:"upper"`
	Limit  int      `json:"limit"`
}

// Entry is one change.
type Entry struct {
	Path        string `json:"path"`
	Change      string `json:"change"`
	Type        string `json:"type"`
	Size        int64  `json:"size"`
	ChangedAtMS int64  `json:"changed_at_ms"`
}

// Result counts all changes and lists the first ones by path.
type Result struct {
	Added     int64   `json:"added"`
	Modified  int64   `json:"modified"`
	Deleted   int64   `json:"deleted"`
	Entries   []Entry `json:"entries"`
	Truncated bool    `json:"truncated"`
}

const (
	maxLimit = 100_000
	maxDepth = 1000
)

type scan struct {
	ctx    context.Context
	limit  int
	result Result
	left   []byte
	right  []byte
}

// Scan walks the writable layer.
func Scan(ctx context.Context, spec Spec) (*Result, error) {
	if err := fault.Clean(append([]string{spec.Upper}, spec.Lowers...)...); err != nil {
		return nil, err
	}
	if spec.Limit < 0 || spec.Limit > maxLimit {
		return nil, fault.New("bad_args", "", "limit is not within 0 and %d", maxLimit)
	}
	s := &scan{ctx: ctx, limit: spec.Limit, left: make([]byte, 128<<10), right: make([]byte, 128<<10)}
	upper, err := dirfd.OpenDir(spec.Upper)
	if err != nil {
		return nil, fault.From(err, "opening", spec.Upper)
	}
	defer unix.Close(upper)
	var below layers
	defer func() { below.close() }()
	for _, lower := range spec.Lowers {
		fd, err := dirfd.OpenDir(lower)
		if err != nil {
			return nil, fault.From(err, "opening", lower)
		}
		below = append(below, fd)
	}
	if err := s.directory(upper, below, "", 0); err != nil {
		return nil, err
	}
	s.cut(s.limit)
	if s.result.Entries == nil {
		s.result.Entries = []Entry{}
	}
	s.result.Truncated = s.result.Added+s.result.Modified+s.result.Deleted > int64(len(s.result.Entries))
	return &s.result, nil
}

func (s *scan) add(path string, change string, st *unix.Stat_t, at unix.Timespec) {
	switch change {
	case "added":
		s.result.Added++
	case "modified":
		s.result.Modified++
	default:
		s.result.Deleted++
	}
	entry := Entry{Path: path, Change: change, Type: kind(st), ChangedAtMS: at.Sec*1000 + at.Nsec/1e6}
	if entry.Type != "directory" {
		entry.Size = st.Size
	}
	s.result.Entries = append(s.result.Entries, entry)
	if len(s.result.Entries) >= 2*s.limit+1024 {
		s.cut(s.limit)
	}
}

// cut keeps the first entries by path, so that memory is bounded by the limit.
func (s *scan) cut(limit int) {
	entries := s.result.Entries
	sort.Slice(entries, func(i, j int) bool { return entries[i].Path < entries[j].Path })
	s.result.Entries = entries[:min(len(entries), limit)]
}

// directory compares one directory of the writable layer with the same one below (none when below is empty).
func (s *scan) directory(upper int, below layers, path string, depth int) error {
	if err := s.ctx.Err(); err != nil {
		return fault.From(err, "", "")
	}
	if depth > maxDepth {
		return fault.New("too_deep", path, "directories are nested more than %d deep", maxDepth)
	}
	entries, err := dirfd.List(upper)
	if err != nil && err != unix.ENOENT {
		return fault.From(err, "reading", path)
	}
	above := make(map[string]bool, len(entries))
	for _, entry := range entries {
		above[entry.Name] = true
		if err := s.entry(upper, below, entry.Name, copytree.Join(path, entry.Name), depth); err != nil {
			return err
		}
	}
	if len(below) > 0 && overlay.IsOpaque(upper) {
		var st unix.Stat_t
		if err := unix.Fstat(upper, &st); err != nil {
			return fault.From(err, "looking at", path)
		}
		return s.vanished(below, above, path, st.Ctim, depth)
	}
	return nil
}

func (s *scan) entry(upper int, below layers, name string, path string, depth int) error {
	st, err := dirfd.Stat(upper, name)
	if err == unix.ENOENT {
		return nil // A running sandbox removed it since.
	}
	if err != nil {
		return fault.From(err, "looking at", path)
	}
	old, err := below.find(name)
	if err != nil {
		return fault.From(err, "looking below", path)
	}
	if overlay.IsWhiteout(upper, name, &st) {
		if old != nil {
			return s.deleted(below, name, path, old, st.Ctim, depth)
		}
		return nil
	}
	isDir, wasDir := kind(&st) == "directory", old != nil && kind(old) == "directory"
	if wasDir && !isDir {
		if err := s.childrenDeleted(below, name, path, st.Ctim, depth); err != nil {
			return err
		}
	}
	switch {
	case old == nil:
		s.add(path, "added", &st, st.Ctim)
	case isDir && wasDir:
	default:
		same, err := s.same(upper, below, name, &st, old)
		if err != nil {
			return fault.From(err, "comparing", path)
		}
		if !same {
			s.add(path, "modified", &st, st.Ctim)
		}
	}
	if !isDir {
		return nil
	}
	child, err := dirfd.ChildDir(upper, name)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil
	}
	if err != nil {
		return fault.From(err, "opening", path)
	}
	defer unix.Close(child)
	inner, err := below.descend(name)
	if err != nil {
		return fault.From(err, "opening below", path)
	}
	defer inner.close()
	return s.directory(child, inner, path, depth+1)
}
