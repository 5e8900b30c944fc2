// Package gitdir makes a git directory that stands on its own from one of this machine's, and runs git on the copy
// alone. Git acts on what a repository's configuration says, and anybody may have written that: here it only ever reads
// a configuration of which every line was written by this program.
package gitdir

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// Source is a git directory of this machine, with links resolved.
type Source struct {
	// Top is the work tree.
	Top string
	// GitDir holds what is the work tree's own, Common what all work trees of the repository share.
	GitDir, Common string
	// Linked: a file in the work tree leads to the git directory.
	Linked bool
}

const (
	maxPointer = 8 << 10
	maxLinks   = 32
)

// Find looks at the .git of a directory. It is nil where there is none, or none that git would take for one.
func Find(top string) (*Source, error) {
	top, err := filepath.EvalSymlinks(top)
	if err != nil {
		return nil, fault.From(err, "resolving", top)
	}
	at := filepath.Join(top, ".git")
	st, err := os.Stat(at)
	if err != nil {
		return nil, nil
	}
	found := &Source{Top: top, GitDir: at}
	if !st.IsDir() {
		text, err := small(at)
		target, ok := strings.CutPrefix(text, "gitdir: ")
		if err != nil || !ok {
			return nil, nil
		}
		found.GitDir, found.Linked = absolute(top, target), true
	}
	if found.GitDir, err = filepath.EvalSymlinks(found.GitDir); err != nil {
		return nil, nil
	}
	found.Common = found.GitDir
	if text, err := small(filepath.Join(found.GitDir, "commondir")); err == nil {
		if found.Common, err = filepath.EvalSymlinks(absolute(found.GitDir, text)); err != nil {
			return nil, nil
		}
	}
	if !isGitDir(found.GitDir, found.Common) {
		return nil, nil
	}
	return found, found.permitted()
}

// Above finds the repository that a directory lies in, as git does.
func Above(path string) (*Source, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fault.From(err, "resolving", path)
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		if found, err := Find(dir); found != nil || err != nil {
			return found, err
		}
		if dir == "/" {
			return nil, nil
		}
	}
}

// IsBare says whether a directory is itself a git directory.
func IsBare(path string) bool { return isGitDir(path, path) }

func isGitDir(own string, common string) bool {
	for _, dir := range []string{"objects", "refs"} {
		if st, err := os.Stat(filepath.Join(common, dir)); err != nil || !st.IsDir() {
			return false
		}
	}
	head, err := os.Lstat(filepath.Join(own, "HEAD"))
	return err == nil && (head.Mode().IsRegular() || head.Mode()&os.ModeSymlink != 0)
}

// Claims says whether the git directory knows of this work tree, or lies in it: a file that somebody put below the
// seed must not bring another repository of the user's in.
func (s *Source) Claims(within string) bool {
	if !s.Linked || below(s.GitDir, within) {
		return true
	}
	if back, err := small(filepath.Join(s.GitDir, "gitdir")); err == nil {
		real, err := filepath.EvalSymlinks(filepath.Dir(absolute(s.GitDir, back)))
		return err == nil && real == s.Top
	}
	return false
}

// ModuleOf is the name under which a repository keeps this one as a submodule's, or empty.
func (s *Source) ModuleOf(parent *Source) string {
	for _, dir := range []string{parent.GitDir, parent.Common} {
		if name, ok := strings.CutPrefix(s.GitDir, filepath.Join(dir, "modules")+"/"); ok {
			return name
		}
	}
	return ""
}

func below(path string, dir string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// permitted refuses a git directory, or a store of objects that it borrows from, which the owner of the work tree could
// not read: a program of root's that reads what another user's file names must not read more than that user.
func (s *Source) permitted() error {
	var st unix.Stat_t
	if err := unix.Stat(s.Top, &st); err != nil {
		return fault.From(err, "looking at", s.Top)
	}
	// As an ordinary user the kernel sees to it; strangers' ids all look the same there.
	if st.Uid == uint32(unix.Geteuid()) || st.Uid == 65534 {
		return nil
	}
	paths := []string{s.GitDir, s.Common}
	stores := []string{filepath.Join(s.Common, "objects")}
	for i := 0; i < len(stores) && i < maxLinks; i++ {
		text, err := small(filepath.Join(stores[i], "info/alternates"))
		for line := range strings.SplitSeq(text, "\n") {
			if err == nil && line != "" && line[0] != '#' {
				stores = append(stores, absolute(stores[i], line))
			}
		}
	}
	for _, path := range append(paths, stores...) {
		if err := readableBy(st.Uid, st.Gid, path); err != nil && err != unix.ENOENT {
			return fault.New("git_failed", path, "%s belongs to a user who cannot read %s, where its git directory leads", s.Top, path)
		}
	}
	return nil
}

// readableBy opens a directory with another user's rights, which the kernel keeps for each thread.
func readableBy(uid uint32, gid uint32, path string) error {
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, whatever its rights are then.
		runtime.LockOSThread()
		_ = unix.Setfsgid(int(gid))
		_ = unix.Setfsuid(int(uid))
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		done <- err
	}()
	return <-done
}

// small reads a short text file; it never waits for one that is no file.
func small(path string) (string, error) {
	fd, err := dirfd.Retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) })
	if err != nil {
		return "", err
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if st, err := file.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", os.ErrInvalid
	}
	text, err := io.ReadAll(io.LimitReader(file, maxPointer+1))
	if err != nil || len(text) > maxPointer {
		return "", os.ErrInvalid
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

func absolute(from string, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(from, path)
}
