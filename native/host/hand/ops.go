package hand

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"pyro/native/host/clock"
	"pyro/native/host/container"
	"pyro/native/host/machine"
	"pyro/native/host/wire"
	"pyro/native/layer/stack"
	build "pyro/native/wire"
)

// operations is everything a hand can do.
var operations = map[string]operation{
	"hello": takes(hello), "probe_fs": takes(probeFS), "assemble": takes(assembleTree), "seed": takes(seedTree), "seed_look": takes(seedLook),
	"mount_stack": takes(mountStack), "unmount": takes(unmount), "start": takes(start), "attach": takes(attach),
	"stop": takes(stop), "changes": takes(scanChanges), "export": takes(exportTree), "remove": takes(remove),
	"usage": takes(usage), "export_stream": takes(exportStream), "pack": takes(packLayer), "unpack": takes(unpackLayer),
	"image_create": takes(imageCreate), "image_seal": takes(imageSeal), "image_placeholder": takes(imagePlaceholder),
	"image_usage": takes(imageUsage), "machine_start": takes(machineStart), "machine_stop": takes(machineStop),
	"erofs": takes(makeErofs), "debian_root": takes(debianRoot), "tsc": takes(tsc),
	"build_use": takes(useBuild), "build_check": takes(checkBuild), "build_remove": takes(removeBuild), "builds_sweep": takes(sweepBuilds),
	"guest_kernel": takes(guestKernel), "guest_images": takes(guestImages),
	"jail_make": takes(makeJail), "jail_remove": takes(removeJail),
}

type greeting struct {
	Build           string         `json:"build"`
	Mode            string         `json:"mode"`
	HolderPid       int            `json:"holder_pid"`
	HolderStartTime uint64         `json:"holder_start_time"`
	BootID          string         `json:"boot_id"`
	UIDMap          []wire.IDRange `json:"uid_map"`
	GIDMap          []wire.IDRange `json:"gid_map"`
	Kernel          string         `json:"kernel"`
	IdmappedMounts  bool           `json:"idmapped_mounts"`
	Stage           string         `json:"stage"`
}

func hello(context.Context, nothing, func(any)) (any, error) {
	holder := os.Getppid()
	started, _ := wire.StartTime(holder)
	var name unix.Utsname
	_ = unix.Uname(&name)
	ids := wire.IDMap("uid_map")
	result := greeting{
		Build: build.BuildID(), Mode: wire.Mode(ids), HolderPid: holder, HolderStartTime: started, BootID: wire.BootID(),
		UIDMap: ids, GIDMap: wire.IDMap("gid_map"), Kernel: unix.ByteSliceToString(name.Release[:]), Stage: wire.FindStage(),
	}
	// An ordinary user cannot map the ids of the machine's file systems, so there is nothing to try.
	result.IdmappedMounts = result.Mode == "root" && stack.CanIdmap("/")
	return result, nil
}

func mountStack(_ context.Context, spec stack.Spec, _ func(any)) (any, error) {
	return nil, stack.Mount(spec)
}

type onePath struct {
	Path string `json:"path"`
}

func unmount(_ context.Context, args onePath, _ func(any)) (any, error) {
	return nil, stack.Unmount(args.Path)
}

func start(ctx context.Context, spec container.StartSpec, progress func(any)) (any, error) {
	return orError(container.Start(ctx, spec, func() { progress(map[string]string{"text": "listening"}) }))
}

func attach(_ context.Context, spec container.AttachSpec, _ func(any)) (any, error) {
	return nil, container.Attach(spec)
}

func stop(ctx context.Context, spec container.StopSpec, _ func(any)) (any, error) {
	return orError(container.Stop(ctx, spec))
}

func machineStart(ctx context.Context, spec machine.StartSpec, _ func(any)) (any, error) {
	return orError(machine.Start(ctx, spec))
}

func machineStop(ctx context.Context, spec machine.StopSpec, _ func(any)) (any, error) {
	return orError(machine.Stop(ctx, spec))
}

func tsc(ctx context.Context, _ nothing, _ func(any)) (any, error) {
	return orError(clock.TSC(ctx))
}

// orError drops the typed nil that would otherwise become a result.
func orError[T any](result *T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return result, nil
}
