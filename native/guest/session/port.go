package session

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// answerTimeout is how long an answer of the handshake waits for a host that takes nothing: it may be gone.
const answerTimeout = time.Second

// Port is a listener on a byte stream that is always there: a virtio-serial port. It has one session at a time; the next one
// begins when the last is closed.
type Port struct {
	file   *os.File
	name   string
	turn   chan struct{} // holds a token while no session uses the port
	closed chan struct{}
	once   sync.Once
}

// Listen takes over a port, which must be non-blocking: deadlines depend on it.
func Listen(file *os.File) *Port {
	p := &Port{file: file, name: file.Name(), turn: make(chan struct{}, 1), closed: make(chan struct{})}
	p.turn <- struct{}{}
	return p
}

// Accept waits for the end of the last session, then for a host that completes the handshake.
func (p *Port) Accept() (net.Conn, error) {
	select {
	case <-p.turn:
	case <-p.closed:
		return nil, net.ErrClosed
	}
	rest, err := p.scan()
	if err != nil {
		return nil, err
	}
	c := &conn{port: p, rest: rest}
	c.left.L = &c.mu
	return c, nil
}

func (p *Port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.file.Close()
}

func (p *Port) Addr() net.Addr { return address(p.name) }

// scan answers the records of the handshake until a session begins; what came with its GO belongs to the session.
func (p *Port) scan() ([]byte, error) {
	buffer := make([]byte, 32<<10)
	var known *nonce
	kept := 0
	for {
		n, err := p.read(buffer[kept:])
		if err != nil {
			return nil, err
		}
		rest := buffer[:kept+n]
		for {
			found, after, ok := next(rest)
			rest = after
			if !ok {
				break
			}
			switch {
			case found.kind == kindSyn:
				// Of repeated ones the last in sight is enough.
				if known = &found.nonce; !another(after, found) {
					p.answer(record{kindAck, found.nonce})
				}
			case found.kind == kindGo && known != nil && *known == found.nonce:
				p.answer(record{kindReady, found.nonce})
				return append([]byte{}, rest...), nil
			}
		}
		kept = copy(buffer, rest)
	}
}

func another(data []byte, of record) bool {
	found, _, ok := next(data)
	return ok && found == of
}

// read waits for bytes. A port whose host is gone says it is at its end, and wakes its readers when a host comes.
func (p *Port) read(into []byte) (int, error) {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	waited := raw.Read(func(fd uintptr) bool {
		for {
			n, err = unix.Read(int(fd), into)
			if err != unix.EINTR {
				break
			}
		}
		return n > 0 || err != nil && err != unix.EAGAIN
	})
	if waited != nil {
		return 0, waited
	}
	return n, err
}

func (p *Port) answer(r record) {
	_ = p.file.SetWriteDeadline(time.Now().Add(answerTimeout))
	_, _ = p.file.Write(r.bytes())
	_ = p.file.SetWriteDeadline(time.Time{})
}

// readAhead is taken at a time: HTTP/2 asks for nine bytes and then for what they announce.
const readAhead = 16 << 10

// conn is one session. Its end leaves the port open, and is complete when nobody is inside a read or a write any more.
type conn struct {
	port   *Port
	rest   []byte // read, and not asked for yet
	buffer [readAhead]byte
	mu     sync.Mutex
	left   sync.Cond
	inside int
	over   bool
}

func (c *conn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.inside++
	}
	return !c.over
}

func (c *conn) leave() {
	c.mu.Lock()
	c.inside--
	c.mu.Unlock()
	c.left.Broadcast()
}

func (c *conn) Read(into []byte) (int, error) {
	if !c.enter() {
		return 0, net.ErrClosed
	}
	defer c.leave()
	if len(c.rest) > 0 {
		n := copy(into, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	if len(into) >= readAhead {
		n, err := c.port.file.Read(into)
		return n, c.reason(err)
	}
	n, err := c.port.file.Read(c.buffer[:])
	c.rest = c.buffer[:n]
	n = copy(into, c.rest)
	c.rest = c.rest[n:]
	return n, c.reason(err)
}

func (c *conn) Write(data []byte) (int, error) {
	if !c.enter() {
		return 0, net.ErrClosed
	}
	defer c.leave()
	n, err := c.port.file.Write(data)
	return n, c.reason(err)
}

// reason tells the deadline that Close sets from one that the user of the connection set.
func (c *conn) reason(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over && errors.Is(err, os.ErrDeadlineExceeded) {
		return net.ErrClosed
	}
	return err
}

func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return net.ErrClosed
	}
	c.over = true
	_ = c.port.file.SetDeadline(time.Unix(1, 0))
	for c.inside > 0 {
		c.left.Wait()
	}
	_ = c.port.file.SetDeadline(time.Time{})
	c.port.turn <- struct{}{}
	return nil
}

func (c *conn) deadline(set func(time.Time) error, at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return net.ErrClosed
	}
	return set(at)
}

func (c *conn) SetDeadline(at time.Time) error { return c.deadline(c.port.file.SetDeadline, at) }
func (c *conn) SetReadDeadline(at time.Time) error {
	return c.deadline(c.port.file.SetReadDeadline, at)
}
func (c *conn) SetWriteDeadline(at time.Time) error {
	return c.deadline(c.port.file.SetWriteDeadline, at)
}
func (c *conn) LocalAddr() net.Addr  { return address(c.port.name) }
func (c *conn) RemoteAddr() net.Addr { return address("host") }

// address is a name, as these streams have no addresses.
type address string

func (a address) Network() string { return "machine" }
func (a address) String() string  { return string(a) }
