// Package modules finds out which kernel modules are needed, and in which order they load.
package modules

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"strings"
)

// Set is the modules that a kernel has.
type Set struct {
	// Builtin are part of the kernel itself.
	Builtin map[string]bool
	// Read returns a module's file, unpacked; nil where there is none.
	Read func(name string) ([]byte, error)
}

// Name is a module's name as the kernel knows it: of "kernel/drivers/virtio/virtio-rng.ko.xz", virtio_rng.
func Name(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

// IsFile says whether a file name is a module's.
func IsFile(name string) bool {
	for _, suffix := range []string{".ko", ".ko.gz", ".ko.xz", ".ko.zst"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// Order lists the wanted modules and what they depend on, each after what it needs. Those in before are loaded already.
func (s *Set) Order(wanted []string, before []string) ([]string, error) {
	walk := resolution{set: s, state: map[string]int{}}
	for _, name := range before {
		walk.state[name] = done
	}
	for _, name := range wanted {
		if err := walk.add(Name(name)); err != nil {
			return nil, err
		}
	}
	return walk.order, nil
}

const (
	begun = 1
	done  = 2
)

type resolution struct {
	set   *Set
	state map[string]int
	order []string
}

func (r *resolution) add(name string) error {
	if r.state[name] == done || r.set.Builtin[name] {
		return nil
	}
	if r.state[name] == begun {
		return fmt.Errorf("the module %s depends on itself", name)
	}
	r.state[name] = begun
	file, err := r.set.Read(name)
	if err != nil {
		return err
	}
	if file == nil {
		return fmt.Errorf("the kernel has no module %s", name)
	}
	needs, err := depends(file)
	if err != nil {
		return fmt.Errorf("the module %s: %w", name, err)
	}
	for _, need := range needs {
		if err := r.add(Name(need)); err != nil {
			return err
		}
	}
	r.state[name] = done
	r.order = append(r.order, name)
	return nil
}

// depends reads the comma-separated list that Linux's modpost leaves in the section .modinfo (NUL-separated key=value).
func depends(file []byte) ([]string, error) {
	object, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	defer object.Close()
	section := object.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for _, entry := range strings.Split(string(info), "\x00") {
		if list, found := strings.CutPrefix(entry, "depends="); found && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
