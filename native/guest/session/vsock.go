package session

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Vsock listens on a port of the machine's own vsock address, for the host alone.
type Vsock struct {
	file *os.File
	port uint32
}

// ListenVsock makes the listener; vsock(7) has the address family.
func ListenVsock(port uint32) (*Vsock, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}); err == nil {
		err = unix.Listen(fd, 64)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen on vsock port %d: %w", port, err)
	}
	return &Vsock{file: os.NewFile(uintptr(fd), "vsock"), port: port}, nil
}

func (l *Vsock) Accept() (net.Conn, error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	for {
		fd, from := -1, unix.Sockaddr(nil)
		waited := raw.Read(func(listening uintptr) bool {
			fd, from, err = unix.Accept4(int(listening), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return err != unix.EAGAIN
		})
		switch {
		case waited != nil:
			return nil, waited
		case err == unix.EINTR || err == unix.ECONNABORTED:
			continue
		case err != nil:
			return nil, os.NewSyscallError("accept4", err)
		}
		if peer, ok := from.(*unix.SockaddrVM); ok && peer.CID == unix.VMADDR_CID_HOST {
			return &stream{os.NewFile(uintptr(fd), "vsock")}, nil
		}
		_ = unix.Close(fd)
	}
}

func (l *Vsock) Close() error   { return l.file.Close() }
func (l *Vsock) Addr() net.Addr { return address(fmt.Sprintf("vsock:%d", l.port)) }

// stream is a connected socket of a family that package net does not know.
type stream struct{ *os.File }

func (s *stream) LocalAddr() net.Addr  { return address("vsock") }
func (s *stream) RemoteAddr() net.Addr { return address("host") }
