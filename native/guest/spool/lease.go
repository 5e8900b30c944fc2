package spool

import (
	"sync"
	"time"
)

// maxReaders bounds the attached readers of one job.
const maxReaders = 16

// Leases are the attached readers of a job: while the lease of one lasts, no byte that it has not acknowledged is
// overwritten. A lease lasts for a while after the reader's last poll, and as long as it polls.
type Leases struct {
	length  time.Duration
	mu      sync.Mutex
	readers map[string]*reader
	changed chan struct{}
}

type reader struct {
	ack   [2]uint64
	polls int
	until time.Time // monotonic
}

func NewLeases(length time.Duration) *Leases {
	return &Leases{length: length, readers: map[string]*reader{}, changed: make(chan struct{})}
}

// Poll acknowledges what a reader has read (nil: says nothing of that stream) and holds its lease until the returned func
// is called, and a lease's length from then on.
func (l *Leases) Poll(name string, stdout, stderr *uint64) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.readers[name]
	if r == nil || r.polls == 0 && time.Now().After(r.until) {
		l.forget()
		if len(l.readers) >= maxReaders {
			return func() {}
		}
		r = &reader{}
		l.readers[name] = r
	}
	for i, ack := range []*uint64{stdout, stderr} {
		if ack != nil {
			r.ack[i] = *ack
		}
	}
	r.polls++
	l.wake()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		r.polls--
		r.until = time.Now().Add(l.length)
	}
}

func (l *Leases) forget() {
	for name, r := range l.readers {
		if r.polls == 0 && time.Now().After(r.until) {
			delete(l.readers, name)
		}
	}
}

func (l *Leases) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Of is the gate of one stream, 0 stdout and 1 stderr.
func (l *Leases) Of(stream int) Gate { return gate{l, stream} }

type gate struct {
	leases *Leases
	stream int
}

func (g gate) Floor() (floor uint64, held bool, changed <-chan struct{}, until time.Time) {
	l := g.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for name, r := range l.readers {
		if r.polls > 0 {
			r.until = now.Add(l.length)
		}
		if now.After(r.until) {
			delete(l.readers, name)
			continue
		}
		if !held || r.ack[g.stream] < floor {
			floor, held = r.ack[g.stream], true
		}
		if until.IsZero() || r.until.Before(until) {
			until = r.until
		}
	}
	return floor, held, l.changed, until.Add(time.Millisecond)
}
