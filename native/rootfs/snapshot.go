package rootfs

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// Release is the state of one archive, as its signed index file (InRelease) names it.
type Release struct {
	Codename string `json:"codename"`
	// Date as the archive wrote it (RFC 1123).
	Date string `json:"date"`
	// SHA256 of the file, in hex digits.
	SHA256 string `json:"sha256"`
	// File is apt's name of it, the same on every machine that asks the same archive.
	File string `json:"file"`
}

const (
	listsInside = "var/lib/apt/lists"
	// releasesHook keeps the index files that the installation was checked by: mmdebstrap removes them at the end.
	releasesHook = `mkdir ` + keptInside + ` && cp "$1/` + listsInside + `"/*InRelease ` + keptInside
	keptName     = "releases"
	maxRelease   = 4 << 20
)

// releases reads the kept index files. They were written by a run of somebody else's scripts: no link is followed.
func releases(folder string) ([]Release, error) {
	fd, err := dirfd.OpenDir(folder)
	if err != nil {
		return nil, fault.From(err, "opening", folder)
	}
	defer unix.Close(fd)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fault.From(err, "reading", folder)
	}
	found := []Release{}
	for _, entry := range entries {
		if len(found) == 16 {
			break
		}
		one, err := release(fd, entry.Name())
		if err != nil {
			return nil, fault.From(err, "reading", filepath.Join(folder, entry.Name()))
		}
		found = append(found, one)
	}
	return found, nil
}

func release(dir int, name string) (Release, error) {
	fd, err := dirfd.OpenAt(dir, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return Release{}, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	one, digest := Release{File: name}, sha256.New()
	in := io.TeeReader(io.LimitReader(file, maxRelease), digest)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		if key == "Codename" && one.Codename == "" {
			one.Codename = value
		}
		if key == "Date" && one.Date == "" {
			one.Date = value
		}
	}
	if err := lines.Err(); err != nil {
		return Release{}, err
	}
	one.SHA256 = hex.EncodeToString(digest.Sum(nil))
	return one, nil
}
