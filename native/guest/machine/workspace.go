package machine

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	guestlayers "pyro/native/guest/layers"
	"pyro/native/layer/changes"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/export"
	"pyro/native/layer/fault"
)

// MountWorkspace puts /workspace together; from then on it is what it is. The baseline's disk may have got its content only
// now.
func (m *machine) MountWorkspace(seeded bool) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.workspace >= 0 {
		return nil
	}
	if m.ended {
		return fault.New("wrong_state", "", "the machine is stopping")
	}
	if seeded {
		if err := m.mountBase(); err != nil {
			return fault.From(err, "mounting the baseline", "")
		}
	}
	if err := m.mountWorkspace(seeded); err != nil {
		return fault.From(err, "mounting", m.target)
	}
	fd, err := dirfd.OpenDir(m.target)
	if err != nil {
		return fault.From(err, "opening", m.target)
	}
	m.workspace, m.seeded = fd, seeded
	return nil
}

// mountBase first drops what the kernel read of the disk before, when it was not complete.
func (m *machine) mountBase() error {
	if m.params.Base == "" {
		return fault.New("wrong_state", "", "the machine has no disk for a baseline")
	}
	device, err := findDisk(m.params.Base)
	if err != nil {
		return err
	}
	disk, err := os.Open(device)
	if err != nil {
		return err
	}
	defer disk.Close()
	if err := unix.IoctlSetInt(int(disk.Fd()), unix.BLKFLSBUF, 0); err != nil {
		return os.NewSyscallError("BLKFLSBUF", err)
	}
	return mount{device, m.hubPath("base"), "erofs", unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID, ""}.make()
}

func (m *machine) mountWorkspace(seeded bool) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	changes := m.hubPath("changes/workspace")
	upper := filepath.Join(changes, "upper")
	switch {
	case seeded && m.params.Inspect:
		return layers(m.target, flags|unix.MS_RDONLY, "userxattr", []string{upper, m.hubPath("base")})
	case seeded:
		return overlay(m.target, flags, changes, m.hubPath("base"))
	}
	if err := (mount{upper, m.target, "", unix.MS_BIND, ""}).make(); err != nil {
		return err
	}
	// The flags of a bind are those of a second call.
	again := uintptr(unix.MS_REMOUNT | unix.MS_BIND | flags)
	if m.params.Inspect {
		again |= unix.MS_RDONLY
	}
	return unix.Mount("", m.target, "", again, "")
}

// mounted is the open directory of /workspace, and whether it has a baseline.
func (m *machine) mounted() (int, bool, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.workspace < 0 {
		return -1, false, fault.New("wrong_state", "", "/workspace is not mounted")
	}
	return m.workspace, m.seeded, nil
}

// Changes compares what was written below /workspace with the baseline.
func (m *machine) Changes(ctx context.Context, limit int) (*changes.Result, error) {
	_, seeded, err := m.mounted()
	if err != nil {
		return nil, err
	}
	spec := changes.Spec{Upper: m.hubPath("changes/workspace/upper"), Limit: limit}
	if seeded {
		spec.Lowers = []string{m.hubPath("base")}
	}
	return changes.Scan(ctx, spec)
}

// Tree writes a path below /workspace as a tar.
func (m *machine) Tree(ctx context.Context, path string, begin func(kind string), to io.Writer) error {
	workspace, _, err := m.mounted()
	if err != nil {
		return err
	}
	_, err = export.Send(ctx, workspace, path, begin, to)
	// What is taken out here is an export, whatever it is packed by.
	if fault.HasCode(err, "layer_changed") {
		return fault.Retry("export_changed", path, "a file below %s changed while it was read", path)
	}
	return err
}

// Layers are the host's to take out; what was written below /workspace can be put in until that is mounted.
func (m *machine) Layers() http.Handler {
	places := guestlayers.Places{
		"baseline":  m.hubPath("base"),
		"workspace": m.hubPath("changes/workspace/upper"),
		"root":      m.hubPath("changes/root/upper"),
	}
	return guestlayers.Handler(places, func(name string) bool {
		m.lock.Lock()
		defer m.lock.Unlock()
		return name == "workspace" && m.workspace < 0 && !m.ended && !m.params.Inspect
	})
}
