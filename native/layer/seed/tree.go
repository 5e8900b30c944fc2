package seed

import (
	"context"
	"io"
	"path/filepath"
	"sort"
	"sync"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/gitdir"
)

// seeder is one seed under way, over all the repositories in it.
type seeder struct {
	spec     Spec
	source   string // with links resolved
	progress func(any)
	result   *Result
	repos    int
	host     func() (*gitdir.Host, error)
}

// tree is one directory of the source and its copy, by descriptors and by paths for git.
type tree struct {
	src, dst         int
	srcPath, dstPath string
	// rel is the path below the seed, empty for the seed itself.
	rel string
	// repo is the git directory of this tree, parent that of the tree around it; both may be nil.
	repo   *gitdir.Source
	parent *around
	// there: the files are copied already, and only the git directory is missing.
	there bool
}

type around struct {
	repo  *gitdir.Source
	copy  *gitdir.Copy
	depth int
}

// plain copies a directory of no repository; those that lie in it are made to stand on their own.
func (s *seeder) plain(ctx context.Context, t tree) error {
	found, err := s.copy(ctx, t, nil)
	if err != nil {
		return err
	}
	return s.nested(ctx, t, found, nil)
}

// part copies what git knows of a directory inside a work tree. The repository is not the directory's, and stays.
func (s *seeder) part(ctx context.Context, t tree, above *gitdir.Source) (bool, error) {
	host, err := s.host()
	if err != nil {
		return false, err
	}
	copied, err := gitdir.Begin(ctx, above, filepath.Join(t.dstPath, ".git"), host)
	if err != nil {
		return false, err
	}
	choose, err := s.list(ctx, copied, t.srcPath)
	var head *string
	if err == nil {
		head, err = copied.Head(ctx)
	}
	copied.Close()
	if removed := dirfd.RemoveAt(t.dst, ".git"); err == nil && removed != nil {
		err = fault.From(removed, "removing", ".git")
	}
	if err != nil || len(choose.Names)+len(choose.Dirs) == 0 {
		return false, err
	}
	s.result.Kind, s.result.Head = "git", head
	found, err := s.copy(ctx, t, choose)
	if err != nil {
		return false, err
	}
	return true, s.nested(ctx, t, found, nil)
}

// checkout copies a work tree and makes its git directory, the objects of which are packed meanwhile.
func (s *seeder) checkout(ctx context.Context, t tree) (err error) {
	if s.repos++; s.repos > maxRepos || t.parent != nil && t.parent.depth > maxDepth {
		return fault.New("seed_too_large", t.rel, "there are more than %d repositories in each other or in all", maxRepos)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	host, err := s.host()
	if err != nil {
		return err
	}
	at, err := s.makeRoom(t)
	if err != nil {
		return err
	}
	copied, err := gitdir.Begin(ctx, t.repo, at.path, host)
	if err != nil {
		return err
	}
	defer copied.Close()
	packed := make(chan error, 1)
	go func() {
		head, err := copied.Head(ctx)
		if err == nil {
			s.describe(t, copied, head)
			err = s.objects(ctx, copied)
		}
		packed <- err
	}()
	err = s.files(ctx, t, copied)
	if err != nil {
		cancel()
	}
	if packErr := <-packed; err == nil {
		err = packErr
	}
	if err == nil && s.spec.Take {
		err = s.unfold(ctx, t, copied)
	}
	if err == nil {
		err = copied.Refresh(ctx, t.dstPath)
	}
	if err == nil {
		err = copied.Finish(at.workTree, s.spec.Owner.UID, s.spec.Owner.GID)
	}
	return err
}

func (s *seeder) objects(ctx context.Context, copied *gitdir.Copy) error {
	if s.spec.Take {
		return copied.Adopt()
	}
	return copied.Pack(ctx)
}

// files copies the work tree, and the repositories in it.
func (s *seeder) files(ctx context.Context, t tree, copied *gitdir.Copy) error {
	if s.spec.Take {
		return nil
	}
	var choose *copytree.Node
	var err error
	if !s.spec.All && !t.there {
		if choose, err = s.list(ctx, copied, t.srcPath); err != nil {
			return err
		}
	}
	var found []string
	if !t.there {
		if found, err = s.copy(ctx, t, choose); err != nil {
			return err
		}
	}
	depth := 0
	if t.parent != nil {
		depth = t.parent.depth + 1
	}
	return s.nested(ctx, t, found, &around{t.repo, copied, depth})
}

// describe tells of the seed's own repository what its user sees of it.
func (s *seeder) describe(t tree, copied *gitdir.Copy, head *string) {
	if t.rel != "" {
		return
	}
	s.result.Head, s.result.Shallow, s.result.Partial = head, copied.Shallow, copied.Partial
	if copied.Ref != "" {
		s.result.Ref = &copied.Ref
	}
}

func (s *seeder) list(ctx context.Context, copied *gitdir.Copy, dir string) (choose *copytree.Node, err error) {
	err = copied.List(ctx, dir, func(paths io.Reader) (err error) {
		choose, err = plant(paths, s.spec.MaxEntries)
		return err
	})
	return choose, err
}

// copy copies the files, and tells where in the tree other repositories are.
func (s *seeder) copy(ctx context.Context, t tree, choose *copytree.Node) ([]string, error) {
	var lock sync.Mutex
	var found []string
	left := func(most int64, used int64) int64 {
		if most == 0 {
			return 0
		}
		return max(1, most-used)
	}
	r := s.result
	totals, err := copytree.Copy(ctx, t.src, t.dst, choose, copytree.Options{
		UID: s.spec.Owner.UID, GID: s.spec.Owner.GID,
		MaxEntries: left(s.spec.MaxEntries, r.Files+r.Dirs+r.Links), MaxBytes: left(s.spec.MaxBytes, r.Bytes),
		ChangedCode: "seed_changed", LimitCode: "seed_too_large",
		Repository: func(path string) bool {
			if path == "" {
				return t.repo != nil
			}
			if repo, err := gitdir.Find(filepath.Join(t.srcPath, path)); repo == nil && err == nil {
				return false
			}
			lock.Lock()
			defer lock.Unlock()
			found = append(found, path)
			return true
		},
		Progress: func(files int64, bytes int64) { s.progress(Progress{Files: r.Files + files, Bytes: r.Bytes + bytes}) },
	})
	if err != nil {
		return nil, err
	}
	r.Files, r.Dirs, r.Links = r.Files+totals.Files, r.Dirs+totals.Dirs, r.Links+totals.Links
	r.Bytes, r.SkippedCount = r.Bytes+totals.Bytes, r.SkippedCount+totals.SkippedCount
	for _, one := range totals.Skipped {
		s.skip(copytree.Skipped{Path: copytree.Join(t.rel, one.Path), Reason: one.Reason})
	}
	sort.Strings(found)
	return found, nil
}

func (s *seeder) skip(one copytree.Skipped) {
	if len(s.result.Skipped) < copytree.MaxSkipped {
		s.result.Skipped = append(s.result.Skipped, one)
	}
}
