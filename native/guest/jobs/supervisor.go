package jobs

import (
	"os"
	"sync"
	"syscall"
	"time"

	"pyro/native/guest/link"
	"pyro/native/guest/reap"
)

// supervisor is init's view of one supervisor process.
type supervisor struct {
	conn  *link.Conn
	pid   int
	gone  <-chan struct{}
	mu    sync.Mutex
	owner *Job // whose reports these are; nil while it is spare
	dead  bool
}

// pool keeps spare supervisors, so that a command never waits for one to start. A supervisor whose tree is gone is as good
// as new and comes back; one is started ahead only when none came back within a moment.
type pool struct {
	self    string
	cgroup  int
	reaper  *reap.Reaper
	mu      sync.Mutex
	spare   []*supervisor
	pending bool
	closed  bool
	warming chan struct{} // closed when the first is there; nil where none was started ahead
}

const (
	maxSpare   = 4
	spareDelay = 3 * time.Millisecond
)

// warm has the first one started, and lets whoever needs it meanwhile wait for that.
func (p *pool) warm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.warming != nil || p.closed {
		return
	}
	warming := make(chan struct{})
	p.warming = warming
	go func() {
		defer close(warming)
		if s, err := p.start(); err == nil {
			p.put(s)
		}
	}()
}

func (p *pool) get() (*supervisor, error) {
	p.mu.Lock()
	if warming := p.warming; warming != nil && len(p.spare) == 0 {
		p.mu.Unlock()
		<-warming
		p.mu.Lock()
	}
	var s *supervisor
	for n := len(p.spare); n > 0 && s == nil; n-- {
		last := p.spare[n-1]
		p.spare = p.spare[:n-1]
		last.mu.Lock()
		if !last.dead {
			s = last
		}
		last.mu.Unlock()
	}
	p.ensure()
	p.mu.Unlock()
	if s != nil {
		return s, nil
	}
	return p.start()
}

// ensure has a spare started soon unless there is one by then. Called with the lock held.
func (p *pool) ensure() {
	if len(p.spare) > 0 || p.pending || p.closed {
		return
	}
	p.pending = true
	time.AfterFunc(spareDelay, func() {
		p.mu.Lock()
		p.pending = false
		enough := len(p.spare) > 0 || p.closed
		p.mu.Unlock()
		if enough {
			return
		}
		if s, err := p.start(); err == nil {
			p.put(s)
		}
	})
}

// put takes back a supervisor without a job.
func (p *pool) put(s *supervisor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner = nil
	if s.dead || p.closed || len(p.spare) >= maxSpare {
		_ = s.conn.Close() // it leaves when its link ends
		return
	}
	p.spare = append(p.spare, s)
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, s := range p.spare {
		_ = s.conn.Close()
	}
	p.spare = nil
}

func (p *pool) start() (*supervisor, error) {
	conn, theirs, err := link.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer null.Close()
	pid, gone, err := p.reaper.Start(p.self, []string{"pyro-guest", "job"}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{"GOMAXPROCS=2", "GOGC=50", "GOTRACEBACK=none"},
		Files: []uintptr{null.Fd(), null.Fd(), 2, theirs.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, UseCgroupFD: p.cgroup > 0, CgroupFD: p.cgroup},
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	s := &supervisor{conn: conn, pid: pid, gone: gone}
	go p.listen(s)
	return s, nil
}

// listen hands reports to the job they are of.
func (p *pool) listen(s *supervisor) {
	for {
		report, err := s.conn.Receive()
		s.mu.Lock()
		owner := s.owner
		if err != nil {
			s.dead = true
		}
		s.mu.Unlock()
		if err != nil {
			p.bury(s, owner)
			return
		}
		if owner != nil {
			owner.report(report)
		}
	}
}

func (p *pool) bury(s *supervisor, owner *Job) {
	_ = s.conn.Close()
	if owner != nil {
		// Its link is gone but it may not be: what it holds must come to us.
		p.reaper.Kill(s.pid, syscall.SIGKILL)
		select {
		case <-s.gone:
		case <-time.After(patience):
		}
		owner.lost()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, spare := range p.spare {
		if spare == s {
			p.spare = append(p.spare[:i], p.spare[i+1:]...)
			p.ensure()
			return
		}
	}
}

// adopt ties a supervisor to a job; false when it died meanwhile.
func (s *supervisor) adopt(j *Job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner = j
	return !s.dead
}
