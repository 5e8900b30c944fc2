package guestimage

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/guestimage/cpio"
	"pyro/native/layer/fault"
	"pyro/native/layer/once"
)

// ImagesSpec is a kernel directory to make bootable with a binary.
type ImagesSpec struct {
	// Kernel is a directory that the operation guest_kernel made.
	Kernel string `json:"kernel"`
	// Binary becomes /init; its checksum is what Output was named by.
	Binary       string `json:"binary"`
	BinarySHA256 string `json:"binary_sha256"`
	// Output is a directory that gets vmlinux, initramfs and manifest.json.
	Output string `json:"output"`
	// Manifest is the text of manifest.json.
	Manifest string `json:"manifest"`
}

// folders that the guest mounts on, and the one that programs expect.
var folders = []struct {
	name string
	mode uint32
}{{"dev", 0o755}, {"mnt", 0o755}, {"modules", 0o755}, {"proc", 0o555}, {"root", 0o700}, {"run", 0o755}, {"sys", 0o555}, {"tmp", 0o1777}}

// Images makes them once. Equal inputs give equal bytes. Codes: build_failed when the binary is another one, and
// those of files.
func Images(ctx context.Context, spec ImagesSpec) (*Made, error) {
	if err := fault.Clean(spec.Kernel, spec.Binary, spec.Output); err != nil {
		return nil, err
	}
	made, err := once.Make(ctx, spec.Output, func(temp string) error { return makeImages(spec, temp) })
	return &Made{made}, err
}

func makeImages(spec ImagesSpec, temp string) error {
	if err := os.Mkdir(temp, 0o755); err != nil {
		return fault.From(err, "making", temp)
	}
	if err := os.Link(filepath.Join(spec.Kernel, "vmlinux"), filepath.Join(temp, "vmlinux")); err != nil {
		return fault.From(err, "linking the kernel from", spec.Kernel)
	}
	path := filepath.Join(temp, "initramfs")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return fault.From(err, "creating", path)
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	if err := writeInitramfs(spec, out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fault.From(err, "writing", path)
	}
	if err := os.WriteFile(filepath.Join(temp, "manifest.json"), []byte(spec.Manifest), 0o644); err != nil {
		return fault.From(err, "writing the manifest into", temp)
	}
	return nil
}

func writeInitramfs(spec ImagesSpec, out io.Writer) error {
	archive := cpio.NewWriter(out)
	add := func(entry cpio.Entry) error {
		if err := archive.Add(entry); err != nil {
			return fault.From(err, "archiving", entry.Name)
		}
		return nil
	}
	for _, folder := range folders {
		if err := add(cpio.Entry{Name: folder.name, Mode: unix.S_IFDIR | folder.mode}); err != nil {
			return err
		}
	}
	// Opened by the kernel for the first program, before anything is mounted.
	console := cpio.Entry{Name: "dev/console", Mode: unix.S_IFCHR | 0o600, Major: 5, Minor: 1}
	// Where there is no console, the program's runtime opens this one in its place.
	null := cpio.Entry{Name: "dev/null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3}
	for _, device := range []cpio.Entry{console, null} {
		if err := add(device); err != nil {
			return err
		}
	}
	sum := sha256.New()
	if err := addFile(add, "init", unix.S_IFREG|0o755, spec.Binary, sum); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != spec.BinarySHA256 {
		return fault.Retry("build_failed", spec.Binary, "%s changed while it was read", spec.Binary)
	}
	dir := filepath.Join(spec.Kernel, "modules")
	// Sorted by name.
	files, err := os.ReadDir(dir)
	if err != nil {
		return fault.From(err, "reading", dir)
	}
	for _, file := range files {
		if err := addFile(add, "modules/"+file.Name(), unix.S_IFREG|0o644, filepath.Join(dir, file.Name()), nil); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return fault.From(err, "archiving", spec.Output)
	}
	return nil
}

func addFile(add func(cpio.Entry) error, name string, mode uint32, path string, sum hash.Hash) error {
	file, err := os.Open(path)
	if err != nil {
		return fault.From(err, "opening", path)
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return fault.From(err, "looking at", path)
	}
	var content io.Reader = file
	if sum != nil {
		content = io.TeeReader(file, sum)
	}
	return add(cpio.Entry{Name: name, Mode: mode, Size: st.Size(), Content: content})
}
