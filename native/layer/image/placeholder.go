package image

import (
	"os"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
	"pyro/native/layer/newfile"
	"pyro/native/layer/stack"
)

// PlaceholderSpec is a disk whose content arrives later: as long as the longest could be, and all hole.
type PlaceholderSpec struct {
	Output string      `json:"output"`
	Size   int64       `json:"size"`
	Owner  stack.Owner `json:"owner"`
}

// Placeholder makes it.
func Placeholder(spec PlaceholderSpec) error {
	if err := fault.Clean(spec.Output); err != nil {
		return err
	}
	if spec.Size <= 0 || spec.Size%4096 != 0 {
		return fault.New("bad_args", "", "size is no positive multiple of 4096")
	}
	return newfile.Build(spec.Output, func(file *os.File) error {
		if err := file.Truncate(spec.Size); err != nil {
			return err
		}
		return file.Chown(int(spec.Owner.UID), int(spec.Owner.GID))
	})
}

// Used is what an image takes of the disk, and how long it is.
type Used struct {
	Allocated int64 `json:"allocated"`
	Length    int64 `json:"length"`
}

// Usage looks at one image.
func Usage(path string) (*Used, error) {
	if err := fault.Clean(path); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err == unix.ENOENT {
		return nil, fault.New("path_not_found", path, "%s does not exist", path)
	} else if err != nil {
		return nil, fault.From(err, "looking at", path)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fault.New("bad_path", path, "%s is no image", path)
	}
	return &Used{Allocated: st.Blocks * 512, Length: st.Size}, nil
}
