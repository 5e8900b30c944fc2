package jobs

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"pyro/native/guest/proc"
	"pyro/native/wire"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Status is what is known now.
func (j *Job) Status() wire.JobStatus {
	j.recount()
	j.mu.Lock()
	defer j.mu.Unlock()
	s := wire.JobStatus{
		ID: j.id, State: wire.StateRunning, Pid: j.pid, StartedAtMS: j.startedWall.UnixMilli(),
		ExitCode: j.exit, Signal: j.signal, TimedOut: j.timedOut, Killed: j.killed,
		CPUMS: j.cpuMS, PeakMemoryBytes: j.peak, Error: j.failure, Survivors: j.survivors,
		DurationMS: time.Since(j.started).Milliseconds(),
	}
	if j.exited {
		s.DurationMS = j.ended.Sub(j.started).Milliseconds()
		ended := s.StartedAtMS + s.DurationMS
		s.EndedAtMS = &ended
	}
	if j.isFinished() {
		s.State = wire.StateExited
	}
	s.Stdout, s.Stderr = j.stream(0), j.stream(1)
	for i, name := range []string{"stdout", "stderr"} {
		if lost, why := j.streams[i].Lost(); why != "" && s.Error == nil && lost > 0 {
			s.Error = &wire.Error{Code: why, Message: fmt.Sprintf("%d bytes of %s could not be stored", lost, name)}
		}
	}
	return s
}

func (j *Job) stream(i int) wire.StreamStatus {
	s := j.streams[i]
	eof := s.EOF() // before end: once it is set, end stands still
	end := s.End()
	return wire.StreamStatus{Start: min(s.Start(), end), End: end, EOF: eof}
}

// recount looks how many processes an ended job still has, not more often than ten times a second.
func (j *Job) recount() {
	j.mu.Lock()
	due := j.exited && !j.deadTree && time.Since(j.counted) > 100*time.Millisecond
	if due {
		j.counted = time.Now()
	}
	j.mu.Unlock()
	if !due {
		return
	}
	alive := len(proc.Below(j.supervisor.pid, nil))
	j.mu.Lock()
	if !j.deadTree {
		j.survivors = alive
	}
	j.mu.Unlock()
}

// Cursors are what a poller has seen; nil for a stream it does not follow.
type Cursors struct{ Stdout, Stderr *uint64 }

func (c Cursors) check(j *Job) *wire.Error {
	for i, cursor := range []*uint64{c.Stdout, c.Stderr} {
		if cursor != nil && *cursor > j.streams[i].End() {
			return wire.Fail(400, "bad_cursor", "cursor %d is beyond the end", *cursor)
		}
	}
	return nil
}

func (c Cursors) passed(j *Job) bool {
	for i, cursor := range []*uint64{c.Stdout, c.Stderr} {
		if cursor != nil && j.streams[i].End() > *cursor {
			return true
		}
	}
	return false
}

// Poll waits until the job is finished, there is something beyond the cursors, or the time is over. An attached reader's
// cursors acknowledge what it has read.
func (j *Job) Poll(ctx context.Context, c Cursors, wait time.Duration, reader *string) (wire.JobStatus, *wire.Error) {
	if err := c.check(j); err != nil {
		return wire.JobStatus{}, err
	}
	if reader != nil {
		defer j.leases.Poll(*reader, c.Stdout, c.Stderr)()
	}
	if wait > 0 {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		j.note.until(ctx, func() bool { return j.isFinished() || c.passed(j) })
	}
	return j.Status(), nil
}

// notifier wakes those that wait for a change. Nobody waiting costs a writer one load; any number of changes between two
// looks of a waiter are one wake-up.
type notifier struct {
	waiters atomic.Int32
	mu      sync.Mutex
	changed chan struct{}
}

func (n *notifier) wake() {
	if n.waiters.Load() == 0 {
		return
	}
	n.mu.Lock()
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
	n.mu.Unlock()
}

func (n *notifier) until(ctx context.Context, met func() bool) {
	n.waiters.Add(1)
	defer n.waiters.Add(-1)
	for {
		n.mu.Lock()
		if n.changed == nil {
			n.changed = make(chan struct{})
		}
		changed := n.changed
		n.mu.Unlock()
		if met() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
