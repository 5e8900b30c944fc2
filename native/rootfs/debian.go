package rootfs

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/tool"
	"pyro/native/layer/assemble"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

// DebianSpec is a Debian to install as a build below Folder.
type DebianSpec struct {
	// Environment is what it is called, for its manifest.
	Environment string `json:"environment"`
	Folder      string `json:"folder"`
	// Replace is the name of a build that shall not stay the current one; empty: any will do.
	Replace string `json:"replace"`
	// ReplaceMadeAt is when that one was made, by its manifest; 0 where that cannot be read.
	ReplaceMadeAt int64 `json:"replace_made_at"`
	// IDs are 0 and up inside, as ids of the holder. Null: those of the machine.
	IDs     *stack.Idmap `json:"ids"`
	Suite   string       `json:"suite"`
	Variant string       `json:"variant"`
	// Packages beyond the variant's.
	Packages []string `json:"packages"`
	// Sources are lines of a sources.list.
	Sources []string `json:"sources"`
	// Settings is a file of apt.conf for the build alone: proxies, mostly. It may hold secrets.
	Settings string `json:"settings"`
	// Env is for the build alone, NAME=VALUE.
	Env []string `json:"env"`
	// Epoch is the time of all that the build itself writes, in seconds since 1970.
	Epoch int64 `json:"epoch"`
	// Commands of a shell, run at the end with the root as $1.
	Commands []string `json:"commands"`
	// Extra is laid over the installed tree at the end; its owner and Dest are set here.
	Extra assemble.Spec `json:"extra"`
	// Remove are paths below the root that the sealed tree does not keep.
	Remove []string `json:"remove"`
}

// DebianResult names the current build.
type DebianResult struct {
	Made bool   `json:"made"`
	ID   string `json:"id"`
}

// idDigits of the digest are what a build is called by.
const idDigits = 16

// Debian installs with mmdebstrap from the archives that the sources name, whose signatures apt checks. Nothing of it
// runs as a user of this machine where ids are given. Codes: tool_missing, build_failed, disk_full, cancelled.
func Debian(ctx context.Context, spec DebianSpec, progress func(any)) (*DebianResult, error) {
	id, made, err := ensure(ctx, spec.Folder, replaced{spec.Replace, spec.ReplaceMadeAt}, spec.IDs, func(temp string) (string, error) {
		made, err := makeDebian(ctx, spec, temp, progress)
		if err != nil {
			return "", err
		}
		return made.Tree.DiffID[len(digestPrefix):][:idDigits], nil
	})
	if err != nil {
		return nil, err
	}
	return &DebianResult{Made: made, ID: id}, nil
}

func makeDebian(ctx context.Context, spec DebianSpec, temp string, progress func(any)) (*Manifest, error) {
	// What was there before the build is older than this, by any clock a file system may have.
	since := time.Now().Unix() - 1
	if err := ownDir(temp, spec.IDs); err != nil {
		return nil, err
	}
	settings, kept, root := filepath.Join(temp, "apt.conf"), filepath.Join(temp, keptName), filepath.Join(temp, rootName)
	if err := writeFor(settings, spec.Settings, spec.IDs); err != nil {
		return nil, err
	}
	stop := watch(root, progress)
	err := tool.Run(ctx, tool.Spec{
		Program: "mmdebstrap", Package: "mmdebstrap", IDs: spec.IDs, Args: arguments(spec), Dir: tool.Root,
		Env:   append([]string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(spec.Epoch, 10), "DEBIAN_FRONTEND=noninteractive"}, spec.Env...),
		Trees: map[string]string{"work": temp},
		Line: func(line string) {
			// Its steps end so; the rest is about its own settings.
			text, said := strings.CutPrefix(line, "I: ")
			if step, ends := strings.CutSuffix(text, "..."); said && ends && !strings.HasPrefix(text, "finding ") {
				progress(map[string]string{"text": step})
			}
		},
	})
	stop()
	if err != nil {
		return nil, err
	}
	progress(map[string]string{"text": "sealing"})
	snapshot, err := releases(kept)
	if err != nil {
		return nil, err
	}
	for _, path := range []string{settings, kept} {
		if err := dirfd.Remove(path); err != nil {
			return nil, fault.From(err, "removing", path)
		}
	}
	if err := finish(ctx, spec, root, since); err != nil {
		return nil, err
	}
	if err := os.Lchown(temp, os.Getuid(), os.Getgid()); err != nil {
		return nil, fault.From(err, "taking over", temp)
	}
	made := &Manifest{
		Environment: spec.Environment, Suite: spec.Suite, Variant: spec.Variant, MadeAt: time.Now().UnixMilli(), Snapshot: snapshot,
	}
	if made.Packages, err = installed(root); err != nil {
		return nil, err
	}
	tree, err := sum(ctx, root, spec.IDs)
	if err != nil {
		return nil, err
	}
	made.Tree = *tree
	return made, writeManifest(filepath.Join(temp, manifestName), made)
}

func writeFor(path string, content string, ids *stack.Idmap) error {
	err := os.WriteFile(path, []byte(content), 0o600)
	if err == nil && ids != nil {
		err = os.Lchown(path, int(ids.Base), int(ids.Base))
	}
	if err != nil {
		return fault.From(err, "writing", path)
	}
	return nil
}

const (
	settingsInside = "etc/apt/apt.conf.d/00pyro-build"
	// keptInside is where the run finds the folder of the build.
	keptInside = tool.Root + "/work/" + keptName
)

func arguments(spec DebianSpec) []string {
	args := []string{
		"--mode=root", "--format=directory", "--variant=" + spec.Variant, "--include=" + strings.Join(spec.Packages, ","),
		// What is built is written to the disk as a whole before it gets its name.
		"--dpkgopt=force-unsafe-io",
		`--setup-hook=cp ` + tool.Root + `/work/apt.conf "$1/` + settingsInside + `"`,
	}
	args = append(args, "--customize-hook="+releasesHook)
	for _, command := range spec.Commands {
		args = append(args, "--customize-hook="+command)
	}
	args = append(args, `--customize-hook=rm "$1/`+settingsInside+`"`, spec.Suite, tool.Root+"/work/root")
	return append(args, spec.Sources...)
}

// finish makes the installed tree the sealed one. Its scripts ran as somebody else, so no link in it is followed.
func finish(ctx context.Context, spec DebianSpec, path string, since int64) error {
	root, err := dirfd.OpenDir(path)
	if err != nil {
		return fault.From(err, "opening", path)
	}
	defer unix.Close(root)
	// Sandboxes and machines bring devices of their own; a sealed tree holds none.
	if err := emptyDir(root, "dev"); err != nil {
		return fault.From(err, "emptying", path+"/dev")
	}
	for _, unwanted := range spec.Remove {
		if err := removeBelow(root, unwanted); err != nil {
			return fault.From(err, "removing", path+"/"+unwanted)
		}
	}
	extra := spec.Extra
	extra.Dest, extra.Owner = path, stack.Owner{}
	if spec.IDs != nil {
		extra.Owner = stack.Owner{UID: spec.IDs.Base, GID: spec.IDs.Base}
	}
	if _, err := assemble.Fill(ctx, root, extra); err != nil {
		return err
	}
	return stampTimes(ctx, root, path, since, spec.Epoch)
}

func removeBelow(root int, path string) error {
	parent, err := dirfd.OpenAt(root, filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	return dirfd.RemoveAt(parent, filepath.Base(path))
}

func emptyDir(root int, name string) error {
	fd, err := dirfd.ChildDir(root, name)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	entries, err := dirfd.List(fd)
	for _, entry := range entries {
		if err == nil {
			err = dirfd.RemoveAt(fd, entry.Name)
		}
	}
	return err
}
