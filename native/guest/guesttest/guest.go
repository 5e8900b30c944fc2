// Package guesttest runs the real init as a process of its own and speaks to it as a host does.
package guesttest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyro/native/guest/boot"
	"pyro/native/guest/job"
	"pyro/native/wire"
)

// Dispatch makes a test binary the native binary too, so that the race detector watches init and supervisors. Call it first
// in TestMain.
func Dispatch() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		os.Exit(boot.Main(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "job" {
		os.Exit(job.Main(os.Args[2:]))
	}
}

// Guest is a running init.
type Guest struct {
	T     testing.TB
	Cmd   *exec.Cmd
	Spool string
	http  *http.Client
	done  chan error
}

// Start runs init with its own socket and spool; spool "" makes one. It is gone, and all it ran, when the test ends.
func Start(t testing.TB, spool string, flags ...string) *Guest {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if binary := os.Getenv("PYRO_TEST_BINARY"); binary != "" {
		self = binary
	}
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		t.Fatal(err)
	}
	if spool == "" {
		spool = filepath.Join(dir, "spool")
	}
	socket := filepath.Join(dir, "s")
	g := &Guest{T: t, Spool: spool, done: make(chan error, 1)}
	g.Cmd = exec.Command(self, append([]string{"init", "--listen", socket, "--spool", spool, "--self", self}, flags...)...)
	g.Cmd.Stderr = os.Stderr
	if err := g.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { g.done <- g.Cmd.Wait() }()
	t.Cleanup(func() {
		_ = g.Cmd.Process.Signal(syscall.SIGTERM)
		if _, over := g.Wait(15 * time.Second); !over {
			_ = g.Cmd.Process.Kill()
			t.Errorf("init did not stop")
		}
		_ = os.RemoveAll(dir)
	})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	g.http = &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}
	g.Until("init answers", func() bool {
		answer, err := g.http.Get("http://guest/v1/hello")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
	return g
}

// Wait says how init ended.
func (g *Guest) Wait(limit time.Duration) (error, bool) {
	select {
	case err := <-g.done:
		g.done <- err
		return err, true
	case <-time.After(limit):
		return nil, false
	}
}

// Do makes a request and gives back status, body and headers.
func (g *Guest) Do(method, path string, body []byte) (int, []byte, http.Header) {
	g.T.Helper()
	request, err := http.NewRequest(method, "http://guest"+path, bytes.NewReader(body))
	if err != nil {
		g.T.Fatal(err)
	}
	answer, err := g.http.Do(request)
	if err != nil {
		g.T.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		g.T.Fatal(err)
	}
	return answer.StatusCode, data, answer.Header
}

// Call makes a request that must succeed.
func (g *Guest) Call(method, path string, in, out any) {
	g.T.Helper()
	var body []byte
	if in != nil {
		body, _ = json.Marshal(in)
	}
	status, data, _ := g.Do(method, path, body)
	if status != 200 {
		g.T.Fatalf("%s %s: %d %s", method, path, status, data)
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			g.T.Fatal(err)
		}
	}
}

// Refused makes a request that must fail with this status and code.
func (g *Guest) Refused(method, path string, body string, status int, code string) {
	g.T.Helper()
	got, data, _ := g.Do(method, path, []byte(body))
	var e wire.Error
	_ = json.Unmarshal(data, &e)
	if got != status || e.Code != code {
		g.T.Errorf("%s %s: %d %.200s, want %d %s", method, path, got, data, status, code)
	}
}

// Run starts a job and waits for it.
func (g *Guest) Run(spec wire.JobSpec) wire.JobStatus {
	g.T.Helper()
	return g.post(spec, "/v1/jobs?wait_ms=30000&inline=100000")
}

// Launch starts a job only.
func (g *Guest) Launch(spec wire.JobSpec) wire.JobStatus {
	g.T.Helper()
	return g.post(spec, "/v1/jobs")
}

func (g *Guest) post(spec wire.JobSpec, path string) wire.JobStatus {
	g.T.Helper()
	if spec.ID == "" {
		spec.ID = strings.ToLower(strings.NewReplacer("/", "-", "#", "-").Replace(g.T.Name()))
		if len(spec.ID) > 64 {
			spec.ID = spec.ID[:64]
		}
	}
	var status wire.JobStatus
	g.Call("POST", path, spec, &status)
	return status
}

// Until waits for something that nobody tells of.
func (g *Guest) Until(what string, met func() bool) {
	g.T.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if met() {
			return
		}
	}
	g.T.Fatalf("waited in vain: %s", what)
}

// Sh is a spec for a line of shell.
func Sh(line string) wire.JobSpec { return wire.JobSpec{Argv: []string{"sh", "-c", line}} }
