// Package image makes the disks of machines: file systems in files of this machine. It never reads one that a guest wrote.
package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/tool"
	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

// packages of Debian that bring the tools.
var packages = map[string]string{"mkfs.ext4": "e2fsprogs", "mkfs.erofs": "erofs-utils"}

// run runs a tool to its end. With ids it runs as their root: what they own is seen as owned by 0 and up, and the hand's
// own files, which are on the way to everything, stay open to it as the id after the last.
func run(ctx context.Context, ids *stack.Idmap, files []*os.File, name string, args ...string) error {
	path, err := tool.Find(name, packages[name])
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, path, args...)
	command.Env = []string{"LC_ALL=C"}
	command.Dir = "/"
	command.ExtraFiles = files
	command.WaitDelay = time.Second
	attributes := &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if ids != nil {
		attributes.Cloneflags = unix.CLONE_NEWUSER
		attributes.Credential = &syscall.Credential{}
		attributes.UidMappings = []syscall.SysProcIDMap{
			{ContainerID: 0, HostID: int(ids.Base), Size: int(ids.Size)}, {ContainerID: int(ids.Size), HostID: 0, Size: 1},
		}
		attributes.GidMappings = attributes.UidMappings
	}
	command.SysProcAttr = attributes
	said := &lastWords{}
	command.Stdout, command.Stderr = said, said
	// The death signal comes with the end of the thread that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = command.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.From(ctx.Err(), "", "")
	case strings.Contains(said.String(), "No space left on device"):
		return fault.New("disk_full", name, "%s: the disk is full", name)
	}
	var failed *exec.ExitError
	if errors.As(err, &failed) && said.String() != "" {
		return fault.New("io_error", name, "%s: %s", name, said.String())
	}
	return fault.From(fmt.Errorf("%s: %w", name, err), "running", name)
}

// lastWords keeps the end of what a tool says.
type lastWords struct{ tail []byte }

func (w *lastWords) Write(part []byte) (int, error) {
	w.tail = append(w.tail, part...)
	if over := len(w.tail) - 2048; over > 0 {
		w.tail = append([]byte{}, w.tail[over:]...)
	}
	return len(part), nil
}

func (w *lastWords) String() string { return string(bytes.ToValidUTF8(bytes.TrimSpace(w.tail), nil)) }
