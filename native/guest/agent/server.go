// Package agent serves the API of a sandbox: HTTP/2 without TLS on a unix socket that only the host can reach. Nothing that
// a request holds is larger, and nothing takes longer, than is stated here.
package agent

import (
	"net"
	"net/http"
	"sync"
	"time"

	"pyro/native/guest/jobs"
	"pyro/native/guest/past"
)

const (
	maxConnections = 64
	maxStreams     = 512
	bodyTimeout    = 30 * time.Second
	answerTimeout  = 60 * time.Second
)

// Config is what a sandbox's agent serves.
type Config struct {
	// Jobs runs commands; nil in a machine that is only looked at.
	Jobs *jobs.Manager
	// Past tells of jobs that earlier starts of the sandbox left files of.
	Past *past.Jobs
	// Machine is nil in a container.
	Machine Machine
	// Answered is called after each request; may be nil.
	Answered func()
	// Stop is called, and waited for, when the host asks for the end.
	Stop func(grace time.Duration)
}

type api struct{ Config }

// NewServer makes the server. The second result waits, up to a limit, until all answers have left.
func NewServer(config Config) (*http.Server, func(limit time.Duration)) {
	a := &api{config}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	w := &watch{busy: map[net.Conn]bool{}}
	return &http.Server{
		ConnState:         w.note,
		Handler:           a.handler(),
		Protocols:         protocols,
		MaxHeaderBytes:    16 << 10,
		ReadHeaderTimeout: 10 * time.Second,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			// The least that HTTP/2 allows: so much of a dead session's last frame may be missing when the next host calls.
			MaxReadFrameSize:              16 << 10,
			MaxReceiveBufferPerConnection: 8 << 20,
			MaxReceiveBufferPerStream:     2 << 20,
			WriteByteTimeout:              answerTimeout, // a peer that takes nothing for so long is gone
		},
	}, w.settle
}

func (a *api) handler() http.Handler {
	routes := a.routes()
	if a.Answered == nil {
		return routes
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		routes.ServeHTTP(w, r)
		a.Answered()
	})
}

func (a *api) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/hello", handle(a.hello))
	mux.HandleFunc("POST /v1/stop", handle(a.stopAll))
	mux.HandleFunc("/", handle(unknown))
	if a.Jobs != nil {
		a.routeJobs(mux)
	} else {
		mux.HandleFunc("GET /v1/jobs", handle(a.pastJobs))
		mux.HandleFunc("GET /v1/jobs/{id}", handle(a.pastJob))
		mux.HandleFunc("GET /v1/jobs/{id}/output", a.pastOutput)
	}
	if a.Machine != nil {
		mux.HandleFunc("POST /v1/identity", handle(a.identity))
		mux.HandleFunc("POST /v1/workspace", handle(a.workspace))
		mux.HandleFunc("GET /v1/changes", handle(a.changes))
		mux.HandleFunc("GET /v1/tree", a.tree)
		mux.Handle("/v1/layer", a.Machine.Layers())
	}
	return mux
}

func (a *api) routeJobs(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/jobs", handle(a.create))
	mux.HandleFunc("GET /v1/jobs", handle(a.list))
	mux.HandleFunc("GET /v1/jobs/{id}", handle(a.poll))
	mux.HandleFunc("DELETE /v1/jobs/{id}", handle(a.remove))
	mux.HandleFunc("GET /v1/jobs/{id}/output", a.output)
	mux.HandleFunc("POST /v1/jobs/{id}/stdin", handle(a.stdin))
	mux.HandleFunc("POST /v1/jobs/{id}/signal", handle(a.signal))
	mux.HandleFunc("POST /v1/jobs/{id}/kill", handle(a.kill))
}

// Bounded lets only so many connections in at a time; the others wait in the socket's queue.
func Bounded(l net.Listener) net.Listener {
	return &bounded{Listener: l, slots: make(chan struct{}, maxConnections)}
}

type bounded struct {
	net.Listener
	slots chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	b.slots <- struct{}{}
	conn, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &slotted{Conn: conn, free: sync.OnceFunc(func() { <-b.slots })}, nil
}

type slotted struct {
	net.Conn
	free func()
}

func (s *slotted) Close() error {
	defer s.free()
	return s.Conn.Close()
}
