// Package rootfs builds root file systems: a Debian as a sealed directory, and the read-only image that a machine is
// given of any directory.
package rootfs

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/host/tool"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/once"
	"pyro/native/layer/stack"
)

// ErofsSpec is an image to make of a directory.
type ErofsSpec struct {
	Source string `json:"source"`
	Output string `json:"output"`
	// IDs stand on disk for 0 and up in the image. Null: owners are taken as they are.
	IDs *stack.Idmap `json:"ids"`
}

// ErofsResult says what is there now. The checksum also lies beside the image, in the form of sha256sum.
type ErofsResult struct {
	Made   bool   `json:"made"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// A fixed one: two images of equal trees are equal.
const volumeID = "70797230-0000-4000-8000-000000000000"

// Erofs makes the image, uncompressed, once: reading it costs no more than the directory, and equal trees give equal
// bytes. Codes: tool_missing, build_failed, disk_full, cancelled.
func Erofs(ctx context.Context, spec ErofsSpec) (*ErofsResult, error) {
	if err := fault.Clean(spec.Source, spec.Output); err != nil {
		return nil, err
	}
	sums := spec.Output + ".sha256"
	made, err := once.Make(ctx, spec.Output, func(temp string) error { return makeErofs(ctx, spec, temp, sums) })
	if err != nil {
		return nil, err
	}
	result := &ErofsResult{Made: made}
	st, err := os.Stat(spec.Output)
	if err == nil {
		result.Bytes = st.Size()
		var line []byte
		line, err = os.ReadFile(sums)
		result.SHA256, _, _ = strings.Cut(string(line), " ")
	}
	if err != nil {
		return nil, fault.From(err, "looking at", spec.Output)
	}
	return result, nil
}

func makeErofs(ctx context.Context, spec ErofsSpec, temp string, sums string) error {
	newest, err := newestTime(ctx, spec.Source)
	if err != nil {
		return err
	}
	// The program can write into a directory of its own user's only.
	outside := temp + ".d"
	defer func() { _ = dirfd.Remove(outside) }()
	if err := ownDir(outside, spec.IDs); err != nil {
		return err
	}
	err = tool.Run(ctx, tool.Spec{
		Program: "mkfs.erofs", Package: "erofs-utils", IDs: spec.IDs,
		Args:  []string{"--quiet", "-U", volumeID, "out/image", "source"},
		Env:   []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(newest, 10)},
		Dir:   tool.Root,
		Trees: map[string]string{"source": spec.Source, "out": outside},
	})
	if err != nil {
		return err
	}
	image := filepath.Join(outside, "image")
	sum, err := seal(image)
	if err != nil {
		return err
	}
	line := sum + "  " + filepath.Base(spec.Output) + "\n"
	if err := os.WriteFile(sums, []byte(line), 0o644); err != nil {
		return fault.From(err, "writing", sums)
	}
	if err := os.Rename(image, temp); err != nil {
		return fault.From(err, "renaming", image)
	}
	return nil
}

func ownDir(path string, ids *stack.Idmap) error {
	err := os.Mkdir(path, 0o700)
	if err == nil && ids != nil {
		err = os.Lchown(path, int(ids.Base), int(ids.Base))
	}
	if err != nil {
		return fault.From(err, "making", path)
	}
	return nil
}

// seal takes the image from its maker and returns its checksum.
func seal(image string) (string, error) {
	file, err := os.OpenFile(image, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", fault.From(err, "opening", image)
	}
	defer file.Close()
	if err = file.Chown(os.Getuid(), os.Getgid()); err == nil {
		err = file.Chmod(0o444)
	}
	hash := sha256.New()
	if err == nil {
		_, err = io.Copy(hash, bufio.NewReaderSize(file, 1<<20))
	}
	if err != nil {
		return "", fault.From(err, "sealing", image)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
