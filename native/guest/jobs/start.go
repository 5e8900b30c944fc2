package jobs

import (
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guest/link"
	"pyro/native/guest/spool"
	"pyro/native/guest/users"
	"pyro/native/wire"
)

const (
	startTimeout = 20 * time.Second
	defaultPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// pipes are the ends of a job's stdio: ours never block a thread, its own are as a program expects them.
type pipes struct {
	ours   [3]*os.File // stdin, stdout, stderr
	theirs [3]int      // stdout, stderr, stdin
	count  int
}

func (p *pipes) close() {
	for _, f := range p.ours {
		if f != nil {
			_ = f.Close()
		}
	}
	p.closeTheirs()
}

func (p *pipes) closeTheirs() {
	for _, fd := range p.theirs[:p.count] {
		_ = unix.Close(fd)
	}
	p.count = 0
}

func (p *pipes) add(slot, ours, theirs int) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	p.theirs[p.count] = fds[theirs]
	p.count++
	_ = unix.SetNonblock(fds[ours], true)
	p.ours[slot] = os.NewFile(uintptr(fds[ours]), "job")
	return nil
}

func (j *Job) openPipes() (*pipes, error) {
	p := &pipes{}
	err := p.add(1, 0, 1)
	if err == nil {
		err = p.add(2, 0, 1)
	}
	if err == nil && j.hasStdin() {
		err = p.add(0, 1, 0)
	}
	if err != nil {
		p.close()
	}
	return p, err
}

func (j *Job) hasStdin() bool { return j.spec.Stdin == "pipe" || len(j.spec.StdinData) > 0 }

// start returns when the command runs, or has already ended.
func (j *Job) start() *wire.Error {
	user, cwd, refused := lookup(j.spec)
	if refused != nil {
		return refused
	}
	p, err := j.openPipes()
	if err != nil {
		return wire.Fail(503, "no_resources", "%v", err)
	}
	sup, err := j.manager.pool.get()
	if err != nil {
		p.close()
		return wire.Fail(503, "no_resources", "can't start a supervisor: %v", err)
	}
	j.begun, j.supervisor = make(chan link.Report, 1), sup
	j.started, j.startedWall = time.Now(), time.Now()
	env, path := environment(j.spec.Env, user)
	order := link.Order{Op: "run", Run: &link.Run{
		Argv: j.spec.Argv, Env: env, Path: path, Cwd: cwd, UID: user.UID, GID: user.GID, Groups: user.Groups,
		As: os.Geteuid() == 0 || int(user.UID) != os.Getuid(), Stdin: j.hasStdin(),
	}}
	alive := sup.adopt(j)
	if alive {
		err = sup.conn.Send(order, p.theirs[:p.count]...)
	}
	p.closeTheirs()
	if !alive || err != nil {
		p.close()
		sup.conn.Close()
		return wire.Fail(503, "supervisor_lost", "the supervisor died; try again")
	}
	j.prepare(p)
	return j.await()
}

// prepare makes the spool files while the supervisor starts the command.
func (j *Job) prepare(p *pipes) {
	if j.spec.Attach {
		zero := uint64(0)
		j.leases.Poll("", &zero, &zero)()
	}
	for i, ext := range []string{"out", "err"} {
		j.streams[i] = j.manager.shelf.Create(j.manager.path(j.id, ext), uint64(j.spec.SpoolBytes))
	}
	j.draining.Store(2)
	for i := range j.streams {
		j.drains[i], _ = spool.Start(j.streams[i], p.ours[i+1], j.leases.Of(i), j.note.wake, j.drained)
	}
	if p.ours[0] != nil {
		j.stdin.open(p.ours[0], j.spec.StdinData, j.spec.Stdin != "pipe" || len(j.spec.StdinData) > 0 && !j.spec.StdinOpen)
	}
	close(j.prepared)
}

func (j *Job) await() *wire.Error {
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	var refused *wire.Error
	select {
	case report := <-j.begun:
		switch report.Op {
		case "started", "exited":
			return nil
		case "failed":
			refused = refusal(report)
			j.manager.pool.put(j.supervisor)
		default:
			refused = wire.Fail(503, "supervisor_lost", "the supervisor died; try again")
		}
	case <-timer.C:
		refused = wire.Fail(503, "supervisor_lost", "the supervisor does not answer")
		_ = j.supervisor.conn.Close()
	}
	j.stdin.close()
	for i, s := range j.streams {
		j.drains[i].Finish()
		_ = s.Remove()
	}
	return refused
}

func refusal(report link.Report) *wire.Error {
	if report.Code == "no_resources" || report.Code == "internal" {
		return wire.Fail(503, report.Code, "%s", report.Message)
	}
	return wire.Fail(400, report.Code, "%s", report.Message)
}

// environment is the defaults and, above them, what was asked for; with it the PATH that a command is looked up in.
func environment(asked map[string]string, user users.User) ([]string, string) {
	name := user.Name
	if name == "" {
		name = strconv.FormatUint(uint64(user.UID), 10)
	}
	all := map[string]string{
		"PATH": defaultPath, "HOME": user.Home, "USER": name, "LOGNAME": name, "LANG": "C.UTF-8", "TERM": "dumb",
	}
	for k, v := range asked {
		all[k] = v
	}
	env := make([]string, 0, len(all))
	for k, v := range all {
		env = append(env, k+"="+v)
	}
	slices.Sort(env)
	return env, all["PATH"]
}
