package stack

import (
	"bufio"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
)

// Unmount detaches everything mounted at or below path, deepest first; nothing mounted there is no error.
func Unmount(path string) error {
	if err := fault.Clean(path); err != nil {
		return err
	}
	if path == "/" {
		return fault.New("bad_path", path, "everything is mounted below /")
	}
	for tries := 0; tries < 10; tries++ {
		points, err := mountsBelow(path)
		if err != nil {
			return fault.From(err, "reading the mount table for", path)
		}
		if len(points) == 0 {
			return nil
		}
		for i := len(points) - 1; i >= 0; i-- {
			err := unix.Unmount(points[i], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
			if err != nil && err != unix.EINVAL && err != unix.ENOENT {
				return fault.From(err, "unmounting", points[i])
			}
		}
	}
	return fault.New("io_error", path, "something is still mounted below %s", path)
}

// mountsBelow lists mount points in the order the kernel does: a mount comes after the one it lies on.
func mountsBelow(path string) ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var points []string
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		point := unescape(fields[4])
		if point == path || strings.HasPrefix(point, strings.TrimSuffix(path, "/")+"/") {
			points = append(points, point)
		}
	}
	return points, lines.Err()
}

// unescape undoes the \040 of mountinfo.
func unescape(field string) string {
	if !strings.Contains(field, `\`) {
		return field
	}
	out := make([]byte, 0, len(field))
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			out = append(out, (field[i+1]-'0')<<6|(field[i+2]-'0')<<3|(field[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, field[i])
	}
	return string(out)
}
