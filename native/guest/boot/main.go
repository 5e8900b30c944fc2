// Package boot is PID 1 of a sandbox.
package boot

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guest/agent"
	"pyro/native/guest/jobs"
	"pyro/native/guest/past"
	"pyro/native/guest/reap"
	"pyro/native/guest/signals"
	"pyro/native/wire"
)

// socketFD is the listening socket that the host hands in.
const socketFD = 3

// termGrace is what jobs get when the end comes as a signal, which names no grace.
const termGrace = wire.DefaultKillGrace * time.Millisecond

// unblocked says that this is the second start of the same process.
const unblocked = "PYRO_UNBLOCKED"

// Main serves until it is told to stop. --listen and the others exist to run it as an ordinary process.
func Main(args []string) int {
	// First of all: nothing that the runtime left open may reach a job.
	_ = unix.CloseRange(socketFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	unix.CloseOnExec(socketFD)
	flags := flag.NewFlagSet("init", flag.ContinueOnError)
	listen := flags.String("listen", "", "path of a socket to make, instead of taking over descriptor 3")
	spool := flags.String("spool", "/run/pyro/spool", "directory of the spool files")
	self := flags.String("self", "/proc/self/exe", "this binary")
	lease := flags.Duration("lease", 10*time.Second, "how long a reader that went away is waited for")
	confined := flags.Bool("confine", false, "install the seccomp filter of descriptor 4 before anything else")
	if flags.Parse(args) != nil || flags.NArg() > 0 {
		return 2
	}
	if *confined && os.Getenv(unblocked) == "" {
		if err := confine(); err != nil {
			return complain(err)
		}
	}
	if err := unblock(); err != nil {
		return complain(err)
	}
	if err := serve(*listen, jobs.Config{Spool: *spool, Self: *self, Lease: *lease}); err != nil {
		return complain(err)
	}
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "pyro-guest init:", err)
	return 1
}

// unblock starts over with no signal blocked: a mask is handed down to every job, and Go keeps the one it started with.
func unblock() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none, blocked unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &blocked); err != nil || blocked == none {
		return err
	}
	if os.Getenv(unblocked) != "" {
		return nil
	}
	_, _ = unix.FcntlInt(socketFD, unix.F_SETFD, 0)
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), unblocked+"=1"))
}

func serve(path string, config jobs.Config) error {
	if err := os.MkdirAll(config.Spool, 0o700); err != nil {
		return err
	}
	socket, err := listener(path)
	if err != nil {
		return err
	}
	return Serve(Service{Listeners: []net.Listener{agent.Bounded(socket)}, Jobs: &config, Past: &past.Jobs{Dir: config.Spool}})
}

// Service is an agent and where it listens.
type Service struct {
	Listeners []net.Listener
	// Jobs is nil where none run.
	Jobs *jobs.Config
	// Past tells of those that earlier starts ran.
	Past    *past.Jobs
	Machine agent.Machine
	// WarmLate leaves what the first command needs until the first request is answered: the host waits for that one first.
	WarmLate bool
	// Ended is called when all jobs have ended at the host's wish, before it is told so; may be nil.
	Ended func()
}

// warmDelay lets the first answer leave.
const warmDelay = 2 * time.Millisecond

// Serve answers until it is told to stop, by the host or by a signal.
func Serve(service Service) error {
	unix.Umask(0o022)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	silence()
	config := agent.Config{Past: service.Past, Machine: service.Machine}
	reaper := reap.New()
	if service.Jobs != nil {
		config.Jobs = jobs.NewManager(*service.Jobs, reaper)
		if service.WarmLate {
			config.Answered = sync.OnceFunc(func() { time.AfterFunc(warmDelay, config.Jobs.Warm) })
		} else {
			config.Jobs.Warm()
		}
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM, unix.SIGINT)
	signals.Shrug(unix.SIGHUP, unix.SIGPIPE, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	stopped := make(chan struct{})
	var once sync.Once
	config.Stop = func(grace time.Duration) {
		once.Do(func() {
			if config.Jobs != nil {
				config.Jobs.Stop(grace)
			}
			if service.Ended != nil {
				service.Ended()
			}
			close(stopped)
		})
		<-stopped
	}
	server, settle := agent.NewServer(config)
	failed := make(chan error, len(service.Listeners))
	for _, l := range service.Listeners {
		go func() { failed <- server.Serve(l) }()
	}
	select {
	case <-term:
		config.Stop(termGrace)
	case <-stopped:
	case err := <-failed:
		config.Stop(0)
		return err
	}
	settle(2 * time.Second)
	farewell(server)
	return nil
}

// farewell flushes what is written and says goodbye. Peers that keep their connections open are not waited for.
func farewell(server *http.Server) {
	limit, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_ = server.Shutdown(limit)
	_ = server.Close()
}

// silence gives up the console once nothing can go wrong any more that it would have to tell: it is a file on the host
// without a bound, and what inherits it could fill it.
func silence() {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(null)
	for fd := range 3 {
		_ = unix.Dup3(null, fd, 0)
	}
}

func listener(path string) (net.Listener, error) {
	if path != "" {
		_ = os.Remove(path)
		return net.Listen("unix", path)
	}
	file := os.NewFile(socketFD, "socket")
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is no listening socket: %w", socketFD, err)
	}
	return l, nil
}
