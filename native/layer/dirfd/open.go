// Package dirfd holds the few file operations that never follow a link out of a directory that is held open.
package dirfd

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Beneath is how every path below a held directory is resolved when no link may be followed.
const Beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// OpenDir opens a host directory that the caller named; links in its own path are the caller's choice.
func OpenDir(path string) (int, error) {
	return Retry(func() (int, error) {
		return unix.Open(path, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	})
}

// OpenAt opens rel below dir, refusing every link on the way.
func OpenAt(dir int, rel string, flags int) (int, error) {
	return OpenHow(dir, rel, flags, Beneath)
}

// OpenHow opens rel below dir under the given openat2 rules. EAGAIN means that a rename raced with the
// resolution, and the kernel asks to try again.
func OpenHow(dir int, rel string, flags int, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(dir, rel, &how)
		if err == unix.EINTR || (err == unix.EAGAIN && tries < 100) {
			continue
		}
		return fd, err
	}
}

// ChildDir opens one directory entry as a directory, not following it when it is a link.
func ChildDir(dir int, name string) (int, error) {
	return Retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
}

// Retry repeats a call that a signal interrupted.
func Retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// Stat is fstatat without following a final link.
func Stat(dir int, name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// ReadLink reads a symlink's text.
func ReadLink(dir int, name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// SetTimes gives an entry the mtime of st (and its atime), not following a link.
func SetTimes(dir int, name string, st *unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	return unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW)
}

// ProcPath names an open descriptor as a path, for calls that only take paths.
func ProcPath(fd int) string {
	return "/proc/self/fd/" + strconv.Itoa(fd)
}

// SetOpenTimes sets access and modification time of an open file, which x/sys offers only by path.
func SetOpenTimes(fd int, times *[2]unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times[0])), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
