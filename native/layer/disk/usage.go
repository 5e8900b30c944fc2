// Package disk asks a file system: what it can do, and how much a tree takes of it.
package disk

import (
	"context"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// Used is what a tree takes.
type Used struct {
	Bytes   int64 `json:"bytes"`
	Entries int64 `json:"entries"`
}

// maxDepth bounds what is open and what paths are kept at a time; what lies deeper is not counted.
const maxDepth = 1000

type inode struct{ dev, ino uint64 }

// Usage adds up allocated blocks; a file with several names counts once.
func Usage(ctx context.Context, path string) (*Used, error) {
	if err := fault.Clean(path); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err == unix.ENOENT {
		return nil, fault.New("path_not_found", path, "%s does not exist", path)
	} else if err != nil {
		return nil, fault.From(err, "looking at", path)
	}
	used := &Used{Bytes: st.Blocks * 512, Entries: 1}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return used, nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fault.From(err, "opening", path)
	}
	defer unix.Close(fd)
	return used, used.add(ctx, fd, path, map[inode]bool{}, 0)
}

// add goes through one directory. Directories below are opened only after this one is read, one at a time; what
// a running sandbox removes meanwhile is not counted.
func (u *Used) add(ctx context.Context, fd int, path string, seen map[inode]bool, depth int) error {
	if err := ctx.Err(); err != nil {
		return fault.From(err, "", "")
	}
	if depth > maxDepth {
		return nil
	}
	entries, err := dirfd.List(fd)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return fault.From(err, "reading", path)
	}
	for _, entry := range entries {
		st, err := dirfd.Stat(fd, entry.Name)
		if err != nil {
			continue
		}
		u.Entries++
		isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
		if !isDir && st.Nlink > 1 {
			if id := (inode{uint64(st.Dev), st.Ino}); seen[id] {
				continue
			} else {
				seen[id] = true
			}
		}
		u.Bytes += st.Blocks * 512
		if !isDir {
			continue
		}
		child, err := dirfd.ChildDir(fd, entry.Name)
		if err != nil {
			continue
		}
		err = u.add(ctx, child, path+"/"+entry.Name, seen, depth+1)
		unix.Close(child)
		if err != nil {
			return err
		}
	}
	return nil
}
