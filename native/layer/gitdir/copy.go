package gitdir

import (
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// What a work tree has of its own, by where it stands in its git directory. Not here: hooks, logs (what was rewritten or
// dropped is known from them; the stash is a log, and is taken by itself), FETCH_HEAD (addresses), locks.
var own = []string{
	"ORIG_HEAD", "MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "MERGE_RR", "MERGE_AUTOSTASH", "AUTO_MERGE", "SQUASH_MSG",
	"CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD", "BISECT_ANCESTORS_OK", "BISECT_EXPECTED_REV", "BISECT_LOG",
	"BISECT_NAMES", "BISECT_START", "BISECT_TERMS", "BISECT_FIRST_PARENT", "BISECT_HEAD",
	"rebase-merge", "rebase-apply", "sequencer", "refs", "info/sparse-checkout",
}

// What the work trees of a repository share.
var shared = []string{"packed-refs", "refs", "reftable", "shallow", "info/exclude", "info/attributes", "info/grafts", "logs/refs/stash"}

const (
	maxFile    = 256 << 20 // packed-refs of a repository with millions of them
	maxDepth   = 32
	maxEntries = 2_000_000
	// An index of ten million files; git's own bound is 4 GiB.
	maxIndex = 2 << 30
)

// copier copies regular files and directories, and nothing else, from one git directory to another.
type copier struct {
	src, dst int
	left     int
	// passed over: what another work tree has of its own.
	foreign map[string]bool
}

// entry copies one name of src, whatever it is; what is not there is no error, and what is there already stays.
func (c *copier) entry(name string) error {
	if cut := strings.LastIndexByte(name, '/'); cut >= 0 {
		if err := mkdirs(c.dst, name[:cut]); err != nil {
			return err
		}
	}
	return c.copy(name, 0)
}

func (c *copier) copy(name string, depth int) error {
	if c.left--; c.left < 0 || depth > maxDepth {
		return fault.New("seed_too_large", name, "a git directory has more than %d entries, or is deeper than %d", maxEntries, maxDepth)
	}
	fd, err := dirfd.OpenAt(c.src, name, unix.O_RDONLY|unix.O_NONBLOCK)
	switch err {
	case nil:
	case unix.ENOENT, unix.ELOOP, unix.ENOTDIR, unix.EXDEV, unix.ENXIO:
		return nil
	default:
		return unusable(name, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return unusable(name, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		data, err := readFile(c.src, name, maxFile)
		if err != nil {
			return unusable(name, err)
		}
		return writeNew(c.dst, name, data)
	case unix.S_IFDIR:
		return c.directory(fd, name, depth)
	}
	return nil
}

func (c *copier) directory(fd int, name string, depth int) error {
	if err := unix.Mkdirat(c.dst, name, 0o755); err != nil && err != unix.EEXIST {
		return fault.From(err, "making", name)
	}
	entries, err := dirfd.List(fd)
	if err != nil {
		return unusable(name, err)
	}
	for _, entry := range entries {
		// A lock is of a git that works there now, or died.
		if strings.HasSuffix(entry.Name, ".lock") || c.foreign[name+"/"+entry.Name] {
			continue
		}
		if err := c.copy(name+"/"+entry.Name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// index copies the list of files with the time of its last change: git compares that with the files' own.
func (c *copier) index(name string) error {
	st, err := dirfd.Stat(c.src, name)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return unusable(name, err)
	}
	data, err := readFile(c.src, name, maxIndex)
	if err != nil {
		return unusable(name, err)
	}
	if err := writeNew(c.dst, name, data); err != nil {
		return err
	}
	if err := dirfd.SetTimes(c.dst, name, &st); err != nil {
		return fault.From(err, "dating", name)
	}
	after, err := dirfd.Stat(c.src, name)
	if err != nil || after.Ino != st.Ino || after.Mtim != st.Mtim || after.Size != st.Size {
		return fault.Retry("seed_changed", name, "git changed %s while it was read", name)
	}
	return nil
}

var (
	symbolic = regexp.MustCompile(`^ref: (refs/[^\x00-\x20\x7f~^:?*\[\\]+)$`)
	direct   = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

// head reads what is checked out: a branch's full name, or a commit. An old git made HEAD a link.
func readHead(root int) (ref string, commit string, err error) {
	text, err := readFile(root, "HEAD", maxPointer)
	if err == unix.ELOOP {
		var target string
		if target, err = dirfd.ReadLink(root, "HEAD"); err == nil {
			text = []byte("ref: " + target)
		}
	}
	if err != nil {
		return "", "", unusable("HEAD", err)
	}
	line := strings.TrimSpace(string(text))
	if match := symbolic.FindStringSubmatch(line); match != nil && !strings.Contains(match[1], "..") {
		return match[1], "", nil
	}
	if direct.MatchString(line) {
		return "", line, nil
	}
	return "", "", fault.New("git_failed", "HEAD", "the git directory's HEAD is neither a branch nor a commit")
}

var switched = regexp.MustCompile(`^[0-9a-f]+( [0-9a-f]+ [^\t\n]*\tcheckout: moving from )[^ ]+( to [^ ]+)$`)

// ownSwitch keeps of the log of what was checked out its newest line, and of that not where it came from: git names a
// HEAD without a branch by it.
func ownSwitch(src int, dst int) error {
	log, err := readFile(src, "logs/HEAD", maxFile)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return unusable("logs/HEAD", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(log), "\n"), "\n")
	for at := len(lines) - 1; at >= 0; at-- {
		if match := switched.FindStringSubmatch(lines[at]); match != nil {
			nothing := strings.Repeat("0", strings.IndexByte(lines[at], ' '))
			if err := mkdirs(dst, "logs"); err != nil {
				return err
			}
			return writeNew(dst, "logs/HEAD", []byte(nothing+match[1]+"HEAD"+match[2]+"\n"))
		}
	}
	return nil
}

func mkdirs(root int, path string) error {
	for at := 0; at <= len(path); at++ {
		if at < len(path) && path[at] != '/' {
			continue
		}
		if err := unix.Mkdirat(root, path[:at], 0o755); err != nil && err != unix.EEXIST {
			return fault.From(err, "making", path)
		}
	}
	return nil
}

// writeNew writes a file that is not there; one that is there stays.
func writeNew(root int, name string, data []byte) error {
	fd, err := dirfd.Retry(func() (int, error) {
		return unix.Openat(root, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	})
	if err == unix.EEXIST {
		return nil
	}
	if err != nil {
		return fault.From(err, "making", name)
	}
	file := os.NewFile(uintptr(fd), name)
	_, err = file.Write(data)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fault.From(err, "writing", name)
	}
	return nil
}
