package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxWaiting bounds the records without an answer: the next program is refused, it does not queue.
	maxWaiting = 256
	// maxLine bounds a refusal, in bytes.
	maxLine     = 1024
	dialTimeout = 10 * time.Second
)

type record struct {
	ID   uint64 `json:"id"`
	Name string `json:"name"`
}

type refusal struct {
	ID      uint64 `json:"id"`
	Refused string `json:"refused"`
}

// dials is the table of what was asked for and not answered yet.
type dials struct {
	mu      sync.Mutex
	waiting map[uint64]chan any // gets a *conn or an error, once
	next    uint64
	open    int
	records chan record
	// leave ends the stream that is followed now; nil when there is none.
	leave chan struct{}
	// deaf: refusals are not read.
	deaf atomic.Bool
}

func newDials() *dials {
	return &dials{waiting: map[uint64]chan any{}, records: make(chan record, maxWaiting)}
}

// dial asks the host for a connection and waits for its stream.
func (d *dials) dial(name string) (*conn, error) {
	d.mu.Lock()
	if d.leave == nil {
		d.mu.Unlock()
		return nil, errNoHost
	}
	if len(d.waiting) >= maxWaiting {
		d.mu.Unlock()
		return nil, errTooMany
	}
	d.next++
	id, verdict := d.next, make(chan any, 1)
	d.waiting[id] = verdict
	// Never waits: a record in the channel is in the table too, and both hold as many.
	d.records <- record{id, name}
	d.mu.Unlock()
	limit := time.NewTimer(dialTimeout)
	defer limit.Stop()
	select {
	case said := <-verdict:
		if c, ok := said.(*conn); ok {
			return c, nil
		}
		return nil, said.(error)
	case <-limit.C:
	}
	if d.take(id) != nil {
		return nil, errLate
	}
	// Its verdict came in this very moment.
	said := <-verdict
	if c, ok := said.(*conn); ok {
		return c, nil
	}
	return nil, said.(error)
}

// take removes a record: whoever gets it owes it the one verdict.
func (d *dials) take(id uint64) chan any {
	d.mu.Lock()
	defer d.mu.Unlock()
	verdict := d.waiting[id]
	delete(d.waiting, id)
	return verdict
}

// begin makes this stream the one that is followed. The newest host wins; the records of the one before it are refused.
func (d *dials) begin() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leave != nil {
		close(d.leave)
	}
	d.refuseAll()
	d.leave = make(chan struct{})
	return d.leave
}

func (d *dials) end(leave chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leave == leave {
		d.leave = nil
		d.refuseAll()
	}
}

func (d *dials) refuseAll() {
	for id, verdict := range d.waiting {
		verdict <- errNoHost
		delete(d.waiting, id)
	}
	for len(d.records) > 0 {
		<-d.records
	}
}

// follow serves the one long-lived stream: records go out, refusals come in.
func (d *dials) follow(w http.ResponseWriter, r *http.Request) {
	leave := d.begin()
	defer d.end(leave)
	out := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	if out.Flush() != nil {
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		lines := bufio.NewScanner(r.Body)
		lines.Buffer(make([]byte, 0, maxLine), maxLine)
		for lines.Scan() {
			if d.deaf.Load() {
				<-r.Context().Done()
				return
			}
			var said refusal
			if json.Unmarshal(lines.Bytes(), &said) != nil {
				return
			}
			if verdict := d.take(said.ID); verdict != nil {
				verdict <- errors.New(said.Refused)
			}
		}
	}()
	encode := json.NewEncoder(w)
	for {
		select {
		case one := <-d.records:
			if encode.Encode(one) != nil || out.Flush() != nil {
				return
			}
		case <-gone:
			return
		case <-leave:
			return
		}
	}
}

// attach serves the stream of one connection; it is the connection's as long as its program uses it.
func (d *dials) attach(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	verdict := d.take(id)
	if err != nil || verdict == nil {
		http.Error(w, "no such dial", http.StatusNotFound)
		return
	}
	d.count(1)
	defer d.count(-1)
	c := &conn{body: r.Body, w: w, out: http.NewResponseController(w), done: make(chan struct{}), gone: r.Context().Done()}
	w.WriteHeader(http.StatusOK)
	if err := c.out.Flush(); err != nil {
		verdict <- fmt.Errorf("the stream broke: %w", err)
		return
	}
	verdict <- c
	// A program sees the host's end in its next read or write; until then stream and writer are its own.
	<-c.done
}

func (d *dials) count(by int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open += by
}

// conn is a program's connection.
type conn struct {
	body io.ReadCloser
	w    http.ResponseWriter
	out  *http.ResponseController
	done chan struct{}
	// gone: the host's end of the stream is.
	gone <-chan struct{}
}

// Read ends with the host: what came before would be read to its end first, and a slow program takes its time.
func (c *conn) Read(p []byte) (int, error) {
	select {
	case <-c.gone:
		return 0, io.ErrUnexpectedEOF
	default:
		return c.body.Read(p)
	}
}

func (c *conn) Write(p []byte) (int, error) { return c.w.Write(p) }

func (c *conn) close() { close(c.done) }

// send writes and does not keep.
func (c *conn) send(p []byte) error {
	if _, err := c.w.Write(p); err != nil {
		return err
	}
	return c.out.Flush()
}
