package guestimage

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guestimage/modules"
	"pyro/native/host/tool"
	"pyro/native/layer/fault"
)

// unpacked is what was found in a kernel package.
type unpacked struct {
	image   []byte
	builtin map[string]bool
	// modules are files of the directory unpacked to, by the module's name.
	modules map[string]string
}

// maxFile bounds one file of the package.
const maxFile = 256 << 20

// unpack reads the package's files as dpkg-deb gives them, and writes the modules to dir under names of our own.
func unpack(ctx context.Context, deb string, dir string) (*unpacked, error) {
	program, err := tool.Find("dpkg-deb", "dpkg")
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program, "--fsys-tarfile", deb)
	command.Dir, command.Env, command.WaitDelay = "/", []string{"LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin"}, time.Second
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, fault.From(err, "starting", program)
	}
	found := &unpacked{builtin: map[string]bool{}, modules: map[string]string{}}
	err = found.read(tar.NewReader(out), dir)
	if err != nil {
		_ = command.Cancel()
	}
	_, _ = io.Copy(io.Discard, out)
	waitErr := command.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, fault.From(ctx.Err(), "", "")
	case err != nil:
		return nil, fault.From(err, "unpacking", deb)
	case waitErr != nil:
		return nil, fault.New("build_failed", "", "dpkg-deb failed, %v: %.500s", waitErr, said.String())
	case found.image == nil:
		return nil, fault.New("build_failed", "", "the package holds no kernel")
	}
	return found, nil
}

func (u *unpacked) read(files *tar.Reader, dir string) error {
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		base := path.Base(header.Name)
		switch {
		case strings.HasPrefix(base, "vmlinuz-") && path.Base(path.Dir(header.Name)) == "boot":
			if u.image, err = readAll(files, header); err != nil {
				return err
			}
		case base == "modules.builtin":
			list, err := readAll(files, header)
			if err != nil {
				return err
			}
			for _, line := range strings.Fields(string(list)) {
				u.builtin[modules.Name(line)] = true
			}
		case modules.IsFile(base):
			data, err := readAll(files, header)
			if err != nil {
				return err
			}
			name := modules.Name(base)
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				return err
			}
			u.modules[name] = name
		}
	}
}

func readAll(in io.Reader, header *tar.Header) ([]byte, error) {
	if header.Size > maxFile {
		return nil, errors.New(header.Name + " is too large")
	}
	data := make([]byte, header.Size)
	_, err := io.ReadFull(in, data)
	return data, err
}
