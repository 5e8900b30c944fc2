package seed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/gitdir"
)

const (
	maxRepos = 10_000
	maxDepth = 32
)

// nested makes the git directories of the repositories that were met in a tree, submodules and others. Where files were
// chosen theirs are still to be copied.
func (s *seeder) nested(ctx context.Context, t tree, found []string, parent *around) error {
	for _, path := range found {
		if err := s.oneNested(ctx, t, path, parent); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) oneNested(ctx context.Context, t tree, path string, parent *around) error {
	below := tree{srcPath: filepath.Join(t.srcPath, path), dstPath: filepath.Join(t.dstPath, path), rel: copytree.Join(t.rel, path)}
	repo, err := gitdir.Find(below.srcPath)
	if err != nil || repo == nil {
		return err
	}
	if !repo.Claims(s.source) && (parent == nil || repo.ModuleOf(parent.repo) == "") {
		s.result.SkippedCount++
		s.skip(copytree.Skipped{Path: copytree.Join(below.rel, ".git"), Reason: "foreign"})
		return nil
	}
	if below.src, err = dirfd.OpenAt(t.src, path, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return fault.From(err, "opening", below.srcPath)
	}
	defer unix.Close(below.src)
	if below.dst, err = dirfd.OpenAt(t.dst, path, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return fault.From(err, "opening the copy of", below.srcPath)
	}
	defer unix.Close(below.dst)
	below.repo, below.parent, below.there = repo, parent, s.spec.All || s.result.Kind == "directory"
	st, err := dirfd.Stat(t.src, path)
	if err == nil {
		err = s.checkout(ctx, below)
	}
	if err == nil {
		err = dirfd.SetTimes(t.dst, path, &st)
	}
	return err
}

// room is where a git directory is to be made, and how one that does not lie in its work tree finds that.
type room struct{ path, workTree string }

// makeRoom keeps a submodule's git directory in its parent's, with a file that leads there, as git does.
func (s *seeder) makeRoom(t tree) (room, error) {
	inside := filepath.Join(t.dstPath, ".git")
	if t.parent == nil || !t.repo.Linked {
		return room{path: inside}, nil
	}
	name := t.repo.ModuleOf(t.parent.repo)
	if name == "" {
		return room{path: inside}, nil
	}
	at := filepath.Join(t.parent.copy.Path(), "modules", name)
	there, err := filepath.Rel(t.dstPath, at)
	if err != nil {
		return room{}, fault.From(err, "resolving", at)
	}
	back, err := filepath.Rel(at, t.dstPath)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(at), 0o755)
	}
	if err == nil {
		err = os.WriteFile(inside, fmt.Appendf(nil, "gitdir: %s\n", there), 0o644)
	}
	if err == nil {
		err = os.Chown(inside, int(s.spec.Owner.UID), int(s.spec.Owner.GID))
	}
	if err != nil {
		return room{}, fault.From(err, "making", inside)
	}
	return room{path: at, workTree: back}, nil
}
