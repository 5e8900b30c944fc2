package archive

import (
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

type answer int

const (
	no answer = iota
	yes
	maybe
)

// workspace is where a seed is mounted, and so where an absolute link may lead.
const workspace = "/workspace"

// maxLate bounds the links that are looked at again in the end.
const maxLate = 100_000

// stays says whether a link in a directory so many levels below the root leads to a place in the tree, by its text.
// Directories are never links, so ".." at its beginning means what it says; behind a name, which may be another link, it
// may mean anything. A link is no danger to this machine, which follows none; it is what takes in whoever unpacks again.
func stays(depth int, target string) answer {
	if below, absolute := strings.CutPrefix(target, workspace); absolute && (below == "" || below[0] == '/') {
		depth, target = 0, below
	} else if strings.HasPrefix(target, "/") {
		return no
	}
	named, sure := 0, true
	for part := range strings.SplitSeq(target, "/") {
		switch {
		case part == "" || part == ".":
		case part != "..":
			named++
		case named > 0:
			named--
			sure = false
		default:
			if depth--; depth < 0 {
				return no
			}
		}
	}
	if sure {
		return yes
	}
	return maybe
}

// stay asks the kernel about the links that had to wait, now that all of them are there.
func (u *unpacker) stay(root int) error {
	const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS
	for at, name := range u.late {
		if at%256 == 0 && u.ctx.Err() != nil {
			return fault.From(u.ctx.Err(), "", "")
		}
		fd, err := dirfd.OpenHow(root, name, unix.O_PATH, beneath)
		if err == nil {
			unix.Close(fd)
		}
		if err == unix.EXDEV {
			return u.leaves(name)
		}
	}
	return nil
}

func (u *unpacker) leaves(name string) error {
	err := fault.New(invalid, name, "%.200q is a link that leaves the tree", name)
	err.Hint = "Unpack the archive yourself and seed the directory: its links are kept as they are."
	return err
}
