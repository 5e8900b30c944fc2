// Package seed makes a new tree of a project: of what git knows of it, of everything in a directory, or of an archive.
package seed

import (
	"context"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/gitdir"
	"pyro/native/layer/newtree"
	"pyro/native/layer/stack"
)

// Spec is one copy to make.
type Spec struct {
	Source string      `json:"source"`
	Dest   string      `json:"dest"`
	Owner  stack.Owner `json:"owner"`
	// All takes ignored files too.
	All bool `json:"all"`
	// Take: the source is a clone without files that was made for this. Its objects are moved out of it.
	Take       bool  `json:"take"`
	MaxEntries int64 `json:"max_entries"`
	MaxBytes   int64 `json:"max_bytes"`
	// Apart are directories that the source may neither hold nor lie in.
	Apart []string `json:"apart"`
}

// Result tells what is in the new tree. Files and bytes are those of the work tree.
type Result struct {
	Kind         string             `json:"kind"`
	Files        int64              `json:"files"`
	Dirs         int64              `json:"dirs"`
	Links        int64              `json:"links"`
	Bytes        int64              `json:"bytes"`
	SkippedCount int64              `json:"skipped_count"`
	Skipped      []copytree.Skipped `json:"skipped"`
	// Head is the commit, Ref the branch in full, of the seed's repository; Shallow and Partial: it lacks history, objects.
	Head    *string `json:"head"`
	Ref     *string `json:"ref"`
	Shallow bool    `json:"shallow"`
	Partial bool    `json:"partial"`
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
	real, err := os.Readlink(dirfd.ProcPath(source))
	if err != nil {
		return nil, fault.From(err, "resolving", spec.Source)
	}
	s := &seeder{spec: spec, source: real, progress: progress, result: &Result{Kind: "directory", Skipped: []copytree.Skipped{}}}
	s.host = sync.OnceValues(func() (*gitdir.Host, error) { return gitdir.AskHost(ctx) })
	err = newtree.Build(spec.Dest, func(dest int) error {
		path, err := os.Readlink(dirfd.ProcPath(dest))
		if err != nil {
			return fault.From(err, "resolving", spec.Dest)
		}
		return s.seed(ctx, tree{src: source, srcPath: real, dst: dest, dstPath: path})
	})
	if err != nil {
		return nil, err
	}
	return s.result, nil
}

// seed tells the kinds of sources apart.
func (s *seeder) seed(ctx context.Context, t tree) (err error) {
	if t.repo, err = gitdir.Find(t.srcPath); err != nil {
		return err
	}
	if t.repo != nil {
		s.result.Kind = "git"
		return s.checkout(ctx, t)
	}
	if s.spec.All || s.spec.Take {
		return s.plain(ctx, t)
	}
	if gitdir.IsBare(t.srcPath) {
		return fault.New("seed_bare", s.spec.Source, "%s is a bare git repository: it has no files to take", s.spec.Source)
	}
	// A directory inside of somebody else's repository of which git knows nothing (an ignored one) counts as a plain one.
	above, err := gitdir.Above(t.srcPath)
	if err != nil {
		return err
	}
	if above != nil {
		if known, err := s.part(ctx, t, above); known || err != nil {
			return err
		}
	}
	return s.plain(ctx, t)
}
