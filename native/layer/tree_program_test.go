package layer_test

import (
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
)

// What a program makes trees of. It is groups of five bytes: what is made and in which layer, the folder, the name, what
// it holds or leads to, and its attributes.
var (
	layerNames = []string{"upper", "low", "lowest"}
	folders    = []string{".", "a", "b", "a/b", "b/a", "a/a"}
	nodes      = []string{"a", "b", "c", "d", ".wh.a", ".wh..wh..opq", ".wh..opq", "-rf", "\xff\n\x1b[2J", strings.Repeat("n", 255)}
	links      = []string{"a", "../canary", "/", "..", ".", "b/a", "a/../../canary", strings.Repeat("l", 4000)}
	contents   = []string{"", "x", "y", strings.Repeat("x", 100_000), strings.Repeat("x", 99_999) + "y", strings.Repeat("z", 300_000)}
	attributes = []attribute{
		{}, {name: "user.overlay.opaque", value: "y"}, {name: "user.overlay.opaque", value: "x"}, {name: "user.overlay.opaque", value: strings.Repeat("y", 20)},
		{name: "user.overlay.whiteout"}, {name: "user.overlay.whiteout", value: "y"}, {name: "user.note", value: "v\x00\n="}, {name: "user.a=b", value: "v"},
		{name: "security.capability", value: string(capability(0))}, {name: "security.capability", value: string(capability(100_000))},
		{name: "system.posix_acl_default", value: string(accessList(5))}, {name: "user.empty"}, {name: "user.long", value: strings.Repeat("v", 60_000)},
		{mode: 0o7777}, {mode: 0o001}, {mode: 0o444}, {seconds: -1}, {seconds: 1 << 33}, {owner: 70_000}, {owner: 1<<32 - 2},
	}
)

type attribute struct {
	name, value string
	mode, owner uint32
	seconds     int64
}

const (
	makeFile = iota
	makeDir
	makeLink
	makeName
	makeFifo
	makeWhiteout
	makeDevice
	makeSocket
	makeSparse
	makeMany
	makeDeep
	remove
	rename
	makings
)

// step is one group of a program.
type step struct{ what, layer, folder, node, more, attribute byte }

func steps(program []byte) []step {
	var all []step
	for ; len(program) >= 5 && len(all) < 100; program = program[5:] {
		all = append(all, step{program[0] % makings, program[0] / makings, program[1], program[2], program[3], program[4]})
	}
	return all
}

func pick[T any](from []T, at byte) T { return from[int(at)%len(from)] }

// take makes what the step says below root, as a guest can: without leaving the layer, and not always with success.
func (s step) take(root string, layers []string) {
	layer, err := dirfd.OpenDir(filepath.Join(root, pick(layers, s.layer)))
	if err != nil {
		return
	}
	defer unix.Close(layer)
	dir, err := dirfd.OpenAt(layer, pick(folders, s.folder), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	name := pick(nodes, s.node)
	switch s.what {
	case makeFile:
		fill(dir, name, pick(contents, s.more), 0)
	case makeDir:
		_ = unix.Mkdirat(dir, name, 0o755)
	case makeLink:
		_ = unix.Symlinkat(pick(links, s.more), dir, name)
	case makeName:
		_ = unix.Linkat(dir, pick(nodes, s.more), dir, name, 0)
	case makeFifo:
		_ = unix.Mknodat(dir, name, unix.S_IFIFO|0o640, 0)
	case makeWhiteout:
		_ = unix.Mknodat(dir, name, unix.S_IFCHR, 0)
	case makeDevice:
		_ = unix.Mknodat(dir, name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3+2*uint32(s.more&1))))
	case makeSocket:
		_ = unix.Mknodat(dir, name, unix.S_IFSOCK|0o600, 0)
	case makeSparse:
		fill(dir, name, pick(contents, s.more), 1<<20)
	case makeMany:
		for i := range 300 {
			fill(dir, name[:1]+strconv.Itoa(i), "x", 0)
		}
	case makeDeep:
		deepen(dir, pick([]int{3, 210, 1005}, s.more))
	case remove:
		_ = dirfd.RemoveAt(dir, name)
	case rename:
		_ = unix.Renameat(dir, name, dir, pick(nodes, s.more))
	}
	pick(attributes, s.attribute).give(dir, name)
}

func fill(dir int, name string, content string, at int64) {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.Ftruncate(fd, at)
	_, _ = unix.Pwrite(fd, []byte(content), at)
}

// deepen makes folders in each other, deeper than a path is long.
func deepen(dir int, depth int) {
	at, _ := unix.Dup(dir)
	for range depth {
		_ = unix.Mkdirat(at, "d", 0o755)
		next, err := dirfd.ChildDir(at, "d")
		unix.Close(at)
		if err != nil {
			return
		}
		at = next
	}
	unix.Close(at)
}

func (a attribute) give(dir int, name string) {
	path := dirfd.ProcPath(dir) + "/" + name
	if a.name != "" {
		_ = unix.Lsetxattr(path, a.name, []byte(a.value), 0)
	}
	if a.owner != 0 {
		_ = unix.Fchownat(dir, name, int(a.owner), int(a.owner), unix.AT_SYMLINK_NOFOLLOW)
	}
	if a.mode != 0 {
		// A link keeps its mode, and what it leads to is not below this layer.
		if fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
			_ = unix.Fchmod(fd, a.mode)
			unix.Close(fd)
		}
	}
	if a.seconds != 0 {
		at := unix.Timespec{Sec: a.seconds}
		_ = unix.UtimesNanoAt(dir, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	}
}

// treePrograms say one thing about a name in the layer above and another below.
func treePrograms() [][]byte {
	const low, lowest = makings, 2 * makings
	programs := [][]byte{{}}
	folder := []byte{makeDir, 0, 0, 0, 0, makeDir + low, 0, 0, 0, 0}
	add := func(program ...byte) { programs = append(programs, append(append([]byte{}, folder...), program...)) }
	for above := range byte(makings) {
		for below := range byte(makings) {
			add(below+low, 0, 1, 1, 0, above, 0, 1, 1, 0, below+lowest, 1, 2, 1, 0, above, 1, 2, 2, 0)
		}
	}
	for _, above := range []byte{makeFile, makeDir, makeLink, makeWhiteout} {
		for node := range byte(len(nodes)) {
			add(above, 0, node, 1, 0, above, 1, node, 2, 0, makeFile+low, 1, node, 1, 0)
		}
		for more := range byte(len(attributes)) {
			add(makeDir+low, 0, 1, 0, more, makeFile+lowest, 2, 0, 1, 0, makeFile+low, 2, 2, 1, 0, above, 0, 1, 0, more)
		}
	}
	for more := range byte(len(attributes)) {
		add(makeDir, 0, 1, 0, 0, makeFile, 2, 0, 1, more, makeDir, 2, 1, 0, 0, makeDir, 0, 1, 0, more)
	}
	for content := range byte(len(contents)) {
		add(makeFile, 0, 1, content, 0, makeName, 0, 2, 1, 0, makeName, 0, 3, 1, 0, makeFile+low, 0, 1, content, 0, makeSparse, 1, 1, content, 0)
		add(makeFile, 0, 1, 3, 0, makeFile+low, 0, 1, content, 0, makeFile, 0, 2, 1, 0, makeFile+low, 0, 2, content, 14)
	}
	for link := range byte(len(links)) {
		add(makeLink, 0, 1, link, 0, makeLink+low, 0, 1, 0, 0, makeLink, 1, 1, link, 0, makeName, 1, 2, 1, 0)
	}
	for depth := range byte(3) {
		add(makeDeep, 1, 0, depth, 0, makeDeep+low, 1, 0, depth, 0)
		add(makeDeep+low, 1, 0, depth, 0, makeWhiteout, 1, 3, 0, 0, makeDeep+low, 0, 1, depth, 0, makeDir, 0, 1, 0, 1)
	}
	return programs
}
