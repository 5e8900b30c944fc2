package link

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is init's end. It never blocks a thread, and no supervisor can hold it up for longer than its deadline.
type Conn struct {
	sock *net.UnixConn
	in   *bufio.Reader
	mu   sync.Mutex
}

// Pair makes a link; the file is the supervisor's end.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "link"), os.NewFile(uintptr(fds[1]), "link")
	defer ours.Close()
	sock, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return &Conn{sock: sock.(*net.UnixConn), in: bufio.NewReaderSize(sock, 512)}, theirs, nil
}

func (c *Conn) Send(order Order, fds ...int) error {
	data, err := encode(order)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.sock.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	n, _, err := c.sock.WriteMsgUnix(data, rights, nil)
	if err != nil {
		return err
	}
	if n < len(data) {
		_, err = c.sock.Write(data[n:])
	}
	return err
}

func (c *Conn) Receive() (Report, error) {
	var report Report
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return report, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > 64<<10 {
		return report, errTooLong
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return report, err
	}
	return report, json.Unmarshal(body, &report)
}

func (c *Conn) Close() error { return c.sock.Close() }
