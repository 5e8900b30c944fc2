package jobs

import (
	"encoding/json"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guest/link"
	"pyro/native/guest/spool"
	"pyro/native/wire"
)

// Job is one command. Its life: ready (it runs, or was refused), exited (its main process ended), finished (both streams
// are complete), saved (its final status is written), empty (nothing of its tree is left).
type Job struct {
	id       string
	spec     *wire.JobSpec
	manager  *Manager
	leases   *spool.Leases
	streams  [2]*spool.Stream
	drains   [2]*spool.Drain
	draining atomic.Int32
	stdin    stdin
	note     notifier

	ready, prepared, finished, empty, saved chan struct{}

	begun                chan link.Report
	refused              *wire.Error
	supervisor           *supervisor
	started, startedWall time.Time

	mu         sync.Mutex
	pid        int
	exited     bool
	ended      time.Time
	exit       *int
	signal     *string
	timedOut   bool
	killed     bool
	cpuMS      int64
	peak       int64
	survivors  int
	counted    time.Time
	failure    *wire.Error
	timer      *time.Timer
	written    bool
	deadTree   bool
	escalation *time.Timer
}

func (j *Job) isFinished() bool { return isClosed(j.finished) }
func (j *Job) isEmpty() bool    { return isClosed(j.empty) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// report takes the supervisor's word, in order.
func (j *Job) report(r link.Report) {
	switch r.Op {
	case "started":
		j.mu.Lock()
		j.pid = r.Pid
		if j.spec.TimeoutMS > 0 {
			j.timer = time.AfterFunc(time.Duration(j.spec.TimeoutMS)*time.Millisecond, j.timeout)
		}
		j.mu.Unlock()
	case "exited":
		if r.Alone {
			j.emptied()
		}
		j.ends(r, nil)
	case "empty":
		j.mu.Lock()
		j.cpuMS, j.peak = max(j.cpuMS, r.CPUMS), max(j.peak, r.PeakBytes)
		j.mu.Unlock()
		j.emptied()
		j.manager.pool.put(j.supervisor)
		return
	}
	select {
	case j.begun <- r:
	default:
	}
}

// lost: somebody in the sandbox killed the supervisor. Its processes are init's by now.
func (j *Job) lost() {
	if j.isEmpty() {
		return
	}
	select {
	case j.begun <- link.Report{Op: "lost"}:
	default:
	}
	j.manager.sweep()
	// Before its end is told: who hears of that may forget the job at once.
	j.emptied()
	j.ends(link.Report{}, wire.Fail(500, "supervisor_lost", "the supervisor of the job was killed; its processes were ended"))
}

// ends notes the end of the main process, once.
func (j *Job) ends(r link.Report, failure *wire.Error) {
	<-j.prepared
	j.mu.Lock()
	if j.exited {
		j.mu.Unlock()
		return
	}
	j.exited, j.ended, j.failure = true, time.Now(), failure
	j.exit, j.survivors, j.counted = r.Exit, r.Survivors, time.Now()
	if r.Signal != 0 {
		name := signalName(unix.Signal(r.Signal))
		j.signal = &name
	}
	j.cpuMS, j.peak = r.CPUMS, r.PeakBytes
	if j.timer != nil {
		j.timer.Stop()
	}
	j.mu.Unlock()
	j.stdin.close()
	for _, d := range j.drains {
		d.Finish()
	}
	j.finish()
}

func (j *Job) drained() {
	if j.draining.Add(-1) == 0 {
		j.finish()
	}
	j.note.wake()
}

// finish closes the books when the process has ended and both streams have.
func (j *Job) finish() {
	j.mu.Lock()
	done := j.exited && j.draining.Load() == 0 && !j.written
	if done {
		j.written = true
	}
	j.mu.Unlock()
	if !done {
		return
	}
	close(j.finished)
	j.note.wake()
	j.save()
	close(j.saved)
	if ended := j.manager.config.Ended; ended != nil {
		ended()
	}
}

func (j *Job) emptied() {
	j.mu.Lock()
	first := !j.deadTree
	j.deadTree = true
	if j.exited {
		j.survivors = 0
	}
	if j.escalation != nil {
		j.escalation.Stop()
	}
	j.mu.Unlock()
	if first {
		close(j.empty)
	}
}

// save leaves the final status to the host, for the case that nobody asks any more; who asks need not wait for it. Without
// room on the disk it can't.
func (j *Job) save() {
	data, err := json.Marshal(j.Status())
	if err != nil {
		return
	}
	path := j.manager.path(j.id, "json")
	temporary := path + ".tmp"
	if os.WriteFile(temporary, append(data, '\n'), 0o644) != nil || os.Rename(temporary, path) != nil {
		_ = os.Remove(temporary)
	}
}

func signalName(sig unix.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return "SIGRTMIN+" + itoa(int(sig)-34)
}
