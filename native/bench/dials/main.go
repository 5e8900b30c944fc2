// Command dials is the guest's half of `npm run bench:dials`: the agent's HTTP/2 server with the windows and limits under
// test, and programs that ask for connections. It serves one unix socket until it is ended.
//
//	POST /v1/dials      full duplex: records of the guest one way, refusals of the host the other (dials.go)
//	POST /v1/dial/{id}  full duplex: the bytes of the connection that record asked for
//	POST /v1/load       starts programs (programs.go); answers when each has its connection, or was refused
//	GET  /v1/stats      what the process holds
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	socket := flag.String("socket", "", "where to listen")
	streams := flag.Int("streams", 2048, "streams open at a time")
	streamWindow := flag.Int("stream-window", 32<<10, "bytes that a stream may hold unread")
	connectionWindow := flag.Int("connection-window", 64<<20, "bytes that all streams together may hold unread")
	flag.Parse()
	if err := run(*socket, http.HTTP2Config{
		MaxConcurrentStreams:          *streams,
		MaxReadFrameSize:              256 << 10,
		MaxReceiveBufferPerConnection: *connectionWindow,
		MaxReceiveBufferPerStream:     *streamWindow,
		WriteByteTimeout:              time.Minute,
	}); err != nil {
		fmt.Fprintln(os.Stderr, "dials:", err)
		os.Exit(1)
	}
}

func run(socket string, limits http.HTTP2Config) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	d := newDials()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/dials", d.follow)
	mux.HandleFunc("POST /v1/dial/{id}", d.attach)
	mux.HandleFunc("POST /v1/load", func(w http.ResponseWriter, r *http.Request) { load(d, w, r) })
	mux.HandleFunc("GET /v1/stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.stats()) })
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           mux,
		Protocols:         protocols,
		MaxHeaderBytes:    16 << 10,
		ReadHeaderTimeout: 10 * time.Second,
		HTTP2:             &limits,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	return server.Serve(listener)
}

// load answers with how long each record waited for its stream, in milliseconds, and with how the others were refused.
func load(d *dials, w http.ResponseWriter, r *http.Request) {
	var order order
	if err := json.NewDecoder(io.LimitReader(r.Body, 4096)).Decode(&order); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if order.Kind == "flood" {
		go d.flood(order.Count)
		return
	}
	type result struct {
		ms  float64
		err error
	}
	results := make(chan result, order.Count)
	turns := make(chan struct{}, max(1, order.AtOnce))
	go func() {
		for range order.Count {
			turns <- struct{}{}
			go func() {
				from := time.Now()
				c, err := d.dial(order.name())
				results <- result{float64(time.Since(from).Microseconds()) / 1000, err}
				<-turns
				if err == nil {
					order.use(c)
					c.close()
				}
			}()
		}
	}()
	said := struct {
		Opened  []float64      `json:"opened_ms"`
		Refused []float64      `json:"refused_ms"`
		Why     map[string]int `json:"why"`
	}{[]float64{}, []float64{}, map[string]int{}}
	for range order.Count {
		one := <-results
		if one.err == nil {
			said.Opened = append(said.Opened, one.ms)
			continue
		}
		said.Refused = append(said.Refused, one.ms)
		said.Why[one.err.Error()]++
	}
	slices.Sort(said.Opened)
	slices.Sort(said.Refused)
	answer(w, said)
}

type stats struct {
	Resident   int `json:"resident"` // bytes
	Goroutines int `json:"goroutines"`
	Waiting    int `json:"waiting"`
	Open       int `json:"open"`
}

func (d *dials) stats() stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return stats{resident(), runtime.NumGoroutine(), len(d.waiting), d.open}
}

func resident() int {
	data, _ := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(data)); len(fields) > 1 {
		pages, _ := strconv.Atoi(fields[1])
		return pages * os.Getpagesize()
	}
	return 0
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

var (
	errNoHost  = errors.New("no host follows the dials")
	errTooMany = errors.New("too many dials wait in the guest")
	errLate    = errors.New("no answer in time")
)
