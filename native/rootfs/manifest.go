package rootfs

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// Package is what dpkg calls installed.
type Package struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
}

// Manifest says what a build is made of, and what it has to be: manifest.json beside its root.
type Manifest struct {
	Environment string `json:"environment"`
	Suite       string `json:"suite"`
	Variant     string `json:"variant"`
	// MadeAt is in milliseconds since 1970.
	MadeAt int64 `json:"made_at"`
	// Snapshot is what the archives were, each with the checksum of what they signed. It pins every package's content.
	Snapshot []Release `json:"snapshot"`
	Packages []Package `json:"packages"`
	Tree     Sums      `json:"tree"`
}

const (
	manifestName = "manifest.json"
	rootName     = "root"
	imageName    = "root.erofs"
)

func writeManifest(path string, made *Manifest) error {
	data, err := json.MarshalIndent(made, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fault.From(err, "writing", path)
	}
	return nil
}

func readManifest(path string) (*Manifest, error) {
	var read Manifest
	file, err := os.Open(path)
	if err != nil {
		return nil, fault.From(err, "reading", path)
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, 16<<20)).Decode(&read); err != nil {
		return nil, fault.From(err, "reading", path)
	}
	return &read, nil
}

// installed reads dpkg's status file (deb-control fields, one paragraph a package), in its order.
func installed(root string) ([]Package, error) {
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
	packages := []Package{}
	var one Package
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for more := true; more; {
		more = lines.Scan()
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case !more || lines.Text() == "":
			if one.Name != "" {
				packages = append(packages, one)
			}
			one = Package{}
		case key == "Package":
			one.Name = value
		case key == "Version":
			one.Version = value
		case key == "Architecture":
			one.Architecture = value
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fault.From(err, "reading", filepath.Join(root, status))
	}
	return packages, nil
}
