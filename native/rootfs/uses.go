package rootfs

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/disk"
	"pyro/native/layer/fault"
	"pyro/native/layer/once"
)

// A workspace that is made of a build is a link in the build's folder of users, to the workspace's own directory: seen by
// every engine that shares the cache, and void when the directory is gone, however that came about.
const usersName = "users"

// User is a workspace that needs a build.
type User struct {
	Name string `json:"name"`
	// Dir is the workspace's directory.
	Dir string `json:"dir"`
}

// UseSpec says that a workspace needs a build from now on.
type UseSpec struct {
	Build string `json:"build"`
	User
}

// UseResult says whether the build is there, and so is kept.
type UseResult struct {
	There bool `json:"there"`
}

// lockUses guards the users of all builds in a folder; it is held for moments only.
func lockUses(ctx context.Context, folder string, how int) (*os.File, error) {
	return once.Lock(ctx, filepath.Join(folder, usersName), how)
}

// Use keeps a build from being removed as long as the workspace's directory exists.
func Use(ctx context.Context, spec UseSpec) (*UseResult, error) {
	if err := fault.Clean(spec.Build, spec.Dir); err != nil {
		return nil, err
	}
	if spec.Name == "" || strings.ContainsAny(spec.Name, "/\x00") || spec.Name[0] == '.' {
		return nil, fault.New("bad_args", "", "%q is no name of a user", spec.Name)
	}
	// Somebody may have emptied the whole cache, and then there is no place for a lock either.
	if _, err := os.Lstat(spec.Build); os.IsNotExist(err) {
		return &UseResult{}, nil
	}
	lock, err := lockUses(ctx, filepath.Dir(spec.Build), unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if _, err := os.Lstat(spec.Build); os.IsNotExist(err) {
		return &UseResult{}, nil
	}
	// Those that are gone leave their links: looking here is what keeps them few.
	if _, err := usersOf(spec.Build); err != nil {
		return nil, err
	}
	users := filepath.Join(spec.Build, usersName)
	err = os.Mkdir(users, 0o700)
	if err == nil || os.IsExist(err) {
		temp := filepath.Join(users, dirfd.TempName(".new"))
		if err = os.Symlink(spec.Dir, temp); err == nil {
			err = os.Rename(temp, filepath.Join(users, spec.Name))
		}
	}
	if err != nil {
		return nil, fault.From(err, "noting a user of", spec.Build)
	}
	return &UseResult{There: true}, nil
}

// usersOf lists who needs a build, and forgets those that are gone.
func usersOf(build string) ([]User, error) {
	folder := filepath.Join(build, usersName)
	entries, err := os.ReadDir(folder)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.From(err, "reading", folder)
	}
	var users []User
	for _, entry := range entries {
		// One that is being noted at this moment, or that a killed call left; it goes with the build.
		if entry.Name()[0] == '.' {
			continue
		}
		link := filepath.Join(folder, entry.Name())
		dir, err := os.Readlink(link)
		if err == nil {
			if _, err := os.Lstat(dir); err == nil || !os.IsNotExist(err) {
				users = append(users, User{Name: entry.Name(), Dir: dir})
				continue
			}
		}
		_ = os.Remove(link)
	}
	return users, nil
}

// RemoveSpec is a build to remove.
type RemoveSpec struct {
	Build string `json:"build"`
	// DryRun only says what would be.
	DryRun bool `json:"dry_run"`
}

// RemoveResult says what became of a build, or would.
type RemoveResult struct {
	Removed bool `json:"removed"`
	// Users need it, so it stays.
	Users []User `json:"users"`
	// Bytes of the disk that it takes, or took.
	Bytes int64 `json:"bytes"`
}

// Remove takes a build away unless a workspace needs it. It loses its name before the first of its files, so nobody meets
// half of one; what a killed call leaves is removed by the next maker or remover.
func Remove(ctx context.Context, spec RemoveSpec) (*RemoveResult, error) {
	if err := fault.Clean(spec.Build); err != nil {
		return nil, err
	}
	folder := filepath.Dir(spec.Build)
	used, err := disk.Usage(ctx, spec.Build)
	if fault.HasCode(err, "path_not_found") {
		return &RemoveResult{Removed: true, Users: []User{}}, nil
	}
	if err != nil {
		return nil, err
	}
	result := &RemoveResult{Users: []User{}, Bytes: used.Bytes}
	lock, err := lockUses(ctx, folder, unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	users, err := usersOf(spec.Build)
	if err != nil {
		return nil, err
	}
	if len(users) > 0 {
		result.Users = users
		return result, nil
	}
	result.Removed = true
	if spec.DryRun {
		return result, nil
	}
	if id, err := os.Readlink(filepath.Join(folder, currentName)); err == nil && id == filepath.Base(spec.Build) {
		if err := os.Remove(filepath.Join(folder, currentName)); err != nil {
			return nil, fault.From(err, "removing", filepath.Join(folder, currentName))
		}
	}
	gone := filepath.Join(folder, dirfd.TempName(buildName+".tmp"))
	if err := unix.Renameat2(unix.AT_FDCWD, spec.Build, unix.AT_FDCWD, gone, unix.RENAME_NOREPLACE); err != nil {
		return nil, fault.From(err, "renaming", spec.Build)
	}
	lock.Close()
	if err := dirfd.Remove(gone); err != nil {
		return nil, fault.From(err, "removing", gone)
	}
	return result, nil
}
