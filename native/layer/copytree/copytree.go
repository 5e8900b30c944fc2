// Package copytree copies a tree of files with a few workers, below two directories that are held open, and
// never follows a link. It is what seeding, building layers, and exporting are made of.
package copytree

import (
	"context"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// MaxSkipped bounds the list of skipped entries; their number is always right.
const MaxSkipped = 200

// Skipped is an entry that was left out, and why.
type Skipped struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Totals is what was copied.
type Totals struct {
	Files, Dirs, Links, Bytes int64
	SkippedCount              int64
	Skipped                   []Skipped
}

// Node chooses entries of one directory; a nil *Node means all of them.
type Node struct {
	Names []string
	Dirs  map[string]*Node
}

// Options of one copy.
type Options struct {
	UID, GID    uint32
	MaxEntries  int64
	MaxBytes    int64
	ChangedCode string // the error code for an entry that changes while it is read
	LimitCode   string
	// Merge copies over what is in dst already: directories join, other entries are replaced.
	Merge bool
	// Leave decides by its attributes that an entry is left out, with a reason; may be nil.
	Leave func(st *unix.Stat_t) string
	// Repository is told of each directory that holds a .git, and where entries are chosen of each directory in a file's
	// place. With true the .git is left to the caller. May be nil; called by several workers at once.
	Repository func(path string) bool
	Progress   func(files int64, bytes int64)
}

type copier struct {
	Options
	ctx      context.Context
	src, dst int
	dstID    inode
	chosen   bool // a Node was given: what it names but is not there is left out

	files, dirs, links, bytes, entries, skips atomic.Int64
	noClone, noRange                          atomic.Bool

	lock    sync.Mutex
	skipped []Skipped
	linked  map[inode]string
	failure error

	queue queue
}

type inode struct{ dev, ino uint64 }

// Copy fills the empty directory dst with what is in src. The caller removes dst when there is an error.
func Copy(ctx context.Context, src int, dst int, choose *Node, options Options) (*Totals, error) {
	c := &copier{Options: options, ctx: ctx, src: src, dst: dst, chosen: choose != nil, linked: map[inode]string{}}
	var st unix.Stat_t
	if err := unix.Fstat(dst, &st); err != nil {
		return nil, fault.From(err, "looking at", "")
	}
	c.dstID = inode{uint64(st.Dev), st.Ino}
	return c.run(task{node: choose})
}

// CopyEntry copies one name of the directory src, of any kind, into the directory dst under another name.
func CopyEntry(ctx context.Context, src int, from string, dst int, to string, options Options) (*Totals, error) {
	st, err := dirfd.Stat(src, from)
	if err == unix.ENOENT {
		return nil, options.changed(from)
	}
	if err != nil {
		return nil, fault.From(err, "looking at", from)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return copyDirectory(ctx, src, from, dst, to, options)
	}
	c := &copier{Options: options, ctx: ctx, src: src, dst: dst, linked: map[inode]string{}}
	c.queue.init()
	d := &directory{src: src, dst: dst}
	kind := uint8(st.Mode & unix.S_IFMT >> 12)
	if err := c.entry(d, name{from, kind, to}, make([]byte, 128<<10)); err != nil {
		return nil, err
	}
	return c.totals(), nil
}

func copyDirectory(ctx context.Context, src int, from string, dst int, to string, options Options) (*Totals, error) {
	below, err := dirfd.ChildDir(src, from)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		return nil, options.changed(from)
	}
	if err != nil {
		return nil, fault.From(err, "opening", from)
	}
	defer unix.Close(below)
	err = unix.Mkdirat(dst, to, 0o700)
	if err != nil && (err != unix.EEXIST || !options.Merge) {
		return nil, fault.From(err, "making", to)
	}
	copied, err := dirfd.ChildDir(dst, to)
	if err != nil {
		return nil, fault.From(err, "opening the copy of", from)
	}
	defer unix.Close(copied)
	return Copy(ctx, below, copied, nil, options)
}

func (c *copier) run(first task) (*Totals, error) {
	c.queue.init()
	c.queue.push(first)
	var workers sync.WaitGroup
	for range max(2, min(8, runtime.GOMAXPROCS(0))) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			c.work()
		}()
	}
	workers.Wait()
	if c.failure != nil {
		return nil, c.failure
	}
	if err := c.ctx.Err(); err != nil {
		return nil, fault.From(err, "", "")
	}
	return c.totals(), nil
}

func (c *copier) totals() *Totals {
	sort.Slice(c.skipped, func(i, j int) bool { return c.skipped[i].Path < c.skipped[j].Path })
	return &Totals{c.files.Load(), c.dirs.Load(), c.links.Load(), c.bytes.Load(), c.skips.Load(), c.skipped}
}

func (c *copier) work() {
	buffer := make([]byte, 128<<10)
	for {
		next, ok := c.queue.pop()
		if !ok {
			return
		}
		err := c.ctx.Err()
		if err == nil && !c.queue.closed() {
			err = c.do(next, buffer)
		} else if next.dir != nil {
			err = c.leave(next.dir, err)
		}
		if err != nil {
			c.fail(fault.From(err, "", ""))
		}
		c.queue.done()
	}
}

func (c *copier) fail(err error) {
	c.lock.Lock()
	if c.failure == nil {
		c.failure = err
	}
	c.lock.Unlock()
	c.queue.close()
}

func (c *copier) skip(path string, reason string) {
	c.skips.Add(1)
	c.lock.Lock()
	defer c.lock.Unlock()
	if len(c.skipped) < MaxSkipped {
		c.skipped = append(c.skipped, Skipped{path, reason})
	}
}

func (o *Options) changed(path string) error {
	return fault.Retry(o.ChangedCode, path, "%s changed while it was read", path)
}

// count keeps the limits.
func (c *copier) count(path string) error {
	entries := c.entries.Add(1)
	if c.MaxEntries > 0 && entries > c.MaxEntries {
		return fault.New(c.LimitCode, path, "there are more than %d entries", c.MaxEntries)
	}
	if entries%512 == 0 && c.Progress != nil {
		c.Progress(c.files.Load(), c.bytes.Load())
	}
	return nil
}

func (c *copier) addBytes(path string, n int64) error {
	if total := c.bytes.Add(n); c.MaxBytes > 0 && total > c.MaxBytes {
		return fault.New(c.LimitCode, path, "there are more than %d bytes", c.MaxBytes)
	}
	return nil
}

// Join is a relative path of a name in a relative directory.
func Join(dir string, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
