// Package jobs is the table of a sandbox's jobs and the life of each.
package jobs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"pyro/native/guest/proc"
	"pyro/native/guest/reap"
	"pyro/native/guest/spool"
	"pyro/native/guest/users"
	"pyro/native/wire"
)

// maxJobs bounds what is remembered, maxRunning what runs at once.
const (
	maxJobs    = 4096
	maxRunning = 512
)

type Config struct {
	Spool string        // directory of the spool files
	Self  string        // the binary that supervisors run
	Lease time.Duration // how long a reader that went away is waited for
	// Prepare is waited for before anything of a job is made, and says what open control group (v2) supervisors, and with
	// them all jobs, are started into; nil: there is nothing to wait for, and it is init's own.
	Prepare func() (cgroup int)
	// Ended is called after each job whose books are closed; it must not block.
	Ended func()
}

type Manager struct {
	config   Config
	pool     *pool
	shelf    *spool.Shelf
	mu       sync.Mutex
	jobs     map[string]*Job
	stopping bool
	sweeping sync.Mutex
	prepared sync.Once
}

func NewManager(config Config, reaper *reap.Reaper) *Manager {
	m := &Manager{config: config, jobs: map[string]*Job{}, shelf: spool.NewShelf(config.Spool)}
	m.pool = &pool{self: config.Self, reaper: reaper}
	return m
}

// Warm makes ready, beside what the caller goes on with, what the first command would wait for: a supervisor and files.
func (m *Manager) Warm() {
	m.prepare()
	m.pool.warm()
	go m.shelf.Fill()
}

// prepare comes before the first use of the pool and the shelf.
func (m *Manager) prepare() {
	m.prepared.Do(func() {
		if m.config.Prepare != nil {
			m.pool.cgroup = m.config.Prepare()
		}
		m.shelf.Clean()
	})
}

// Create starts a job, or finds the one that was started by this id before. It returns when the command runs or ran.
func (m *Manager) Create(spec *wire.JobSpec) (*Job, *wire.Error) {
	m.prepare()
	m.mu.Lock()
	if j := m.jobs[spec.ID]; j != nil {
		m.mu.Unlock()
		<-j.ready
		return j, j.refused
	}
	if err := m.admit(); err != nil {
		m.mu.Unlock()
		return nil, err
	}
	j := &Job{
		id: spec.ID, spec: spec, manager: m, leases: spool.NewLeases(m.config.Lease),
		ready: make(chan struct{}), prepared: make(chan struct{}), finished: make(chan struct{}), empty: make(chan struct{}),
		saved: make(chan struct{}),
	}
	m.jobs[spec.ID] = j
	m.mu.Unlock()
	if err := j.start(); err != nil {
		j.refused = err
		m.mu.Lock()
		delete(m.jobs, spec.ID)
		m.mu.Unlock()
	}
	close(j.ready)
	return j, j.refused
}

func (m *Manager) admit() *wire.Error {
	if m.stopping {
		return wire.Fail(503, "stopping", "the sandbox is stopping")
	}
	running := 0
	for _, j := range m.jobs {
		if !j.isFinished() {
			running++
		}
	}
	if len(m.jobs) >= maxJobs || running >= maxRunning {
		return wire.Fail(429, "too_many_jobs", "%d jobs run and %d are remembered: delete some", running, len(m.jobs))
	}
	return nil
}

func (m *Manager) Find(id string) (*Job, *wire.Error) {
	m.mu.Lock()
	j := m.jobs[id]
	m.mu.Unlock()
	if j != nil {
		<-j.ready
	}
	if j == nil || j.refused != nil {
		return nil, wire.Fail(404, "job_not_found", "no job %q", id)
	}
	return j, nil
}

func (m *Manager) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.jobs)
}

// all are the jobs that started, by age.
func (m *Manager) all() []*Job {
	m.mu.Lock()
	list := make([]*Job, 0, len(m.jobs))
	for _, j := range m.jobs {
		list = append(list, j)
	}
	m.mu.Unlock()
	list = slices.DeleteFunc(list, func(j *Job) bool { <-j.ready; return j.refused != nil })
	slices.SortFunc(list, func(a, b *Job) int {
		if by := a.started.Compare(b.started); by != 0 {
			return by
		}
		return strings.Compare(a.id, b.id)
	})
	return list
}

func (m *Manager) List() wire.JobList {
	list := wire.JobList{Jobs: []wire.JobStatus{}}
	for _, j := range m.all() {
		list.Jobs = append(list.Jobs, j.Status())
	}
	return list
}

// Remove forgets a job of which nothing is left, and its files.
func (m *Manager) Remove(id string) *wire.Error {
	j, err := m.Find(id)
	if err != nil {
		return err
	}
	if !j.isFinished() || !j.isEmpty() {
		return wire.Fail(409, "job_running", "processes of job %q are alive: kill it first", id)
	}
	<-j.saved
	m.mu.Lock()
	delete(m.jobs, id)
	m.mu.Unlock()
	for _, s := range j.streams {
		_ = s.Remove()
	}
	_ = os.Remove(m.path(id, "json"))
	return nil
}

// Stop ends every job, all at once: a request, the grace, force. Nothing starts any more from here on.
func (m *Manager) Stop(grace time.Duration) {
	m.mu.Lock()
	m.stopping = true
	m.mu.Unlock()
	var all sync.WaitGroup
	for _, j := range m.all() {
		all.Go(func() {
			j.Kill(grace)
			if j.isFinished() {
				<-j.saved
			}
		})
	}
	all.Wait()
	m.pool.close()
	m.shelf.Close()
}

// sweep ends the orphans that a dead supervisor left to init: all of init's children that it didn't start itself.
func (m *Manager) sweep() {
	m.sweeping.Lock()
	defer m.sweeping.Unlock()
	self := os.Getpid()
	proc.Kill(func() []proc.Process { return proc.Below(self, m.pool.reaper.Ours()) }, 0, 5*time.Second, nil)
}

func (m *Manager) path(id, ext string) string { return filepath.Join(m.config.Spool, id+"."+ext) }

// lookup checks where and as whom a job shall run.
func lookup(spec *wire.JobSpec) (users.User, string, *wire.Error) {
	user, ok := users.Lookup(spec.User, "")
	if !ok {
		return user, "", wire.Fail(400, "user_not_found", "no user %q", spec.User)
	}
	cwd := spec.Cwd
	if cwd == "" {
		cwd = "/"
	}
	if info, err := os.Stat(cwd); err != nil || !info.IsDir() {
		return user, "", wire.Fail(400, "cwd_not_found", "no directory %s", cwd)
	}
	return user, cwd, nil
}
