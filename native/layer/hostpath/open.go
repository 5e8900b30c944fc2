// Package hostpath opens places on this machine that a user named, as the user means them: links on the way are followed,
// but never one that somebody else may have laid out.
package hostpath

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
)

// What a path is refused for, beyond what the kernel says.
var (
	ErrForeignLink = errors.New("a link of another user lies on the way, in a directory that everybody may write to")
	ErrKernelLink  = errors.New("a link of the kernel's own lies on the way")
	ErrNotPlain    = errors.New("it is no absolute path")
)

const (
	maxPath  = 4095
	maxLinks = 40
)

// Place is something that lies on this machine: FD refers to it (O_PATH: nothing was opened, no driver woken), and Dir to the
// directory that holds it, or to itself where it is the root.
type Place struct {
	FD, Dir int
	Stat    unix.Stat_t
}

// Close lets go of it.
func (p *Place) Close() {
	unix.Close(p.FD)
	unix.Close(p.Dir)
}

// Find resolves an absolute path, which need not be clean: step by step, as the kernel does with fs.protected_symlinks
// (Documentation/admin-guide/sysctl/fs.rst), also where that is off. A link in a sticky directory that everybody may write
// to is followed only where it belongs to this user or to the directory's owner. Errors are the kernel's, or one of those
// above.
func Find(name string) (*Place, error) {
	if !path.IsAbs(name) || strings.ContainsRune(name, 0) {
		return nil, ErrNotPlain
	}
	if len(name) > maxPath {
		return nil, unix.ENAMETOOLONG
	}
	w := walk{rest: steps(name)}
	if err := w.restart(); err != nil {
		return nil, err
	}
	for len(w.rest) > 0 {
		next := w.rest[0]
		w.rest = w.rest[1:]
		if err := w.step(next); err != nil {
			w.at.Close()
			return nil, err
		}
	}
	return w.at, nil
}

// walk is how far a resolution has come.
type walk struct {
	at    *Place
	rest  []string
	links int
}

// steps are the names of a path. A slash at the end asks for a directory, as "." does.
func steps(name string) []string {
	var names []string
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." {
			names = append(names, part)
		}
	}
	if strings.HasSuffix(name, "/") || strings.HasSuffix(name, "/.") {
		names = append(names, ".")
	}
	return names
}

func (w *walk) restart() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return w.move(fd, fd)
}

// move takes a descriptor as the place that is reached.
func (w *walk) move(fd int, dir int) error {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil {
		dir, err = unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 3)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	if w.at != nil {
		w.at.Close()
	}
	w.at = &Place{fd, dir, st}
	return nil
}

func (w *walk) step(name string) error {
	if name == "." || name == ".." {
		fd, err := dirfd.Retry(func() (int, error) {
			return unix.Openat(w.at.FD, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			return err
		}
		if name == "." {
			return w.move(fd, w.at.Dir)
		}
		return w.move(fd, fd)
	}
	fd, err := dirfd.Retry(func() (int, error) {
		return unix.Openat(w.at.FD, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return w.move(fd, w.at.FD)
	}
	defer unix.Close(fd)
	return w.follow(fd, &st)
}

func (w *walk) follow(link int, st *unix.Stat_t) error {
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	if KernelOwn(link) {
		return ErrKernelLink
	}
	if foreign(&w.at.Stat, st) {
		return ErrForeignLink
	}
	target, err := dirfd.ReadLink(link, "")
	if err != nil {
		return err
	}
	if target == "" {
		return unix.ENOENT
	}
	w.rest = append(steps(target), w.rest...)
	if path.IsAbs(target) {
		return w.restart()
	}
	return nil
}

const everybodys = unix.S_ISVTX | unix.S_IWOTH

// overflow is how an owner shows that has no id in this user namespace. Two of them need not be the same.
const overflow = 65534

func foreign(dir *unix.Stat_t, link *unix.Stat_t) bool {
	if dir.Mode&everybodys != everybodys || link.Uid == uint32(unix.Geteuid()) {
		return false
	}
	return link.Uid != dir.Uid || link.Uid == overflow
}
