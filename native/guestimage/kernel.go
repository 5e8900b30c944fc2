// Package guestimage makes what a machine boots: a kernel taken from a package of Debian, and an initramfs of this
// program and the modules it loads.
package guestimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"

	"pyro/native/guestimage/modules"
	"pyro/native/guestimage/vmlinux"
	"pyro/native/host/tool"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/once"
)

// KernelSpec is a package to download and take apart. It is never installed.
type KernelSpec struct {
	Package string `json:"package"`
	Version string `json:"version"`
	// SHA256 of the package's file, as apt's signed index has it.
	SHA256 string `json:"sha256"`
	// Arch as Debian calls it.
	Arch string `json:"arch"`
	// Output is a directory that gets vmlinux, modules/*.ko and the lists.
	Output string `json:"output"`
	// Lists of modules by the name of the file below modules/ that says their order; a module that an earlier list has
	// is not repeated.
	Lists []ModuleList `json:"lists"`
	// Env for the download, NAME=VALUE.
	Env []string `json:"env"`
}

// ModuleList are modules that are loaded together.
type ModuleList struct {
	File    string   `json:"file"`
	Modules []string `json:"modules"`
}

// Made says whether it had to be made.
type Made struct {
	Made bool `json:"made"`
}

// Kernel downloads the package, checks it, and keeps of it what is needed. Codes: tool_missing, build_failed,
// disk_full, cancelled.
func Kernel(ctx context.Context, spec KernelSpec, progress func(any)) (*Made, error) {
	if err := fault.Clean(spec.Output); err != nil {
		return nil, err
	}
	made, err := once.Make(ctx, spec.Output, func(temp string) error { return makeKernel(ctx, spec, temp, progress) })
	return &Made{made}, err
}

func makeKernel(ctx context.Context, spec KernelSpec, temp string, progress func(any)) error {
	work, all := filepath.Join(temp, "work"), filepath.Join(temp, "all")
	for _, dir := range []string{temp, work, all} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fault.From(err, "making", dir)
		}
	}
	progress(map[string]string{"text": "downloading " + spec.Package})
	deb, err := download(ctx, spec, work)
	if err != nil {
		return err
	}
	progress(map[string]string{"text": "unpacking " + spec.Package})
	unpacked, err := unpack(ctx, deb, all)
	if err != nil {
		return err
	}
	image, err := vmlinux.Extract(unpacked.image, spec.Arch)
	if err != nil {
		return fault.New("build_failed", "", "the kernel of %s cannot be used: %v", spec.Package, err)
	}
	if err := os.WriteFile(filepath.Join(temp, "vmlinux"), image, 0o444); err != nil {
		return fault.From(err, "writing the kernel", "")
	}
	if err := chooseModules(spec, unpacked, all, filepath.Join(temp, "modules")); err != nil {
		return err
	}
	for _, dir := range []string{work, all} {
		if err := dirfd.Remove(dir); err != nil {
			return fault.From(err, "removing", dir)
		}
	}
	return nil
}

// download lets apt fetch, which knows the machine's archives, proxies and keys.
func download(ctx context.Context, spec KernelSpec, work string) (string, error) {
	err := tool.Run(ctx, tool.Spec{
		// As root, apt would drop to a user who cannot write here.
		Program: "apt-get", Package: "apt", Env: spec.Env, Dir: tool.Root + "/work", Trees: map[string]string{"work": work},
		Args: []string{"-q", "-o", "APT::Sandbox::User=root", "download", spec.Package + "=" + spec.Version},
	})
	if err != nil {
		return "", err
	}
	found, _ := filepath.Glob(filepath.Join(work, "*.deb"))
	if len(found) != 1 {
		return "", fault.New("build_failed", work, "apt-get downloaded %d packages instead of one", len(found))
	}
	file, err := os.Open(found[0])
	if err != nil {
		return "", fault.From(err, "opening", found[0])
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fault.From(err, "reading", found[0])
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != spec.SHA256 {
		return "", fault.Retry("build_failed", "", "%s has the SHA-256 %s, not %s", spec.Package, sum, spec.SHA256)
	}
	return found[0], nil
}

// chooseModules keeps the listed modules and what they need, unpacked: the guest has no unpacker.
func chooseModules(spec KernelSpec, from *unpacked, all string, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return fault.From(err, "making", to)
	}
	set := modules.Set{Builtin: from.builtin, Read: func(name string) ([]byte, error) {
		file, found := from.modules[name]
		if !found {
			return nil, nil
		}
		data, err := os.ReadFile(filepath.Join(all, file))
		if err == nil {
			data, err = vmlinux.Decompress(data)
		}
		return data, err
	}}
	var loaded []string
	for _, list := range spec.Lists {
		order, err := set.Order(list.Modules, loaded)
		if err != nil {
			return fault.New("build_failed", "", "the modules of %s cannot be used: %v", spec.Package, err)
		}
		loaded = append(loaded, order...)
		var lines strings.Builder
		for _, name := range order {
			data, err := set.Read(name)
			if err == nil {
				err = os.WriteFile(filepath.Join(to, name+".ko"), modules.Untyped(modules.Unsigned(data)), 0o644)
			}
			if err != nil {
				return fault.From(err, "keeping the module", name)
			}
			lines.WriteString(name + ".ko\n")
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(list.File)), []byte(lines.String()), 0o644); err != nil {
			return fault.From(err, "writing", list.File)
		}
	}
	return nil
}
