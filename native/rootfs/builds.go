package rootfs

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/disk"
	"pyro/native/layer/fault"
	"pyro/native/layer/once"
	"pyro/native/layer/stack"
)

// The builds of one definition lie in one folder, each under a name that its content gave it. currentName is a link to
// the one that new workspaces are made from. Others stay for the workspaces that were made from them.
const (
	currentName = "current"
	// What is built has no name yet; what is removed has none any more.
	buildName = "build"
)

// current is the name of the folder's current build; empty where there is none.
func current(folder string) string {
	id, err := os.Readlink(filepath.Join(folder, currentName))
	if err != nil || !plain(id) {
		return ""
	}
	if _, err := os.Lstat(filepath.Join(folder, id)); err != nil {
		return ""
	}
	return id
}

// plain tells a name of this program's making: hex digits, which lead nowhere else.
func plain(name string) bool {
	for i := 0; i < len(name); i++ {
		if (name[i] < '0' || name[i] > '9') && (name[i] < 'a' || name[i] > 'f') {
			return false
		}
	}
	return name != ""
}

// replaced is a build that shall not stay the current one. Equal content has an equal name, so the time it was made at
// tells it from its successor; 0 where it does not say.
type replaced struct {
	id     string
	madeAt int64
}

// standing is the current build, if it is not the one to replace.
func standing(folder string, replace replaced) string {
	id := current(folder)
	if id == "" || id != replace.id {
		return id
	}
	var madeAt int64
	if manifest, err := readManifest(filepath.Join(folder, id, manifestName)); err == nil {
		madeAt = manifest.MadeAt
	}
	if madeAt == replace.madeAt {
		return ""
	}
	return id
}

// ensure has make build, unless there is a current build that is not the one to replace. make gets a temporary path and
// gives the name of what it made. Who comes while another is at work waits for that and takes what it made.
func ensure(ctx context.Context, folder string, replace replaced, ids *stack.Idmap, make func(temp string) (string, error)) (id string, made bool, err error) {
	if err := fault.Clean(folder); err != nil {
		return "", false, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", false, fault.From(err, "making", folder)
	}
	if id := standing(folder, replace); id != "" {
		return id, false, nil
	}
	lock, err := once.Lock(ctx, filepath.Join(folder, buildName), unix.LOCK_EX)
	if err != nil {
		return "", false, err
	}
	defer lock.Close()
	if id := standing(folder, replace); id != "" {
		return id, false, nil
	}
	temp, err := once.Temp(filepath.Join(folder, buildName))
	if err != nil {
		return "", false, err
	}
	defer func() { _ = dirfd.Remove(temp) }()
	if id, err = make(temp); err != nil {
		return "", false, err
	}
	if err := place(ctx, temp, filepath.Join(folder, id), ids); err != nil {
		return "", false, err
	}
	return id, true, point(folder, id)
}

// place gives a build its name. Equal content has that name already: then only what is known of it is new. One that is
// called so and is damaged makes room.
func place(ctx context.Context, temp string, dest string, ids *stack.Idmap) error {
	if _, err := os.Lstat(dest); err == nil {
		found, err := Check(ctx, CheckSpec{Build: dest, IDs: ids, Full: true, Like: filepath.Join(temp, manifestName)})
		if err != nil {
			return err
		}
		if found.Damage == nil {
			err := os.Rename(filepath.Join(temp, manifestName), filepath.Join(dest, manifestName))
			if err != nil {
				return fault.From(err, "renaming", filepath.Join(temp, manifestName))
			}
			return nil
		}
		if err := setAside(ctx, dest); err != nil {
			return err
		}
	}
	return once.Publish(temp, dest)
}

// setAside takes the name from a damaged build. It is removed, unless workspaces are still made of what is left of it.
func setAside(ctx context.Context, dest string) error {
	lock, err := lockUses(ctx, filepath.Dir(dest), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	users, err := usersOf(dest)
	if err != nil {
		return err
	}
	aside := filepath.Join(filepath.Dir(dest), dirfd.TempName("damaged"))
	if err := os.Rename(dest, aside); err != nil {
		return fault.From(err, "renaming", dest)
	}
	if len(users) > 0 {
		return nil
	}
	if err := dirfd.Remove(aside); err != nil {
		return fault.From(err, "removing", aside)
	}
	return nil
}

// point makes a build the current one, in one step.
func point(folder string, id string) error {
	temp := filepath.Join(folder, dirfd.TempName(buildName+".tmp"))
	err := os.Symlink(id, temp)
	if err == nil {
		err = os.Rename(temp, filepath.Join(folder, currentName))
	}
	if err != nil {
		return fault.From(err, "naming the current build of", folder)
	}
	return nil
}

// SweepSpec is a folder of builds to clean.
type SweepSpec struct {
	Folder string `json:"folder"`
	DryRun bool   `json:"dry_run"`
}

// SweepResult says how much killed makers and removers had left.
type SweepResult struct {
	Bytes int64 `json:"bytes"`
}

// Sweep removes what has no name any more or never got one. While a build is at work there is nothing to sweep: what is
// there is its own.
func Sweep(ctx context.Context, spec SweepSpec) (*SweepResult, error) {
	if err := fault.Clean(spec.Folder); err != nil {
		return nil, err
	}
	result := &SweepResult{}
	dest := filepath.Join(spec.Folder, buildName)
	now, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	lock, err := once.Lock(now, dest, unix.LOCK_EX)
	if fault.HasCode(err, "cancelled") && ctx.Err() == nil {
		return result, nil
	}
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	left, err := filepath.Glob(filepath.Join(spec.Folder, buildName+".tmp-*"))
	if err != nil {
		return nil, fault.From(err, "reading", spec.Folder)
	}
	for _, path := range left {
		if used, err := disk.Usage(ctx, path); err == nil {
			result.Bytes += used.Bytes
		}
	}
	if !spec.DryRun {
		_, err = once.Temp(dest)
	}
	return result, err
}
