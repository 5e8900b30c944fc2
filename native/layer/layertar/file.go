package layertar

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/newfile"
	"pyro/native/layer/newtree"
	"pyro/native/layer/stack"
)

// Counted is what a tar file holds.
type Counted struct {
	Files        int64              `json:"files"`
	Dirs         int64              `json:"dirs"`
	Links        int64              `json:"links"`
	Bytes        int64              `json:"bytes"`
	SkippedCount int64              `json:"skipped_count"`
	Skipped      []copytree.Skipped `json:"skipped"`
	// Digest is "sha256:" and 64 hex digits: what OCI calls a layer's diff id.
	Digest string `json:"digest"`
}

func counted(totals *copytree.Totals, digest []byte) *Counted {
	return &Counted{totals.Files, totals.Dirs, totals.Links, totals.Bytes, totals.SkippedCount, totals.Skipped, "sha256:" + hex.EncodeToString(digest)}
}

// FileSpec moves between a layer directory and a tar file: Dest is made from Source, whole or not at all.
type FileSpec struct {
	Source string       `json:"source"`
	Dest   string       `json:"dest"`
	IDs    *stack.Idmap `json:"ids"`
	// MaxEntries and MaxBytes bound what is unpacked.
	MaxEntries int64 `json:"max_entries"`
	MaxBytes   int64 `json:"max_bytes"`
}

// PackFile makes a tar file of a layer directory.
func PackFile(ctx context.Context, spec FileSpec, progress func(any)) (*Counted, error) {
	if err := fault.Clean(spec.Source, spec.Dest); err != nil {
		return nil, err
	}
	dir, err := dirfd.OpenDir(spec.Source)
	if err == unix.ENOENT {
		return nil, fault.New("layer_missing", spec.Source, "the layer %s is not there", spec.Source)
	}
	if err != nil {
		return nil, fault.From(err, "opening", spec.Source)
	}
	defer unix.Close(dir)
	var result *Counted
	err = newfile.Build(spec.Dest, func(file *os.File) error {
		digest := sha256.New()
		out := bufio.NewWriterSize(io.MultiWriter(file, digest), 256<<10)
		totals, err := Pack(ctx, dir, out, PackOptions{IDs: spec.IDs, Progress: reporter(progress)})
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return err
		}
		result = counted(totals, digest.Sum(nil))
		return nil
	})
	return result, err
}

// UnpackFile makes a layer directory of a tar file.
func UnpackFile(ctx context.Context, spec FileSpec, progress func(any)) (*Counted, error) {
	if err := fault.Clean(spec.Source, spec.Dest); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(spec.Source, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fault.From(err, "opening", spec.Source)
	}
	defer file.Close()
	var result *Counted
	err = newtree.Build(spec.Dest, func(dest int) error {
		digest := sha256.New()
		in := bufio.NewReaderSize(io.TeeReader(file, digest), 256<<10)
		taken, err := Unpack(ctx, in, dest, UnpackOptions{IDs: spec.IDs, MaxEntries: spec.MaxEntries, MaxBytes: spec.MaxBytes, Progress: reporter(progress)})
		if err != nil {
			return err
		}
		result = counted(&taken.Totals, digest.Sum(nil))
		return nil
	})
	return result, err
}

func reporter(progress func(any)) func(int64, int64) {
	return func(files int64, bytes int64) { progress(map[string]int64{"files": files, "bytes": bytes}) }
}
