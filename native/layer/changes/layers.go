package changes

import (
	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/overlay"
)

// layers are the open directories of one path in the sealed layers, topmost first; only those that are visible.
type layers []int

func (l layers) close() {
	for _, fd := range l {
		unix.Close(fd)
	}
}

// find returns what a name is in the merged view of the layers, nil when it is not there.
func (l layers) find(name string) (*unix.Stat_t, error) {
	for _, fd := range l {
		st, err := dirfd.Stat(fd, name)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return nil, err
		}
		if overlay.IsWhiteout(fd, name, &st) {
			return nil, nil
		}
		return &st, nil
	}
	return nil, nil
}

// holder is the layer that a name is read from; find has said that there is one.
func (l layers) holder(name string) int {
	for _, fd := range l {
		if _, err := dirfd.Stat(fd, name); err == nil {
			return fd
		}
	}
	return -1
}

// descend opens the directory name in each layer, down to the one that hides the rest.
func (l layers) descend(name string) (layers, error) {
	var inner layers
	for _, fd := range l {
		child, err := dirfd.ChildDir(fd, name)
		if err == unix.ENOENT {
			continue
		}
		if err == unix.ENOTDIR || err == unix.ELOOP {
			break // A file or a whiteout hides what is below.
		}
		if err != nil {
			inner.close()
			return nil, err
		}
		inner = append(inner, child)
		if overlay.IsOpaque(child) {
			break
		}
	}
	return inner, nil
}

// names lists the merged view of the layers.
func (l layers) names() ([]string, error) {
	seen := map[string]bool{}
	var names []string
	for _, fd := range l {
		if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
			return nil, err
		}
		entries, err := dirfd.List(fd)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if !seen[entry.Name] {
				seen[entry.Name] = true
				names = append(names, entry.Name)
			}
		}
	}
	return names, nil
}

func kind(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symlink"
	}
	return "other"
}
