package machine

import (
	"fmt"
	"strconv"
	"strings"
)

// Params is what the kernel command line tells the machine, in words of the form pyro.NAME=VALUE:
//
//	pyro.mode=run|inspect        inspect writes nothing and runs nothing of the user's
//	pyro.env=DISK                the root environment (erofs); not needed to inspect
//	pyro.base=DISK               the baseline of /workspace (erofs); may be absent
//	pyro.changes=DISK            everything written (ext4)
//	pyro.channel=virtio|vsock    how the host comes in
//	pyro.pids=N                  how many processes the user's commands may be at a time; absent or 0: no bound
//
// A DISK is serial:NAME, by the serial of a virtio-blk device, or /dev/NAME.
type Params struct {
	Inspect            bool
	Env, Base, Changes string
	Vsock              bool
	Pids               int
}

const maxPids = 4 << 20

// Parse reads a command line; words of others are not looked at.
func Parse(line string) (Params, error) {
	var p Params
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		if !strings.HasPrefix(name, "pyro.") {
			continue
		}
		if err := p.set(name, value); err != nil {
			return p, err
		}
	}
	if p.Changes == "" || p.Env == "" && !p.Inspect {
		return p, fmt.Errorf("the kernel command line names no disk in pyro.env or pyro.changes")
	}
	return p, nil
}

func (p *Params) set(name, value string) error {
	switch name {
	case "pyro.mode":
		p.Inspect = value == "inspect"
		if value != "run" && !p.Inspect {
			return fmt.Errorf("%s=%s is neither run nor inspect", name, value)
		}
	case "pyro.channel":
		p.Vsock = value == "vsock"
		if value != "virtio" && !p.Vsock {
			return fmt.Errorf("%s=%s is neither virtio nor vsock", name, value)
		}
	case "pyro.pids":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > maxPids {
			return fmt.Errorf("%s=%s is no number from 0 to %d", name, value, maxPids)
		}
		p.Pids = n
	case "pyro.env", "pyro.base", "pyro.changes":
		if !isDisk(value) {
			return fmt.Errorf("%s=%s is neither serial:NAME nor /dev/NAME", name, value)
		}
		*map[string]*string{"pyro.env": &p.Env, "pyro.base": &p.Base, "pyro.changes": &p.Changes}[name] = value
	default:
		return fmt.Errorf("%s is not known", name)
	}
	return nil
}

func isDisk(value string) bool {
	for _, prefix := range []string{serialPrefix, "/dev/"} {
		if name, ok := strings.CutPrefix(value, prefix); ok {
			return name != "" && name != "." && name != ".." && !strings.Contains(name, "/")
		}
	}
	return false
}
