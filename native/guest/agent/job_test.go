package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pyro/native/guest/guesttest"
	"pyro/native/wire"
)

func TestStreamsStayApart(t *testing.T) {
	g := guesttest.Start(t, "")
	s := g.Run(guesttest.Sh("echo out; echo err >&2; exit 3"))
	if string(s.Inline.Stdout) != "out\n" || string(s.Inline.Stderr) != "err\n" {
		t.Errorf("%q %q", s.Inline.Stdout, s.Inline.Stderr)
	}
	if s.State != wire.StateExited || s.ExitCode == nil || *s.ExitCode != 3 || s.Signal != nil || s.Error != nil || s.Pid == 0 {
		t.Errorf("%+v", s)
	}
	if s.EndedAtMS == nil || *s.EndedAtMS < s.StartedAtMS || s.PeakMemoryBytes <= 0 || !s.Stdout.EOF || s.Stdout.End != 4 {
		t.Errorf("%+v", s)
	}
	var data []byte
	g.Until("the final status is written", func() bool {
		var err error
		data, err = os.ReadFile(g.Spool + "/" + s.ID + ".json")
		return err == nil
	})
	if !strings.Contains(string(data), `"state":"exited"`) || !strings.Contains(string(data), `"exit_code":3`) {
		t.Errorf("final status %s", data)
	}
}

func TestSignalIsReported(t *testing.T) {
	g := guesttest.Start(t, "")
	s := g.Run(guesttest.Sh("kill -USR1 $$; sleep 10"))
	if s.ExitCode != nil || s.Signal == nil || *s.Signal != "SIGUSR1" {
		t.Errorf("%+v", s)
	}
}

func TestSignalEndpointReachesTheGroup(t *testing.T) {
	g := guesttest.Start(t, "")
	s := g.Launch(guesttest.Sh("trap 'echo got; exit 9' INT; echo ready; sleep 100 & wait"))
	g.Call("GET", "/v1/jobs/"+s.ID+"?wait_ms=20000&stdout=0", nil, nil)
	g.Refused("POST", "/v1/jobs/"+s.ID+"/signal", `{"signal":"SIGNOTHING"}`, 400, "bad_request")
	g.Call("POST", "/v1/jobs/"+s.ID+"/signal", wire.SignalRequest{Signal: "SIGINT"}, nil)
	g.Call("GET", "/v1/jobs/"+s.ID+"?wait_ms=20000", nil, &s)
	if s.ExitCode == nil || *s.ExitCode != 9 || s.Killed {
		t.Errorf("%+v", s)
	}
	g.Refused("POST", "/v1/jobs/"+s.ID+"/signal", `{"signal":"SIGINT"}`, 409, "job_exited")
}

func TestSameIdIsTheSameJob(t *testing.T) {
	g := guesttest.Start(t, "")
	spec := guesttest.Sh("echo $$")
	spec.ID = "once"
	first, second := g.Run(spec), g.Run(spec)
	if first.Pid != second.Pid || string(first.Inline.Stdout) != string(second.Inline.Stdout) {
		t.Errorf("%+v %+v", first, second)
	}
	var all wire.JobList
	g.Call("GET", "/v1/jobs", nil, &all)
	if len(all.Jobs) != 1 || all.Jobs[0].ID != "once" {
		t.Errorf("%+v", all)
	}
	g.Call("DELETE", "/v1/jobs/once", nil, nil)
	if left, _ := filepath.Glob(g.Spool + "/once*"); len(left) != 0 {
		t.Errorf("files left: %v", left)
	}
	g.Refused("GET", "/v1/jobs/once", "", 404, "job_not_found")
}

func TestWhatCannotRun(t *testing.T) {
	g := guesttest.Start(t, "")
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/plain", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		argv string
		code int
	}{{"no-such-command", 127}, {"/no/such/command", 127}, {dir + "/plain", 126}, {"/etc/passwd/x", 127}, {dir, 126}} {
		s := g.Run(wire.JobSpec{ID: fmt.Sprintf("n%d", i), Argv: []string{c.argv}})
		if s.ExitCode == nil || *s.ExitCode != c.code || strings.Count(string(s.Inline.Stderr), "\n") != 1 || s.Error != nil {
			t.Errorf("%s: %+v %q", c.argv, s, s.Inline.Stderr)
		}
	}
	g.Refused("POST", "/v1/jobs", `{"id":"c","argv":["true"],"cwd":"/no/such"}`, 400, "cwd_not_found")
	g.Refused("POST", "/v1/jobs", `{"id":"u","argv":["true"],"user":"nobody-at-all"}`, 400, "user_not_found")
	if os.Geteuid() == 0 {
		secret := t.TempDir()
		if err := os.Chmod(secret, 0o700); err != nil {
			t.Fatal(err)
		}
		g.Refused("POST", "/v1/jobs", `{"id":"s","argv":["true"],"user":"65534:65534","cwd":"`+secret+`"}`, 400, "cwd_not_found")
	}
	var all wire.JobList
	g.Call("GET", "/v1/jobs", nil, &all)
	if len(all.Jobs) != 5 {
		t.Errorf("refused jobs are left: %+v", all)
	}
}

func TestEnvironmentAndUser(t *testing.T) {
	g := guesttest.Start(t, "")
	s := g.Run(wire.JobSpec{ID: "env", Argv: []string{"env"}, Env: map[string]string{"A": "b=c", "TERM": "vt100"}})
	out := string(s.Inline.Stdout)
	for _, line := range []string{"A=b=c", "TERM=vt100", "LANG=C.UTF-8", "PATH=/usr/local/sbin", "HOME=/", "USER=", "LOGNAME="} {
		if !strings.Contains(out, line) {
			t.Errorf("no %s in %s", line, out)
		}
	}
	if strings.Contains(out, "GOMAXPROCS") {
		t.Errorf("the supervisor's environment leaks: %s", out)
	}
	if os.Geteuid() != 0 {
		return
	}
	s = g.Run(wire.JobSpec{ID: "id", Argv: []string{"sh", "-c", "id -u; id -g; id -G; pwd"}, User: "123:456", Cwd: "/tmp"})
	if string(s.Inline.Stdout) != "123\n456\n456\n/tmp\n" {
		t.Errorf("%q", s.Inline.Stdout)
	}
}

func TestNothingOfInitIsInherited(t *testing.T) {
	g := guesttest.Start(t, "")
	g.Launch(wire.JobSpec{ID: "other", Argv: []string{"sleep", "100"}, Stdin: "pipe"})
	s := g.Run(guesttest.Sh("ls /proc/self/fd | tr '\\n' ' '; grep -E 'Sig(Blk|Ign)' /proc/self/status; cat /proc/self/oom_score_adj"))
	out := string(s.Inline.Stdout)
	if !strings.HasPrefix(out, "0 1 2 3 S") { // 3 is the directory that ls reads
		t.Errorf("descriptors: %s", out)
	}
	if strings.Count(out, "0000000000000000") != 2 {
		t.Errorf("signals blocked or ignored: %s", out)
	}
}

func TestStdin(t *testing.T) {
	g := guesttest.Start(t, "")
	s := g.Run(wire.JobSpec{ID: "none", Argv: []string{"wc", "-c"}})
	if string(s.Inline.Stdout) != "0\n" {
		t.Errorf("%q", s.Inline.Stdout)
	}
	big := make([]byte, wire.MaxStdin)
	s = g.Run(wire.JobSpec{ID: "data", Argv: []string{"wc", "-c"}, StdinData: big})
	if string(s.Inline.Stdout) != strconv.Itoa(len(big))+"\n" {
		t.Errorf("%q", s.Inline.Stdout)
	}
	g.Launch(wire.JobSpec{ID: "pipe", Argv: []string{"cat"}, Stdin: "pipe", StdinData: []byte("one "), StdinOpen: true})
	var written wire.StdinResult
	for _, part := range []string{"two ", "three"} {
		status, _, _ := g.Do("POST", "/v1/jobs/pipe/stdin", []byte(part))
		if status != 200 {
			t.Fatal(status)
		}
	}
	g.Call("POST", "/v1/jobs/pipe/stdin?eof=1", nil, &written)
	g.Call("GET", "/v1/jobs/pipe?wait_ms=20000", nil, &s)
	_, out, _ := g.Do("GET", "/v1/jobs/pipe/output?stream=stdout", nil)
	if string(out) != "one two three" || s.State != wire.StateExited {
		t.Errorf("%q %+v", out, s)
	}
	g.Refused("POST", "/v1/jobs/pipe/stdin", "more", 409, "stdin_closed")
	g.Refused("POST", "/v1/jobs/none/stdin", "more", 409, "stdin_closed")
}
