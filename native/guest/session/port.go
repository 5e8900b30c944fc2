package session

import (
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
	return newConn(p, rest), nil
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
