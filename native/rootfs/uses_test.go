package rootfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pyro/native/layer/fault"
)

func TestABuildStaysWhileAWorkspaceNeedsIt(t *testing.T) {
	ctx, folder := context.Background(), t.TempDir()
	build, workspace := newBuild(t, folder, "", "one", 1), t.TempDir()
	use := UseSpec{Build: build, User: User{Name: "ws-1@home", Dir: workspace}}
	for range 2 {
		if kept, err := Use(ctx, use); err != nil || !kept.There {
			t.Fatalf("%v, %v", kept, err)
		}
	}
	found, err := Remove(ctx, RemoveSpec{Build: build})
	must(t, err)
	if found.Removed || len(found.Users) != 1 || found.Users[0] != use.User || found.Bytes == 0 {
		t.Errorf("%+v", found)
	}
	// A damaged build that is needed makes room and stays.
	must(t, os.Remove(filepath.Join(build, "root/etc/file")))
	newBuild(t, folder, filepath.Base(build), "one", 2)
	if aside, _ := filepath.Glob(filepath.Join(folder, "damaged-*/users/ws-1@home")); len(aside) != 1 {
		t.Errorf("there are %s", names(t, folder))
	}
	must(t, os.Remove(workspace))
	if found, err = Remove(ctx, RemoveSpec{Build: build, DryRun: true}); err != nil || !found.Removed || current(folder) == "" {
		t.Errorf("dry: %+v, %v", found, err)
	}
	if found, err = Remove(ctx, RemoveSpec{Build: build}); err != nil || !found.Removed || found.Bytes == 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if strings.Contains(names(t, folder), filepath.Base(build)) || current(folder) != "" {
		t.Errorf("left: %s", names(t, folder))
	}
	if kept, err := Use(ctx, use); err != nil || kept.There {
		t.Errorf("what is gone was kept: %v, %v", kept, err)
	}
	if found, err = Remove(ctx, RemoveSpec{Build: build}); err != nil || !found.Removed {
		t.Errorf("a second time: %+v, %v", found, err)
	}
}

func TestUsesAndRemovalsNeverMeet(t *testing.T) {
	ctx, folder, homes := context.Background(), t.TempDir(), t.TempDir()
	for i := range 40 {
		build := newBuild(t, folder, "", "one", int64(i))
		workspace := filepath.Join(homes, "ws")
		must(t, os.Mkdir(workspace, 0o700))
		var kept *UseResult
		var removed *RemoveResult
		var errUse, errRemove error
		var wait sync.WaitGroup
		wait.Go(func() { kept, errUse = Use(ctx, UseSpec{Build: build, User: User{Name: "ws", Dir: workspace}}) })
		wait.Go(func() { removed, errRemove = Remove(ctx, RemoveSpec{Build: build}) })
		wait.Wait()
		must(t, errors.Join(errUse, errRemove))
		if kept.There == removed.Removed {
			t.Fatalf("kept %v and removed %v", kept.There, removed.Removed)
		}
		must(t, os.Remove(workspace))
		_, err := Remove(ctx, RemoveSpec{Build: build})
		must(t, err)
	}
}

func TestManyUsersAtOnce(t *testing.T) {
	ctx, homes := context.Background(), t.TempDir()
	build := newBuild(t, t.TempDir(), "", "one", 1)
	var wait sync.WaitGroup
	for i := range 100 {
		workspace := filepath.Join(homes, strconv.Itoa(i))
		must(t, os.Mkdir(workspace, 0o700))
		wait.Go(func() {
			if kept, err := Use(ctx, UseSpec{Build: build, User: User{Name: "ws-" + strconv.Itoa(i), Dir: workspace}}); err != nil || !kept.There {
				t.Errorf("%v, %v", kept, err)
			}
		})
	}
	wait.Wait()
	users, err := usersOf(build)
	must(t, err)
	if len(users) != 100 {
		t.Errorf("%d users", len(users))
	}
}

func TestBadUsers(t *testing.T) {
	build := newBuild(t, t.TempDir(), "", "one", 1)
	for _, name := range []string{"", "../x", "a/b", ".hidden", "x\x00"} {
		if _, err := Use(context.Background(), UseSpec{Build: build, User: User{Name: name, Dir: "/tmp"}}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if _, err := Use(context.Background(), UseSpec{Build: build, User: User{Name: "x", Dir: "relative"}}); !fault.HasCode(err, "bad_path") {
		t.Error(err)
	}
}
