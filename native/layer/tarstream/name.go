package tarstream

import (
	"strings"

	"pyro/native/layer/fault"
)

const (
	// maxDepth bounds the directories that are open at the same time.
	maxDepth = 1000
	// maxName is what a file system takes of one.
	maxName = 255
	// MaxTarget is the longest text of a symbolic link.
	MaxTarget = 4095
)

// Bad is an error about an entry.
func (r *Reader) Bad(name string, what string) error {
	return fault.New(r.Invalid, Shorten(name), "%.200q %s", name, what)
}

// Split checks a name and returns its parts; none of them for the root.
func (r *Reader) Split(name string) ([]string, error) {
	if strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) {
		return nil, r.Bad(name, "is no path inside a tree")
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
		case part == ".." || len(strings.TrimPrefix(part, r.Mark)) > maxName:
			return nil, r.Bad(name, "is no path inside a tree")
		default:
			parts = append(parts, part)
		}
	}
	if len(parts) > maxDepth {
		return nil, r.Bad(name, "is nested too deep")
	}
	return parts, nil
}

// Shorten keeps what is listed and said bounded, whatever a tar calls its entries.
func Shorten(name string) string {
	if len(name) > 4096 {
		return name[:4096]
	}
	return name
}
