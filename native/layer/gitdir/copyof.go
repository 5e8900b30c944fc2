package gitdir

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// Copy is a git directory in the making. Until Finish its configuration holds only what git must know to read it.
type Copy struct {
	src  *Source
	path string
	fd   int
	// final is what its configuration will say.
	final   []setting
	host    *Host
	adopted bool
	// Facts for whoever asks what was seeded.
	Ref, commit      string
	Shallow, Partial bool
}

// Begin makes the directory path, whose parent is there, with everything but the objects.
func Begin(ctx context.Context, src *Source, path string, host *Host) (_ *Copy, err error) {
	ownFd, err := dirfd.OpenDir(src.GitDir)
	if err != nil {
		return nil, unusable(src.GitDir, err)
	}
	defer unix.Close(ownFd)
	commonFd, err := dirfd.OpenDir(src.Common)
	if err != nil {
		return nil, unusable(src.Common, err)
	}
	defer unix.Close(commonFd)
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, fault.From(err, "making", path)
	}
	c := &Copy{src: src, path: path, host: host}
	if c.fd, err = dirfd.OpenDir(path); err != nil {
		return nil, fault.From(err, "opening", path)
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	for _, dir := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags", "info"} {
		if err := mkdirs(c.fd, dir); err != nil {
			return nil, err
		}
	}
	if err := c.configure(ctx, ownFd, commonFd); err != nil {
		return nil, err
	}
	return c, c.state(ownFd, commonFd)
}

// Path is where it is.
func (c *Copy) Path() string { return c.path }

// Close lets go of the directory.
func (c *Copy) Close() { unix.Close(c.fd) }

// configure reads the configuration, and writes what git must know while it works here.
func (c *Copy) configure(ctx context.Context, ownFd int, commonFd int) error {
	all, err := readConfig(ctx, commonFd, "config")
	if err != nil {
		return err
	}
	if truth(all, "extensions", "worktreeconfig") {
		more, err := readConfig(ctx, ownFd, "config.worktree")
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	for _, one := range c.host.content {
		if _, said := value(all, one.section, one.name); !said {
			all = append(all, one)
		}
	}
	c.final = append(sift(all), setting{section: "core", name: "bare", value: "false"},
		// A copy has other inodes, owners and times of change: what is left tells a change as well.
		setting{section: "core", name: "checkstat", value: "minimal"}, setting{section: "core", name: "trustctime", value: "false"})
	var first []setting
	for _, one := range c.final {
		promised := one.section == "remote" && one.name == "promisor" || one.section == "extensions" && one.name == "partialclone"
		c.Partial = c.Partial || promised
		if (one.section == "core" || one.section == "extensions" || one.section == "index") && !promised {
			first = append(first, one)
		}
	}
	if format, ok := value(all, "extensions", "refstorage"); ok && format != "files" && c.src.GitDir != c.src.Common {
		return fault.New("git_failed", c.src.Top, "%s is a linked work tree of a repository with %s, which cannot be seeded", c.src.Top, format)
	}
	return writeNew(c.fd, "config", render(first))
}

func (c *Copy) state(ownFd int, commonFd int) (err error) {
	if c.Ref, c.commit, err = readHead(ownFd); err != nil {
		return err
	}
	text := c.commit
	if c.Ref != "" {
		text = "ref: " + c.Ref
	}
	if err := writeNew(c.fd, "HEAD", []byte(text+"\n")); err != nil {
		return err
	}
	// Its own first: what a work tree has of its own comes before what all share.
	mine, ours := &copier{src: ownFd, dst: c.fd, left: maxEntries}, &copier{src: commonFd, dst: c.fd, left: maxEntries}
	if c.src.GitDir != c.src.Common {
		ours.foreign = map[string]bool{"refs/bisect": true, "refs/worktree": true, "refs/rewritten": true}
	}
	for _, name := range own {
		if err := mine.entry(name); err != nil {
			return err
		}
	}
	for _, name := range shared {
		if err := ours.entry(name); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(c.src.GitDir)
	if err != nil {
		return unusable(c.src.GitDir, err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "sharedindex.") {
			if err := mine.index(entry.Name()); err != nil {
				return err
			}
		}
	}
	if c.Ref == "" {
		if err := ownSwitch(ownFd, c.fd); err != nil {
			return err
		}
	}
	_, err = dirfd.Stat(c.fd, "shallow")
	c.Shallow = err == nil
	return mine.index("index")
}

// Head is the commit that is checked out; null before the first one.
func (c *Copy) Head(ctx context.Context) (*string, error) {
	text, err := c.git(ctx, call{args: []string{"rev-parse", "--verify", "-q", "HEAD"}})
	var known *ended
	if errors.As(err, &known) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	commit := strings.TrimSpace(string(text))
	return &commit, nil
}

// List names the files below dir, a directory of the work tree, that are tracked or neither tracked nor ignored, as
// paths from there: zero-terminated, a repository of somebody else's with a slash at its end.
func (c *Copy) List(ctx context.Context, dir string, take func(io.Reader) error) error {
	_, err := c.git(ctx, call{
		args:     []string{"ls-files", "-z", "--cached", "--others", "--exclude-standard"},
		settings: []string{"core.excludesFile=" + c.host.excludes},
		workTree: c.src.Top, dir: dir, out: take,
	})
	return failed("list the files of", dir, err)
}

// Refresh brings the index up to date with the copied files, so that git need not read them again: it reads those that
// may have changed in the moment in which the index was written, and those that did change since.
func (c *Copy) Refresh(ctx context.Context, workTree string) error {
	if _, err := dirfd.Stat(c.fd, "index"); err == unix.ENOENT {
		return nil
	}
	args := []string{"status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=all", "--no-renames"}
	drop := func(from io.Reader) error {
		_, err := io.Copy(io.Discard, from)
		return err
	}
	_, err := c.git(ctx, call{args: args, workTree: workTree, dir: workTree, out: drop})
	return failed("refresh the index of", c.src.Top, err)
}

// Adopt moves the source's objects in, instead of packing them: for a repository that was made to become this copy.
func (c *Copy) Adopt() error {
	if err := os.RemoveAll(filepath.Join(c.path, "objects")); err != nil {
		return fault.From(err, "removing the objects of", c.path)
	}
	if err := os.Rename(filepath.Join(c.src.Common, "objects"), filepath.Join(c.path, "objects")); err != nil {
		return fault.From(err, "moving the objects of", c.src.Common)
	}
	c.adopted = true
	return nil
}

// Checkout writes the files of HEAD into an empty work tree: those of Git Large File Storage stay pointers, as every
// filter is off.
func (c *Copy) Checkout(ctx context.Context, workTree string) error {
	_, err := c.git(ctx, call{args: []string{"read-tree", "--reset", "-u", "HEAD"}, workTree: workTree, dir: workTree})
	return failed("check out the files of", c.src.Top, err)
}

// git runs in the copy, with the source's objects beside its own.
func (c *Copy) git(ctx context.Context, one call) ([]byte, error) {
	one.gitDir = c.path
	if !c.adopted {
		one.alternate = filepath.Join(c.src.Common, "objects")
	}
	return git(ctx, one)
}

// Finish gives the copy its own configuration, and everything in it modes and an owner. A git directory beside the work
// tree is told where that is.
func (c *Copy) Finish(workTree string, uid uint32, gid uint32) error {
	if workTree != "" {
		c.final = append(c.final, setting{section: "core", name: "worktree", value: workTree})
	}
	for _, name := range []string{"config", "index.lock"} {
		if err := unix.Unlinkat(c.fd, name, 0); err != nil && err != unix.ENOENT {
			return fault.From(err, "removing", name)
		}
	}
	if err := writeNew(c.fd, "config", render(c.final)); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.path)
	if err != nil {
		return fault.From(err, "reading", c.path)
	}
	for _, entry := range entries {
		// The index is one file by now.
		if strings.HasPrefix(entry.Name(), "sharedindex.") {
			_ = unix.Unlinkat(c.fd, entry.Name(), 0)
		}
	}
	ref, commit, err := c.present()
	if err == nil && (ref != c.Ref || commit != c.commit) {
		err = fault.Retry("seed_changed", c.src.Top, "git checked out something else in %s while it was read", c.src.Top)
	}
	if err != nil {
		return err
	}
	return Own(c.path, uid, gid)
}

// present is what is checked out in the source by now.
func (c *Copy) present() (string, string, error) {
	fd, err := dirfd.OpenDir(c.src.GitDir)
	if err != nil {
		return "", "", unusable(c.src.GitDir, err)
	}
	defer unix.Close(fd)
	return readHead(fd)
}

// Own gives a tree that this program made its owner, and modes that everybody inside may read it with.
func Own(path string, uid uint32, gid uint32) error {
	return filepath.WalkDir(path, func(at string, entry os.DirEntry, err error) error {
		if err != nil {
			return fault.From(err, "reading", at)
		}
		mode := uint32(0o755)
		if !entry.IsDir() {
			mode = 0o644
			if strings.Contains(at[len(path):], "/objects/") {
				mode = 0o444
			}
		}
		if err := unix.Lchown(at, int(uid), int(gid)); err != nil {
			return fault.From(err, "giving away", at)
		}
		if err := unix.Chmod(at, mode); err != nil {
			return fault.From(err, "setting the mode of", at)
		}
		return nil
	})
}

// lines is a reader's, each at most the buffer long.
func lines(from io.Reader, each func(line string) error) error {
	scanner := bufio.NewScanner(from)
	scanner.Buffer(make([]byte, 64<<10), 1<<20)
	for scanner.Scan() {
		if err := each(scanner.Text()); err != nil {
			return err
		}
	}
	return scanner.Err()
}
