package hand

import (
	"context"

	"pyro/native/guestimage"
	"pyro/native/rootfs"
)

func makeErofs(ctx context.Context, spec rootfs.ErofsSpec, _ func(any)) (any, error) {
	return orError(rootfs.Erofs(ctx, spec))
}

func debianRoot(ctx context.Context, spec rootfs.DebianSpec, progress func(any)) (any, error) {
	return orError(rootfs.Debian(ctx, spec, progress))
}

func useBuild(ctx context.Context, spec rootfs.UseSpec, _ func(any)) (any, error) {
	return orError(rootfs.Use(ctx, spec))
}

func checkBuild(ctx context.Context, spec rootfs.CheckSpec, _ func(any)) (any, error) {
	return orError(rootfs.Check(ctx, spec))
}

func removeBuild(ctx context.Context, spec rootfs.RemoveSpec, _ func(any)) (any, error) {
	return orError(rootfs.Remove(ctx, spec))
}

func sweepBuilds(ctx context.Context, spec rootfs.SweepSpec, _ func(any)) (any, error) {
	return orError(rootfs.Sweep(ctx, spec))
}

func guestKernel(ctx context.Context, spec guestimage.KernelSpec, progress func(any)) (any, error) {
	return orError(guestimage.Kernel(ctx, spec, progress))
}

func guestImages(ctx context.Context, spec guestimage.ImagesSpec, _ func(any)) (any, error) {
	return orError(guestimage.Images(ctx, spec))
}
