package rootfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// builder makes a build of one file; its name is the beginning of the tree's digest, as that of a Debian is.
func builder(t *testing.T, content string, at int64) func(temp string) (string, error) {
	return func(temp string) (string, error) {
		root := filepath.Join(temp, rootName)
		must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
		must(t, os.WriteFile(filepath.Join(root, "etc/file"), []byte(content), 0o644))
		for _, path := range []string{"etc/file", "etc", "."} {
			must(t, os.Chtimes(filepath.Join(root, path), time.Unix(1, 0), time.Unix(1, 0)))
		}
		tree, err := sum(context.Background(), root, nil)
		must(t, err)
		must(t, writeManifest(filepath.Join(temp, manifestName), &Manifest{MadeAt: at, Tree: *tree}))
		return tree.DiffID[len(digestPrefix):][:idDigits], nil
	}
}

func newBuild(t *testing.T, folder string, replace string, content string, at int64) string {
	t.Helper()
	meant := replaced{id: replace}
	if manifest, err := readManifest(filepath.Join(folder, replace, manifestName)); err == nil {
		meant.madeAt = manifest.MadeAt
	}
	id, _, err := ensure(context.Background(), folder, meant, nil, builder(t, content, at))
	must(t, err)
	return filepath.Join(folder, id)
}

func names(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	must(t, err)
	var all []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			all = append(all, entry.Name())
		}
	}
	return strings.Join(all, " ")
}

func TestManyAtOnceMakeOneBuild(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "debian-12/key")
	var made, ran atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			_, mine, err := ensure(context.Background(), folder, replaced{}, nil, func(temp string) (string, error) {
				ran.Add(1)
				return builder(t, "one", 1)(temp)
			})
			if err != nil {
				t.Error(err)
			}
			if mine {
				made.Add(1)
			}
		})
	}
	wait.Wait()
	if ran.Load() != 1 || made.Load() != 1 {
		t.Errorf("%d were made and %d said so", ran.Load(), made.Load())
	}
	if id := current(folder); names(t, folder) != id+" current" {
		t.Errorf("there are %s", names(t, folder))
	}
}

func TestManyAtOnceMakeOneGoodAgain(t *testing.T) {
	folder := t.TempDir()
	build := newBuild(t, folder, "", "one", 1)
	must(t, os.Remove(filepath.Join(build, "root/etc/file")))
	var ran atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			_, _, err := ensure(context.Background(), folder, replaced{filepath.Base(build), 1}, nil, func(temp string) (string, error) {
				ran.Add(1)
				return builder(t, "one", 2)(temp)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if ran.Load() != 1 {
		t.Errorf("%d were made", ran.Load())
	}
}

func TestABuildThatFailsLeavesNothingAndTheOldOneStays(t *testing.T) {
	folder := t.TempDir()
	old := newBuild(t, folder, "", "old", 1)
	_, _, err := ensure(context.Background(), folder, replaced{filepath.Base(old), 1}, nil, func(temp string) (string, error) {
		must(t, os.MkdirAll(filepath.Join(temp, "root"), 0o755))
		return "", errors.New("no")
	})
	if err == nil || current(folder) != filepath.Base(old) || names(t, folder) != filepath.Base(old)+" current" {
		t.Errorf("error %v, and there are %s", err, names(t, folder))
	}
}

func TestANewBuildStandsBesideTheOldOne(t *testing.T) {
	folder := t.TempDir()
	old := newBuild(t, folder, "", "old", 1)
	if again := newBuild(t, folder, "another", "never made", 2); again != old {
		t.Errorf("%s replaced a build that nobody meant", again)
	}
	newer := newBuild(t, folder, filepath.Base(old), "new", 2)
	if newer == old || current(folder) != filepath.Base(newer) {
		t.Errorf("current is %s", current(folder))
	}
	if _, err := os.Stat(filepath.Join(old, "root/etc/file")); err != nil {
		t.Error("the old build is not whole any more")
	}
	// What is built is what is there: only what is known of it changes.
	inode := func() os.FileInfo {
		info, err := os.Stat(filepath.Join(newer, "root/etc/file"))
		must(t, err)
		return info
	}
	before := inode()
	if same := newBuild(t, folder, filepath.Base(newer), "new", 3); same != newer || !os.SameFile(before, inode()) {
		t.Error("an equal build took the place of the one that is in use")
	}
	if manifest, err := readManifest(filepath.Join(newer, manifestName)); err != nil || manifest.MadeAt != 3 {
		t.Errorf("its manifest is %v, %v", manifest, err)
	}
}

func TestDamageIsNoticedAndMadeGood(t *testing.T) {
	ctx := context.Background()
	for name, one := range map[string]struct {
		full bool
		harm func(build string) error
	}{
		"a file is gone":          {false, func(b string) error { return os.Remove(filepath.Join(b, "root/etc/file")) }},
		"a file came":             {false, func(b string) error { return os.WriteFile(filepath.Join(b, "root/x"), nil, 0o644) }},
		"a file is longer":        {false, func(b string) error { return os.WriteFile(filepath.Join(b, "root/etc/file"), []byte("longer"), 0o644) }},
		"a mode changed":          {false, func(b string) error { return os.Chmod(filepath.Join(b, "root/etc/file"), 0o4755) }},
		"the manifest is gone":    {false, func(b string) error { return os.Remove(filepath.Join(b, manifestName)) }},
		"the manifest is cut":     {false, func(b string) error { return os.Truncate(filepath.Join(b, manifestName), 10) }},
		"the root is gone":        {false, func(b string) error { return os.RemoveAll(filepath.Join(b, "root")) }},
		"the image is no image":   {false, func(b string) error { return os.WriteFile(filepath.Join(b, imageName), make([]byte, 4096), 0o644) }},
		"the image is cut short":  {false, func(b string) error { return os.WriteFile(filepath.Join(b, imageName), []byte("x"), 0o644) }},
		"a bit changed its value": {true, func(b string) error { return sameTimes(filepath.Join(b, "root/etc/file"), "bits") }},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			build := newBuild(t, folder, "", "bytes"[:4], 1)
			if found, err := Check(ctx, CheckSpec{Build: build, Full: true}); err != nil || found.Damage != nil {
				t.Fatalf("whole: %v, %v", found.Damage, err)
			}
			must(t, one.harm(build))
			found, err := Check(ctx, CheckSpec{Build: build, Full: one.full})
			if err != nil || found.Damage == nil {
				t.Fatalf("nothing was noticed: %v", err)
			}
			t.Log(*found.Damage)
			if again := newBuild(t, folder, filepath.Base(build), "bytes"[:4], 2); again != build {
				t.Fatalf("it was made good at %s", again)
			}
			if found, err := Check(ctx, CheckSpec{Build: build, Full: true}); err != nil || found.Damage != nil {
				t.Fatalf("made good: %v, %v", found, err)
			}
			if names(t, folder) != filepath.Base(build)+" current" {
				t.Errorf("left: %s", names(t, folder))
			}
		})
	}
}

// sameTimes writes other content of the same length and leaves the times as they are.
func sameTimes(path string, content string) error {
	err := os.WriteFile(path, []byte(content), 0o644)
	if err == nil {
		err = os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))
	}
	return err
}

func TestLeftoversAreSwept(t *testing.T) {
	ctx, folder := context.Background(), t.TempDir()
	left := filepath.Join(folder, "build.tmp-0123456789abcdef")
	must(t, os.MkdirAll(left, 0o755))
	must(t, os.WriteFile(filepath.Join(left, "file"), make([]byte, 100_000), 0o644))
	// While somebody builds, what is there is theirs.
	_, _, err := ensure(ctx, folder, replaced{}, nil, func(temp string) (string, error) {
		must(t, os.MkdirAll(filepath.Join(folder, "build.tmp-aaaaaaaaaaaaaaaa"), 0o755))
		found, err := Sweep(ctx, SweepSpec{Folder: folder})
		must(t, err)
		if found.Bytes != 0 {
			t.Errorf("swept %d bytes of a build at work", found.Bytes)
		}
		return builder(t, "one", 1)(temp)
	})
	must(t, err)
	must(t, os.MkdirAll(left, 0o755))
	must(t, os.WriteFile(filepath.Join(left, "file"), make([]byte, 100_000), 0o644))
	found, err := Sweep(ctx, SweepSpec{Folder: folder, DryRun: true})
	if err != nil || found.Bytes < 100_000 || !strings.Contains(names(t, folder), "build.tmp-") {
		t.Errorf("dry: %+v, %v", found, err)
	}
	if found, err = Sweep(ctx, SweepSpec{Folder: folder}); err != nil || found.Bytes < 100_000 {
		t.Errorf("%+v, %v", found, err)
	}
	if strings.Contains(names(t, folder), "tmp-") {
		t.Errorf("left: %s", names(t, folder))
	}
}
