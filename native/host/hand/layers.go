package hand

import (
	"context"
	"path/filepath"

	"pyro/native/layer/assemble"
	"pyro/native/layer/changes"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/disk"
	"pyro/native/layer/export"
	"pyro/native/layer/fault"
	"pyro/native/layer/image"
	"pyro/native/layer/layertar"
	"pyro/native/layer/seed"
	"pyro/native/layer/stack"
)

func probeFS(_ context.Context, args onePath, _ func(any)) (any, error) {
	return orError(disk.Probe(args.Path))
}

func assembleTree(ctx context.Context, spec assemble.Spec, _ func(any)) (any, error) {
	return orError(assemble.Build(ctx, spec))
}

func seedTree(ctx context.Context, spec seed.Spec, progress func(any)) (any, error) {
	return orError(seed.Seed(ctx, spec, progress))
}

func seedLook(_ context.Context, spec seed.LookSpec, _ func(any)) (any, error) {
	return orError(seed.Look(spec))
}

func scanChanges(ctx context.Context, spec changes.Spec, _ func(any)) (any, error) {
	return orError(changes.Scan(ctx, spec))
}

func exportTree(ctx context.Context, spec export.Spec, progress func(any)) (any, error) {
	return orError(export.Export(ctx, spec, progress))
}

func exportStream(ctx context.Context, spec export.StreamSpec, progress func(any)) (any, error) {
	return orError(export.Receive(ctx, spec, progress))
}

func packLayer(ctx context.Context, spec layertar.FileSpec, progress func(any)) (any, error) {
	return orError(layertar.PackFile(ctx, spec, progress))
}

func unpackLayer(ctx context.Context, spec layertar.FileSpec, progress func(any)) (any, error) {
	return orError(layertar.UnpackFile(ctx, spec, progress))
}

func imageCreate(ctx context.Context, spec image.CreateSpec, _ func(any)) (any, error) {
	return orError(image.Create(ctx, spec))
}

func imageSeal(ctx context.Context, spec image.SealSpec, _ func(any)) (any, error) {
	return orError(image.Seal(ctx, spec))
}

func imagePlaceholder(_ context.Context, spec image.PlaceholderSpec, _ func(any)) (any, error) {
	return nil, image.Placeholder(spec)
}

func imageUsage(_ context.Context, args onePath, _ func(any)) (any, error) {
	return orError(image.Usage(args.Path))
}

func usage(ctx context.Context, args onePath, _ func(any)) (any, error) {
	return orError(disk.Usage(ctx, args.Path))
}

// remove refuses what no engine can mean: the root and its own directories.
func remove(_ context.Context, args onePath, _ func(any)) (any, error) {
	if err := fault.Clean(args.Path); err != nil {
		return nil, err
	}
	if filepath.Dir(args.Path) == "/" {
		return nil, fault.New("bad_path", args.Path, "%s is too near to the root to be removed", args.Path)
	}
	if err := stack.Unmount(args.Path); err != nil {
		return nil, err
	}
	if err := dirfd.Remove(args.Path); err != nil {
		return nil, fault.From(err, "removing", args.Path)
	}
	return nil, nil
}
