package wire

import (
	"os"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
)

// Listen makes a unix socket, in place of one that was left there. Its mode is set while it does not listen yet, so
// that nobody else ever connects to it.
func Listen(path string) (*os.File, error) {
	if len(path) > 104 {
		return nil, fault.New("bad_path", path, "the socket's path is longer than 104 bytes")
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fault.From(err, "making a socket for", path)
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
		if err = unix.Chmod(path, 0o600); err == nil {
			err = unix.Listen(fd, 64)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, fault.From(err, "listening on", path)
	}
	return os.NewFile(uintptr(fd), path), nil
}
