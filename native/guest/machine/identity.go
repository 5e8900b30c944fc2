package machine

import (
	"encoding/binary"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
	"pyro/native/wire"
)

// Identify gives the machine a name, a clock and randomness of its own. It can be done again at any time.
func (m *machine) Identify(as wire.Identity) error {
	if as.NowMS > 0 {
		now := unix.NsecToTimespec(as.NowMS * 1e6)
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
			return fault.From(err, "setting the clock", "")
		}
	}
	if len(as.Entropy) > 0 {
		if err := stir(as.Entropy); err != nil {
			return fault.From(err, "adding entropy", "")
		}
	}
	if as.Hostname != "" {
		if err := unix.Sethostname([]byte(as.Hostname)); err != nil {
			return fault.From(err, "setting the hostname", "")
		}
	}
	if as.MachineID != "" && !m.params.Inspect {
		writeMachineID(as.MachineID)
	}
	return nil
}

// writeMachineID does nothing where the environment has made something else of it: machine-id(5).
func writeMachineID(id string) {
	const path = "/etc/machine-id"
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o444)
	if err != nil {
		return
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || file.Truncate(0) != nil {
		return
	}
	_, _ = file.WriteString(id + "\n")
}

// stir credits the bytes to the random pool and makes the generator use them at once: random(4).
func stir(entropy []byte) error {
	file, err := os.OpenFile("/dev/urandom", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	// struct rand_pool_info: the number of bits, the number of bytes, the bytes.
	pool := binary.NativeEndian.AppendUint32(nil, uint32(len(entropy)*8))
	pool = binary.NativeEndian.AppendUint32(pool, uint32(len(entropy)))
	pool = append(pool, entropy...)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&pool[0])))
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, file.Fd(), unix.RNDRESEEDCRNG, 0)
	}
	if errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}
