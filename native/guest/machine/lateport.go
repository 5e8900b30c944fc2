package machine

import (
	"net"
	"os"
	"sync"

	"pyro/native/guest/session"
)

// latePort is a port that is waited for by whoever accepts on it.
type latePort struct {
	name string

	once   sync.Once
	port   *session.Port
	failed error

	mu     sync.Mutex
	closed bool
}

func (l *latePort) open() (*session.Port, error) {
	l.once.Do(func() {
		var file *os.File
		if file, l.failed = openPort(l.name); l.failed != nil {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.port = session.Listen(file); l.closed {
			_ = l.port.Close()
		}
	})
	return l.port, l.failed
}

func (l *latePort) Accept() (net.Conn, error) {
	port, err := l.open()
	if err != nil {
		return nil, err
	}
	return port.Accept()
}

func (l *latePort) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.port == nil {
		return nil
	}
	return l.port.Close()
}

func (l *latePort) Addr() net.Addr { return address(l.name) }

type address string

func (a address) Network() string { return "machine" }
func (a address) String() string  { return string(a) }
