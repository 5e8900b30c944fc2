package agent_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pyro/native/guest/guesttest"
	"pyro/native/wire"
)

func TestHostileRequests(t *testing.T) {
	g := guesttest.Start(t, "")
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/v1/jobs", strings.Repeat("x", wire.MaxBody+1), 413, "too_large"},
		{"POST", "/v1/jobs", `{"id":`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"a","argv":["true"]} {}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"a","argv":["true"],"timout_ms":5}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"../a","argv":["true"]}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"` + strings.Repeat("a", 65) + `","argv":["true"]}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"a","argv":[]}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"a","argv":["a\u0000b"]}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"a","argv":["true"],"env":{"A=B":"c"}}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"a","argv":["true"],"cwd":"tmp"}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"a","argv":["true"],"spool_bytes":1}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"a","argv":["true"],"spool_bytes":99999999999}`, 400, "bad_request"},
		{"POST", "/v1/jobs", `{"id":"a","argv":["` + strings.Repeat("x", wire.MaxArgs) + `"]}`, 400, "bad_request"},
		{"POST", "/v1/jobs?wait_ms=-1", `{"id":"a","argv":["true"]}`, 400, "bad_request"},
		{"POST", "/v1/jobs?waitms=1", `{"id":"a","argv":["true"]}`, 400, "bad_request"},
		{"GET", "/v1/jobs/A", "", 400, "bad_request"},
		{"GET", "/v1/jobs/..%2fa", "", 400, "bad_request"},
		{"GET", "/v1/jobs/none", "", 404, "job_not_found"},
		{"GET", "/v1/nothing", "", 404, "not_found"},
		{"GET", "/v1/jobs/none/output?stream=stdin", "", 400, "bad_request"},
		{"POST", "/v1/stop", `{"grace_ms":-1}`, 400, "bad_request"},
		{"POST", "/v1/jobs/none/stdin", "", 404, "job_not_found"},
	} {
		g.Refused(c.method, c.path, c.body, c.status, c.code)
	}
	var all wire.JobList
	if g.Call("GET", "/v1/jobs", nil, &all); len(all.Jobs) != 0 {
		t.Errorf("%+v", all)
	}
	g.Launch(wire.JobSpec{ID: "in", Argv: []string{"sleep", "100"}, Stdin: "pipe"})
	g.Refused("POST", "/v1/jobs/in/stdin", strings.Repeat("x", wire.MaxStdin+1), 413, "too_large")
}

// A sandbox's user may cut or replace the spool files under init's feet.
func TestADamagedSpoolHurtsOnlyItself(t *testing.T) {
	g := guesttest.Start(t, "")
	g.Launch(wire.JobSpec{ID: "cat", Argv: []string{"cat"}, Stdin: "pipe"})
	if err := os.Truncate(g.Spool+"/cat.out", 0); err != nil {
		t.Fatal(err)
	}
	var s wire.JobStatus
	g.Do("POST", "/v1/jobs/cat/stdin?eof=1", []byte("hello"))
	g.Call("GET", "/v1/jobs/cat?wait_ms=20000", nil, &s)
	if s.State != wire.StateExited || s.ExitCode == nil || *s.ExitCode != 0 {
		t.Errorf("%+v", s)
	}
	if again := g.Run(guesttest.Sh("echo fine")); string(again.Inline.Stdout) != "fine\n" {
		t.Errorf("%+v", again)
	}
}

func TestManyAtOnce(t *testing.T) {
	g := guesttest.Start(t, "")
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			s := g.Run(wire.JobSpec{ID: "m" + strconv.Itoa(i), Argv: []string{"sh", "-c", "echo " + strconv.Itoa(i)}})
			if string(s.Inline.Stdout) != strconv.Itoa(i)+"\n" || s.ExitCode == nil || *s.ExitCode != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	all.Wait()
}

func TestHello(t *testing.T) {
	g := guesttest.Start(t, "")
	var h wire.Hello
	g.Call("GET", "/v1/hello", nil, &h)
	if h.Protocol != 1 || h.Build == "" || h.Build == "unknown" || h.Pid != g.Cmd.Process.Pid || h.Jobs != 0 {
		t.Errorf("%+v", h)
	}
}
