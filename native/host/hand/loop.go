// Package hand is the host's file hand: it does what the engine asks for on its standard input, inside the
// holder's namespaces, and ends with its connection.
package hand

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/wire"
	"pyro/native/layer/fault"
)

const (
	maxInFlight  = 256
	leaveTimeout = 10 * time.Second
)

// Main serves the connection on standard input and output.
func Main(args []string) int {
	if len(args) != 0 {
		fmt.Fprintln(os.Stderr, "hand takes no arguments")
		return 2
	}
	connection, err := takeConnection()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hand:", err)
		return 1
	}
	// SIGTERM comes when the holder dies. Closing the read side makes it the same as the engine's leaving.
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, unix.SIGTERM, unix.SIGHUP, unix.SIGINT)
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	ended := make(chan struct{})
	server := newServer(connection.out, operations)
	go func() {
		server.read(connection.in)
		close(ended)
	}()
	select {
	case <-ended:
	case <-terminated:
	}
	if !server.leave(leaveTimeout) {
		return 1
	}
	return 0
}

type pair struct{ in, out *os.File }

// takeConnection moves the connection away from descriptors 0 and 1: no child may inherit it by accident, and
// a write to a broken descriptor 1 would kill a Go program.
func takeConnection() (pair, error) {
	var result pair
	for i, target := range []**os.File{&result.in, &result.out} {
		fd, err := unix.FcntlInt(uintptr(i), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return result, err
		}
		*target = os.NewFile(uintptr(fd), "connection")
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return result, err
	}
	defer unix.Close(null)
	for i := range 2 {
		if err := unix.Dup2(null, i); err != nil {
			return result, err
		}
	}
	return result, nil
}

type server struct {
	table   map[string]operation
	out     io.Writer
	writing sync.Mutex
	lock    sync.Mutex
	running map[int64]context.CancelFunc
	leaving bool
	tasks   sync.WaitGroup
	base    context.Context
	stop    context.CancelFunc
}

func newServer(out io.Writer, table map[string]operation) *server {
	base, stop := context.WithCancel(context.Background())
	return &server{table: table, out: out, running: map[int64]context.CancelFunc{}, base: base, stop: stop}
}

// read serves lines until the end of input, or until a line that makes the rest unreadable.
func (s *server) read(in io.Reader) {
	reader := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := wire.ReadLine(reader)
		if errors.Is(err, wire.ErrLineTooLong) {
			s.send(wire.Answer{Error: fault.New("protocol_error", "", "%v", err)})
		}
		if err != nil {
			return
		}
		var request wire.Request
		if err := wire.Strict(line, &request); err != nil {
			s.send(wire.Answer{Error: fault.New("protocol_error", "", "a line is not a request: %v", err)})
			return
		}
		s.take(request)
	}
}

func (s *server) take(request wire.Request) {
	if request.Cancel != nil {
		s.lock.Lock()
		if cancel := s.running[*request.Cancel]; cancel != nil {
			cancel()
		}
		s.lock.Unlock()
		return
	}
	if request.ID == nil {
		s.send(wire.Answer{Error: fault.New("protocol_error", "", "a request has no id")})
		return
	}
	id := *request.ID
	refuse := func(code string, format string, args ...any) {
		s.send(wire.Answer{ID: id, Error: fault.New(code, "", format, args...)})
	}
	run, known := s.table[request.Op]
	if !known {
		refuse("unknown_op", "there is no operation %.100q", request.Op)
		return
	}
	ctx, cancel := context.WithCancel(s.base)
	s.lock.Lock()
	_, duplicate := s.running[id]
	busy := len(s.running) >= maxInFlight
	if !duplicate && !busy && !s.leaving {
		s.running[id] = cancel
		s.tasks.Add(1)
		s.lock.Unlock()
		go s.run(ctx, id, run, request.Args)
		return
	}
	s.lock.Unlock()
	cancel()
	if duplicate {
		refuse("duplicate_id", "request %d is still running", id)
	} else {
		s.send(wire.Answer{ID: id, Error: fault.Retry("busy", "", "more than %d requests at once", maxInFlight)})
	}
}

func (s *server) run(ctx context.Context, id int64, run operation, args json.RawMessage) {
	defer s.tasks.Done()
	result, err := s.guarded(ctx, id, run, args)
	s.lock.Lock()
	s.running[id]()
	delete(s.running, id)
	s.lock.Unlock()
	if err != nil {
		s.send(wire.Answer{ID: id, Error: fault.From(err, "the operation failed", "")})
		return
	}
	s.send(wire.Answer{ID: id, Result: result})
}

// guarded turns a panic, which would take every other request along, into an error of its own request.
func (s *server) guarded(ctx context.Context, id int64, run operation, args json.RawMessage) (result any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			fmt.Fprintf(os.Stderr, "hand: %v\n%s", cause, debug.Stack())
			err = fault.New("internal", "", "the hand failed: %v", cause)
		}
	}()
	call := &call{args: args, progress: s.progress(id)}
	return run(ctx, call)
}

// progress reports at most ten times a second.
func (s *server) progress(id int64) func(any) {
	var lock sync.Mutex
	var last time.Time
	return func(value any) {
		lock.Lock()
		defer lock.Unlock()
		if time.Since(last) < 100*time.Millisecond {
			return
		}
		last = time.Now()
		s.send(wire.Answer{ID: id, Progress: value})
	}
}

func (s *server) send(answer wire.Answer) {
	line, err := json.Marshal(answer)
	if err == nil && len(line) >= wire.MaxLine {
		err = errors.New("longer than 8 MiB")
	}
	if err != nil {
		line, _ = json.Marshal(wire.Answer{ID: answer.ID, Error: fault.New("answer_too_large", "", "the answer cannot be sent: %v", err)})
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	_, _ = s.out.Write(append(line, '\n'))
}

// leave cancels what runs and waits, bounded, until it has undone itself.
func (s *server) leave(limit time.Duration) bool {
	s.lock.Lock()
	s.leaving = true
	s.lock.Unlock()
	s.stop()
	done := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}
