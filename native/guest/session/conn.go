package session

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	// readAhead is taken at a time: HTTP/2 asks for nine bytes and then for what they announce.
	readAhead = 16 << 10
	// writeBehind bounds what waits to be written; a piece that is larger waits for it and is written by itself.
	writeBehind = 64 << 10
	// lastWords is how long the end of a session waits for what was written before it.
	lastWords = 200 * time.Millisecond
)

// conn is one session. Its end leaves the port open, and is complete when nobody is inside a read or a write any more.
//
// What is written goes out behind the writer's back: an answer is several small writes, each of which would stop the machine
// to tell the host of it.
type conn struct {
	port   *Port
	rest   []byte // read, and not asked for yet
	buffer [readAhead]byte

	mu      sync.Mutex
	change  sync.Cond
	inside  int  // calls under way, the writer among them
	over    bool // Close was called
	gone    bool // the host is
	out     []byte
	writing bool
	failure error // of writing
}

func newConn(p *Port, rest []byte) *conn {
	c := &conn{port: p, rest: rest, inside: 1}
	c.change.L = &c.mu
	go c.write()
	return c
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
	c.change.Broadcast()
}

func (c *conn) Read(into []byte) (int, error) {
	if !c.enter() {
		return 0, net.ErrClosed
	}
	defer c.leave()
	if len(c.rest) == 0 {
		if len(into) >= readAhead {
			return c.read(into)
		}
		n, err := c.read(c.buffer[:])
		if err != nil {
			return 0, err
		}
		c.rest = c.buffer[:n]
	}
	n := copy(into, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *conn) read(into []byte) (int, error) {
	n, err := c.port.file.Read(into)
	if err == io.EOF {
		c.mu.Lock()
		c.gone = true
		c.mu.Unlock()
		c.change.Broadcast()
	}
	return n, c.reason(err)
}

// Write fails with what an earlier one met. It waits, within the deadline, only where much is waiting already.
func (c *conn) Write(data []byte) (int, error) {
	if !c.enter() {
		return 0, net.ErrClosed
	}
	defer c.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) > 0 && len(c.out)+len(data) > writeBehind || len(data) > writeBehind && c.writing {
		if c.over || c.failure != nil {
			break
		}
		c.change.Wait()
	}
	switch {
	case c.over:
		return 0, net.ErrClosed
	case c.failure != nil:
		return 0, c.failure
	case len(data) <= writeBehind:
		c.out = append(c.out, data...)
		c.change.Broadcast()
		return len(data), nil
	}
	c.writing = true
	c.mu.Unlock()
	n, err := c.port.file.Write(data)
	err = c.reason(err)
	c.mu.Lock()
	c.wrote(err)
	return n, err
}

// write takes what has come together since the last time.
func (c *conn) write() {
	defer c.leave()
	var batch []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for (len(c.out) == 0 || c.writing) && !c.over {
			c.change.Wait()
		}
		if c.over {
			return
		}
		// Who wrote this is about to write more.
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		if c.writing {
			continue
		}
		batch, c.out = c.out, batch[:0]
		c.writing = true
		c.mu.Unlock()
		_, err := c.port.file.Write(batch)
		err = c.reason(err)
		c.mu.Lock()
		c.wrote(err)
	}
}

func (c *conn) wrote(err error) {
	c.writing = false
	if c.failure == nil {
		c.failure = err
	}
	c.change.Broadcast()
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
	c.drain()
	if c.over {
		return net.ErrClosed
	}
	c.over = true
	c.change.Broadcast()
	_ = c.port.file.SetDeadline(time.Unix(1, 0))
	for c.inside > 0 {
		c.change.Wait()
	}
	_ = c.port.file.SetDeadline(time.Time{})
	c.port.turn <- struct{}{}
	return nil
}

// drain waits for what was written to leave, where somebody may take it.
func (c *conn) drain() {
	late := false
	timer := time.AfterFunc(lastWords, func() {
		c.mu.Lock()
		late = true
		c.mu.Unlock()
		c.change.Broadcast()
	})
	defer timer.Stop()
	for (len(c.out) > 0 || c.writing) && c.failure == nil && !c.gone && !c.over && !late {
		c.change.Wait()
	}
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
