package rootfs

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/disk"
	"pyro/native/layer/fault"
)

// manifest says what a sealed Debian is made of.
type manifest struct {
	Suite    string   `json:"suite"`
	Variant  string   `json:"variant"`
	Packages []string `json:"packages"`
	Bytes    int64    `json:"bytes"`
}

const manifestName = "manifest.json"

func writeManifest(ctx context.Context, spec DebianSpec, dir string) error {
	packages, err := installed(filepath.Join(dir, "root"))
	if err != nil {
		return err
	}
	used, err := disk.Usage(ctx, filepath.Join(dir, "root"))
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(manifest{spec.Suite, spec.Variant, packages, used.Bytes}, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, manifestName), append(data, '\n'), 0o644)
	}
	if err != nil {
		return fault.From(err, "writing", filepath.Join(dir, manifestName))
	}
	return nil
}

func readManifest(dir string) (*manifest, error) {
	var read manifest
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err == nil {
		err = json.Unmarshal(data, &read)
	}
	if err != nil {
		return nil, fault.From(err, "reading", filepath.Join(dir, manifestName))
	}
	return &read, nil
}

// installed lists NAME=VERSION of dpkg's status file (deb-control fields, one paragraph a package), sorted as it is there.
func installed(root string) ([]string, error) {
	const status = "var/lib/dpkg/status"
	top, err := dirfd.OpenDir(root)
	if err != nil {
		return nil, fault.From(err, "opening", root)
	}
	defer unix.Close(top)
	fd, err := dirfd.OpenAt(top, status, unix.O_RDONLY)
	if err != nil {
		return nil, fault.From(err, "opening", filepath.Join(root, status))
	}
	file := os.NewFile(uintptr(fd), status)
	defer file.Close()
	packages := []string{}
	var name string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "Package: "); found {
			name = value
		} else if value, found := strings.CutPrefix(lines.Text(), "Version: "); found {
			packages = append(packages, name+"="+value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fault.From(err, "reading", filepath.Join(root, status))
	}
	return packages, nil
}
