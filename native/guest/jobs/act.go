package jobs

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guest/link"
	"pyro/native/wire"
)

// patience is how long a supervisor may need, beyond the grace, to end a tree; then init does it itself.
const patience = 10 * time.Second

// stdinWait is how long one write waits for a process that does not read.
const stdinWait = 10 * time.Second

// Signal reaches the main process's group.
func (j *Job) Signal(name string) *wire.Error {
	sig := unix.SignalNum(name)
	if sig == 0 {
		return wire.Bad("no signal %q", name)
	}
	j.mu.Lock()
	exited := j.exited
	j.mu.Unlock()
	if exited {
		return wire.Fail(409, "job_exited", "the job has ended")
	}
	_ = j.supervisor.conn.Send(link.Order{Op: "signal", Signal: int(sig)})
	return nil
}

// Kill ends the whole tree and waits for that, also when only survivors are left.
func (j *Job) Kill(grace time.Duration) {
	if j.isEmpty() && j.isFinished() {
		return
	}
	j.mu.Lock()
	if !j.exited {
		j.killed = true
	}
	j.mu.Unlock()
	j.end(grace)
	limit := time.NewTimer(grace + patience + 10*time.Second)
	defer limit.Stop()
	for _, event := range []chan struct{}{j.empty, j.finished} {
		select {
		case <-event:
		case <-limit.C:
			return
		}
	}
}

func (j *Job) timeout() {
	j.mu.Lock()
	late := j.exited
	if !late {
		j.timedOut = true
	}
	j.mu.Unlock()
	if !late {
		j.end(time.Duration(*j.spec.KillGraceMS) * time.Millisecond)
	}
}

// end orders the supervisor to kill the tree. One that does not manage it (stopped, say, by the sandbox's user) is killed
// itself; then the tree falls to init, which sweeps it.
func (j *Job) end(grace time.Duration) {
	if j.isEmpty() {
		return
	}
	s := j.supervisor
	_ = s.conn.Send(link.Order{Op: "kill", GraceMS: grace.Milliseconds()})
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.deadTree || j.escalation != nil {
		return
	}
	j.escalation = time.AfterFunc(grace+patience, func() {
		s.mu.Lock()
		mine := s.owner == j
		s.mu.Unlock()
		if mine && !j.isEmpty() {
			j.manager.pool.reaper.Kill(s.pid, syscall.SIGKILL)
		}
	})
}

// stdin is our end of a job's standard input.
type stdin struct {
	turn   chan struct{} // holds a token while somebody writes
	state  sync.Mutex
	file   *os.File
	closed bool
}

func (in *stdin) open(file *os.File, data []byte, thenClose bool) {
	in.file, in.turn = file, make(chan struct{}, 1)
	if len(data) == 0 {
		return
	}
	in.turn <- struct{}{}
	go func() {
		defer func() { <-in.turn }()
		_, _ = file.Write(data)
		if thenClose {
			in.close()
		}
	}()
}

func (in *stdin) close() {
	in.state.Lock()
	defer in.state.Unlock()
	if in.file != nil && !in.closed {
		in.closed = true
		_ = in.file.Close()
	}
}

// Write gives a job bytes; fewer than all arrive when it does not read them in time.
func (j *Job) Write(data []byte, eof bool) (int, *wire.Error) {
	in := &j.stdin
	late := time.NewTimer(stdinWait)
	defer late.Stop()
	if in.file != nil {
		select {
		case in.turn <- struct{}{}:
			defer func() { <-in.turn }()
		case <-late.C:
			return 0, nil
		}
	}
	in.state.Lock()
	closed := in.file == nil || in.closed
	in.state.Unlock()
	if closed {
		return 0, wire.Fail(409, "stdin_closed", "the job has no open stdin")
	}
	n := 0
	if len(data) > 0 {
		_ = in.file.SetWriteDeadline(time.Now().Add(stdinWait))
		var err error
		n, err = in.file.Write(data)
		_ = in.file.SetWriteDeadline(time.Time{})
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			in.close()
			return n, wire.Fail(409, "stdin_closed", "the job closed its stdin")
		}
	}
	if eof && n == len(data) {
		in.close()
	}
	return n, nil
}

// Output reads a stream: the offset of the first byte, and the bytes, which lie in into.
func (j *Job) Output(stream int, cursor uint64, into []byte) (uint64, []byte, *wire.Error) {
	first, data, err := j.streams[stream].Read(cursor, into)
	if err == nil {
		return first, data, nil
	}
	if status := j.stream(stream); cursor > status.End {
		return 0, nil, wire.Fail(400, "bad_cursor", "cursor %d is beyond the end %d", cursor, status.End)
	}
	return 0, nil, wire.Fail(500, "spool_damaged", "the output can't be read: %v", err)
}

// Inline is the beginning of both streams.
func (j *Job) Inline(max int) *wire.Inline {
	_, out, _ := j.streams[0].Read(0, make([]byte, min(uint64(max), j.streams[0].End())))
	_, err, _ := j.streams[1].Read(0, make([]byte, min(uint64(max), j.streams[1].End())))
	return &wire.Inline{Stdout: append([]byte{}, out...), Stderr: append([]byte{}, err...)}
}

// Stream is what can be read of one stream.
func (j *Job) Stream(i int) wire.StreamStatus { return j.stream(i) }

// KillGrace is the grace of the job's own spec.
func (j *Job) KillGrace() int64 { return *j.spec.KillGraceMS }
