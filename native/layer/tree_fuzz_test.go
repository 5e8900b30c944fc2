package layer_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/layer/changes"
	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/disk"
	"pyro/native/layer/export"
	"pyro/native/layer/fault"
	"pyro/native/layer/layertar"
	"pyro/native/layer/stack"
)

const secret = "what only the host knows"

// codes that a tree may lead to, and what else one may that changes while it is read.
var (
	treeCodes = map[string]bool{"too_deep": true, "link_leaves": true, "path_not_found": true, "not_exportable": true,
		"bad_path": true, "seed_too_large": true}
	movedCodes = map[string]bool{"layer_changed": true, "export_changed": true, "seed_changed": true}
)

var exported = []string{".", "a", "b", "a/b", "c", "a/c", "b/a/c", "../canary", "/"}

// FuzzTree: whatever a sandbox left in its writable layer, or does to it meanwhile, the hand reads it without leaving it,
// tells what is there, and can remove it. What it packed is the same layer again.
func FuzzTree(f *testing.F) {
	for i, program := range treePrograms() {
		f.Add(program, byte(i)%32)
		f.Add(program, byte(i)%32|powerless|byte(i)&elsewhere)
		if i%8 == 0 {
			f.Add(program, byte(i/8)%64|moving)
		}
	}
	f.Fuzz(func(t *testing.T, program []byte, how byte) {
		if os.Geteuid() != 0 {
			t.Skip("owners and devices need root")
		}
		h := &hostile{T: t, dir: memory(t), path: pick(exported, how&^(moving|powerless|elsewhere)), moves: how&moving != 0}
		t.Cleanup(func() {
			freeHands()
			_ = dirfd.Remove(h.dir)
		})
		must(t, os.WriteFile(h.at("canary"), []byte(secret), 0o600))
		for _, name := range layerNames {
			must(t, os.Mkdir(h.at(name), 0o755))
		}
		h.out = filepath.Join(h.dir, "out")
		if how&elsewhere != 0 {
			h.out = filepath.Join(t.TempDir(), "out")
		}
		must(t, os.Mkdir(h.out, 0o755))
		all := steps(program)
		for _, one := range all {
			one.take(h.dir, layerNames)
		}
		stop := h.keepChanging(all)
		if how&powerless != 0 {
			h.bound = bindHands()
		}
		h.read()
		stop()
		err := dirfd.Remove(h.at("upper"))
		if h.bound {
			freeHands()
			err = dirfd.Remove(h.at("upper"))
		}
		must(t, err)
		if left, _ := os.ReadFile(h.at("canary")); string(left) != secret {
			t.Fatalf("outside: %q", left)
		}
	})
}

// The second argument of FuzzTree: the tree does not keep still; what reads it has to heed the modes of files, as an
// ordinary user's hand does; what is taken out goes to another file system.
const moving, powerless, elsewhere = 128, 64, 32

type hostile struct {
	*testing.T
	dir, path, out string
	moves, bound   bool
}

func (h *hostile) at(name string) string { return filepath.Join(h.dir, name) }

// known says whether an error is one that a tree may lead to.
func (h *hostile) known(err error) bool {
	if err == nil {
		return false
	}
	var of *fault.Error
	if !errors.As(err, &of) || !treeCodes[of.Code] && !(h.moves && movedCodes[of.Code]) && !(h.bound && of.Code == "io_error") {
		h.Fatalf("an error of another kind: %v", err)
	}
	return true
}

// rounds is how often a tree that moves is read: each time it is another one.
const rounds = 2

func (h *hostile) read() {
	if h.moves {
		for range rounds {
			h.used()
			h.changes("upper")
			h.pack("upper", "tar")
			h.export()
			h.seed()
		}
		return
	}
	h.used()
	h.export()
	h.seed()
	before := h.changes("upper")
	packed := h.pack("upper", "tar")
	if packed == nil {
		return
	}
	if h.bound {
		freeHands()
	}
	_, err := layertar.UnpackFile(context.Background(), layertar.FileSpec{Source: h.at("tar"), Dest: h.at("twin"),
		IDs: &ids, MaxEntries: 1 << 20, MaxBytes: 1 << 30}, func(any) {})
	must(h.T, err)
	again := h.pack("twin", "again")
	if again.SkippedCount == 0 && again.Digest != packed.Digest {
		h.Fatal("the layer that was packed and the one that was unpacked differ")
	}
	if packed.SkippedCount > 0 || before == nil {
		return
	}
	after := h.changes("twin")
	for _, result := range []*changes.Result{before, after} {
		for i := range result.Entries {
			result.Entries[i].ChangedAtMS = 0
		}
	}
	if !reflect.DeepEqual(before, after) {
		h.Fatalf("the twin changes something else:\n%+v\n%+v", before, after)
	}
}

func (h *hostile) used() {
	used, err := disk.Usage(context.Background(), h.at("upper"))
	if !h.known(err) && (used.Entries < 1 || used.Bytes < 0) {
		h.Fatalf("%+v", used)
	}
}

func (h *hostile) changes(upper string) *changes.Result {
	result, err := changes.Scan(context.Background(), changes.Spec{Upper: h.at(upper), Lowers: []string{h.at("low"), h.at("lowest")}, Limit: 50})
	if h.known(err) {
		return nil
	}
	sum := result.Added + result.Modified + result.Deleted
	if int64(len(result.Entries)) > min(sum, 50) || result.Truncated != (sum > int64(len(result.Entries))) {
		h.Fatalf("%d changes, %d listed, truncated: %v", sum, len(result.Entries), result.Truncated)
	}
	last := ""
	for _, entry := range result.Entries {
		if !filepath.IsLocal(entry.Path) || filepath.Clean(entry.Path) != entry.Path || entry.Path <= last || entry.Size < 0 {
			h.Fatalf("%+v after %q", entry, last)
		}
		last = entry.Path
	}
	return result
}

var ids = stack.Idmap{Base: 0, Size: 65_536}

func (h *hostile) pack(layer, to string) *layertar.Counted {
	spec := layertar.FileSpec{Source: h.at(layer), Dest: h.at(to), IDs: &ids}
	if h.moves {
		_ = os.Remove(spec.Dest)
	}
	packed, err := layertar.PackFile(context.Background(), spec, func(any) {})
	if h.known(err) {
		if _, err := os.Lstat(spec.Dest); err == nil {
			h.Fatal("a pack that failed left a file")
		}
		return nil
	}
	data, err := os.ReadFile(spec.Dest)
	must(h.T, err)
	if bytes.Contains(data, []byte(secret)) {
		h.Fatal("the tar holds what is outside")
	}
	return packed
}

func (h *hostile) export() {
	out := filepath.Join(h.out, "tree")
	must(h.T, dirfd.Remove(out))
	result, err := export.Export(context.Background(), export.Spec{Root: h.at("upper"), Path: h.path, Output: out}, func(any) {})
	if h.known(err) {
		if left, _ := os.ReadDir(h.out); len(left) > 0 {
			h.Fatalf("an export that failed left %v", left)
		}
		return
	}
	made, err := os.Lstat(out)
	must(h.T, err)
	if kind := map[fs.FileMode]string{0: "file", fs.ModeDir: "directory", fs.ModeSymlink: "symlink"}[made.Mode().Type()]; kind != result.Kind {
		h.Fatalf("%s is there, and %+v", kind, result)
	}
	h.plain(out)
}

// chosen is what an index of git may name: also files that are folders by now, and what is not there.
var chosen = &copytree.Node{Names: []string{"a", "b", "c", "d", "none"}, Dirs: map[string]*copytree.Node{
	"a": {Names: []string{"a", "b", "c"}, Dirs: map[string]*copytree.Node{"b": {Names: nodes}}}, "d": {Names: nodes}, "none": {},
}}

// seed starts from the tree, as one that was exported can be started from: once from what is chosen of it, and then all.
func (h *hostile) seed() {
	from, err := dirfd.OpenDir(h.at("upper"))
	must(h.T, err)
	defer unix.Close(from)
	seeded := filepath.Join(h.out, "seed")
	must(h.T, os.Mkdir(seeded, 0o755))
	defer dirfd.Remove(seeded)
	to, err := dirfd.OpenDir(seeded)
	must(h.T, err)
	defer unix.Close(to)
	options := copytree.Options{MaxEntries: 64, MaxBytes: 1 << 20, ChangedCode: "seed_changed", LimitCode: "seed_too_large",
		Leave: func(st *unix.Stat_t) string {
			if st.Mode&unix.S_ISVTX != 0 {
				return "sticky"
			}
			return ""
		}}
	totals, err := copytree.Copy(context.Background(), from, to, chosen, options)
	if h.known(err) {
		return
	}
	if totals.Files+totals.Dirs+totals.Links > options.MaxEntries || totals.Bytes > options.MaxBytes {
		h.Fatalf("%+v", totals)
	}
	h.plain(seeded)
}

// plain says that below a path of the host there are files, folders and links, and nothing of what is outside the layer.
func (h *hostile) plain(top string) {
	if h.bound {
		freeHands()
		defer bindHands()
	}
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if strings.Count(path, "/") > 100 {
				return nil // Deeper than a path is long.
			}
			return err
		}
		info, err := entry.Info()
		must(h.T, err)
		if special := info.Mode() & (fs.ModeSetuid | fs.ModeSetgid | fs.ModeDevice | fs.ModeNamedPipe | fs.ModeSocket); special != 0 {
			h.Fatalf("%q has %v", path, special)
		}
		if info.Mode().IsRegular() && info.Size() < 1<<16 {
			if data, _ := os.ReadFile(path); bytes.Contains(data, []byte(secret)) {
				h.Fatalf("%q holds what is outside", path)
			}
		}
		return nil
	})
}

// memory is a folder in memory where there is some: a fuzzer makes thousands of trees.
func memory(t *testing.T) string {
	parent := ""
	var st unix.Statfs_t
	if unix.Statfs("/dev/shm", &st) == nil && st.Bavail*uint64(st.Bsize) > 256<<20 {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "pyro-fuzz-*")
	must(t, err)
	return dir
}
