package rootfs

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

// CheckSpec is a build to compare with what is known of it.
type CheckSpec struct {
	Build string       `json:"build"`
	IDs   *stack.Idmap `json:"ids"`
	// Full reads all content again; otherwise only what names and attributes tell is looked at.
	Full bool `json:"full"`
	// Like is a manifest to compare with; empty: the build's own.
	Like string `json:"-"`
}

// CheckResult says what was found.
type CheckResult struct {
	// Damage is what is wrong with it; null where nothing is.
	Damage *string `json:"damage"`
}

// Check tells a build that is as it was made from one that something happened to.
func Check(ctx context.Context, spec CheckSpec) (*CheckResult, error) {
	if err := fault.Clean(spec.Build); err != nil {
		return nil, err
	}
	damaged := func(format string, args ...any) (*CheckResult, error) {
		text := fmt.Sprintf(format, args...)
		return &CheckResult{Damage: &text}, nil
	}
	like := spec.Like
	if like == "" {
		like = filepath.Join(spec.Build, manifestName)
	}
	manifest, err := readManifest(like)
	if err != nil {
		return damaged("its manifest cannot be read")
	}
	root := filepath.Join(spec.Build, rootName)
	// The time of the root itself and of all below is that of the build: any change shows.
	found, err := look(ctx, root, spec.IDs)
	if err != nil {
		if ctx.Err() != nil || fault.HasCode(err, "cancelled") {
			return nil, err
		}
		return damaged("it cannot be read: %v", err)
	}
	if found.Entries != manifest.Tree.Entries {
		return damaged("it has %d entries and had %d when it was made", found.Entries, manifest.Tree.Entries)
	}
	if found.Metadata != manifest.Tree.Metadata {
		return damaged("names, sizes, owners or times in it are not those it was made with")
	}
	if spec.Full {
		digest, err := diffID(ctx, root, spec.IDs)
		if err != nil {
			return nil, err
		}
		if digest != manifest.Tree.DiffID {
			return damaged("its content is not what it was made with: %s and not %s", digest, manifest.Tree.DiffID)
		}
	}
	return checkImage(filepath.Join(spec.Build, imageName), spec.Full)
}

// checkImage compares an image, where there is one, with what its superblock says of its length, and with its checksum.
func checkImage(path string, full bool) (*CheckResult, error) {
	damaged := func(what string) (*CheckResult, error) {
		text := "its image for machines " + what
		return &CheckResult{Damage: &text}, nil
	}
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if os.IsNotExist(err) {
		return &CheckResult{}, nil
	}
	if err != nil {
		return nil, fault.From(err, "opening", path)
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, fault.From(err, "looking at", path)
	}
	// struct erofs_super_block at 1024 (linux/fs/erofs/erofs_fs.h): magic u32 at 0, log2 of the block size u8 at 12,
	// blocks u32 at 36; little-endian.
	var super [40]byte
	if _, err := file.ReadAt(super[:], 1024); err != nil {
		return damaged("is cut short")
	}
	if binary.LittleEndian.Uint32(super[:]) != 0xe0f5e1e2 || super[12] > 16 {
		return damaged("is no erofs")
	}
	if blocks := int64(binary.LittleEndian.Uint32(super[36:])); blocks<<super[12] != st.Size() {
		return damaged(fmt.Sprintf("has %d bytes and not %d", st.Size(), blocks<<super[12]))
	}
	if !full {
		return &CheckResult{}, nil
	}
	known, err := os.ReadFile(path + ".sha256")
	if err != nil {
		return damaged("has lost its checksum")
	}
	found, err := fileSum(path)
	if err != nil {
		return nil, err
	}
	if name, _, _ := strings.Cut(string(known), " "); name != found {
		return damaged("has another checksum than when it was made")
	}
	return &CheckResult{}, nil
}
