package hostpath

import (
	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
)

// kernelOwn are file systems whose files are the kernel's answers and no content (linux/magic.h).
var kernelOwn = map[int64]bool{
	unix.PROC_SUPER_MAGIC: true, unix.SYSFS_MAGIC: true, unix.DEBUGFS_MAGIC: true, unix.TRACEFS_MAGIC: true,
	unix.CGROUP_SUPER_MAGIC: true, unix.CGROUP2_SUPER_MAGIC: true, unix.DEVPTS_SUPER_MAGIC: true, unix.SECURITYFS_MAGIC: true,
	unix.BPF_FS_MAGIC: true, unix.EFIVARFS_MAGIC: true, unix.PSTOREFS_MAGIC: true, unix.NSFS_MAGIC: true,
	unix.BINFMTFS_MAGIC: true, unix.SELINUX_MAGIC: true, unix.SMACK_MAGIC: true,
}

// KernelOwn says whether what is open lies on a file system of the kernel's own, as /proc is.
func KernelOwn(fd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) == nil && kernelOwn[int64(st.Type)]
}

// Overlaps says whether the place is, holds, or lies in the directory at path. A path that is not there overlaps nothing.
func (p *Place) Overlaps(path string) (bool, error) {
	other, err := Find(path)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer other.Close()
	inside, err := p.Within(other)
	if inside || err != nil {
		return inside, err
	}
	return other.Within(p)
}

// LiesIn says whether the place is the directory at path or lies in it. Nothing lies in what is not there.
func (p *Place) LiesIn(path string) (bool, error) {
	other, err := Find(path)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer other.Close()
	return p.Within(other)
}

// Child is an entry of the directory, not followed where it is a link.
func (p *Place) Child(name string) (*Place, error) {
	fd, err := dirfd.Retry(func() (int, error) {
		return unix.Openat(p.FD, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	w := walk{}
	if err := w.move(fd, p.FD); err != nil {
		return nil, err
	}
	return w.at, nil
}

// Within says whether the place is the other, a directory, or lies in it.
func (p *Place) Within(other *Place) (bool, error) {
	if same(&p.Stat, &other.Stat) {
		return true, nil
	}
	at, err := unix.FcntlInt(uintptr(p.Dir), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return false, err
	}
	defer func() { unix.Close(at) }()
	var st, last unix.Stat_t
	for {
		if err := unix.Fstat(at, &st); err != nil {
			return false, err
		}
		if same(&st, &other.Stat) {
			return true, nil
		}
		if same(&st, &last) {
			return false, nil
		}
		last = st
		up, err := dirfd.Retry(func() (int, error) {
			return unix.Openat(at, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			return false, err
		}
		unix.Close(at)
		at = up
	}
}

func same(one *unix.Stat_t, other *unix.Stat_t) bool {
	return one.Dev == other.Dev && one.Ino == other.Ino
}
