package agent_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyro/native/guest/guesttest"
	"pyro/native/guest/proc"
	"pyro/native/wire"
)

// daemon leaves a process behind that has a new session, no environment and no parent; it prints its number.
const daemon = `env -i setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'; `

func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func pidIn(t *testing.T, out []byte) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || !alive(pid) {
		t.Fatalf("no daemon: %q", out)
	}
	return pid
}

func TestTimeoutEndsTheWholeTree(t *testing.T) {
	g := guesttest.Start(t, "")
	spec := guesttest.Sh(daemon + `trap '' TERM; while :; do sleep 1; done`)
	grace := int64(100)
	spec.ID, spec.TimeoutMS, spec.KillGraceMS = "late", 700, &grace
	g.Launch(spec)
	g.Call("GET", "/v1/jobs/late?wait_ms=20000&stdout=0", nil, nil)
	_, out, _ := g.Do("GET", "/v1/jobs/late/output?stream=stdout", nil)
	pid := pidIn(t, out)
	var s wire.JobStatus
	g.Call("GET", "/v1/jobs/late?wait_ms=20000", nil, &s)
	if !s.TimedOut || s.Killed || s.Signal == nil || *s.Signal != "SIGKILL" || s.DurationMS < 700 || s.DurationMS > 10_000 {
		t.Errorf("%+v", s)
	}
	g.Until("the daemon is gone", func() bool { return !alive(pid) })
}

func TestSurvivorsLiveOnAndCanBeKilled(t *testing.T) {
	g := guesttest.Start(t, "")
	// The survivor keeps the job's stdout and writes more than a pipe holds after the job has ended.
	s := g.Run(guesttest.Sh(`setsid sh -c 'sleep 0.2; head -c 3000000 /dev/zero; echo "$?" >` + t.TempDir() + `/survived; exec sleep 1000' & echo $!`))
	pid := pidIn(t, s.Inline.Stdout)
	if s.State != wire.StateExited || s.Survivors < 1 || !s.Stdout.EOF {
		t.Errorf("%+v", s)
	}
	end := s.Stdout.End
	g.Until("the survivor wrote on", func() bool {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		return strings.HasPrefix(string(line), "sleep\x001000")
	})
	g.Refused("DELETE", "/v1/jobs/"+s.ID, "", 409, "job_running")
	g.Call("POST", "/v1/jobs/"+s.ID+"/kill", wire.KillRequest{}, &s)
	if s.Survivors != 0 || s.Killed || alive(pid) || s.Stdout.End != end {
		t.Errorf("%+v alive %v", s, alive(pid))
	}
	g.Call("DELETE", "/v1/jobs/"+s.ID, nil, nil)
}

func TestKillEndsAForkingTree(t *testing.T) {
	g := guesttest.Start(t, "")
	s := g.Launch(guesttest.Sh(`f() { trap '' TERM; while :; do (sleep 100 &) ; sleep 0.01; done; }; f & setsid sh -c 'while :; do (sleep 50 &); sleep 0.01; done' & echo; wait`))
	g.Call("GET", "/v1/jobs/"+s.ID+"?wait_ms=20000&stdout=0", nil, nil)
	grace := int64(200)
	g.Call("POST", "/v1/jobs/"+s.ID+"/kill", wire.KillRequest{GraceMS: &grace}, &s)
	if s.State != wire.StateExited || !s.Killed || s.Survivors != 0 || s.Signal == nil {
		t.Errorf("%+v", s)
	}
	left := proc.Below(g.Cmd.Process.Pid, nil)
	for _, p := range left {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(p.Pid) + "/cmdline")
		if strings.HasPrefix(string(line), "sleep") {
			t.Errorf("%d is left", p.Pid)
		}
	}
}

func TestTheKilledSupervisor(t *testing.T) {
	g := guesttest.Start(t, "")
	s := g.Launch(guesttest.Sh(daemon + "sleep 1000"))
	g.Call("GET", "/v1/jobs/"+s.ID+"?wait_ms=20000&stdout=0", nil, nil)
	_, out, _ := g.Do("GET", "/v1/jobs/"+s.ID+"/output?stream=stdout", nil)
	pid := pidIn(t, out)
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(s.Pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	supervisor, _ := strconv.Atoi(strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))[2])
	if supervisor == g.Cmd.Process.Pid {
		t.Fatal("the job has no supervisor")
	}
	// What a job may send to its supervisor by accident leaves it standing.
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP} {
		_ = syscall.Kill(supervisor, sig)
	}
	g.Call("GET", "/v1/jobs/"+s.ID+"?wait_ms=200", nil, &s)
	if s.State != wire.StateRunning {
		t.Fatalf("%+v", s)
	}
	_ = syscall.Kill(supervisor, syscall.SIGKILL)
	g.Call("GET", "/v1/jobs/"+s.ID+"?wait_ms=20000", nil, &s)
	if s.State != wire.StateExited || s.Error == nil || s.Error.Code != "supervisor_lost" || s.ExitCode != nil {
		t.Errorf("%+v", s)
	}
	if alive(pid) || alive(s.Pid) {
		t.Error("its processes are left")
	}
	g.Call("DELETE", "/v1/jobs/"+s.ID, nil, nil)
	if again := g.Run(guesttest.Sh("exit 4")); again.ExitCode == nil || *again.ExitCode != 4 {
		t.Errorf("%+v", again)
	}
}

func TestStopAsksThenForces(t *testing.T) {
	g := guesttest.Start(t, "")
	dir := t.TempDir()
	g.Launch(wire.JobSpec{ID: "kind", Argv: []string{"sh", "-c", `trap 'echo asked >` + dir + `/kind; exit 0' TERM; echo; while :; do sleep 0.05; done`}})
	g.Launch(wire.JobSpec{ID: "stubborn", Argv: []string{"sh", "-c", `trap 'date >` + dir + `/stubborn' TERM; echo; while :; do sleep 0.05; done`}})
	for _, id := range []string{"kind", "stubborn"} {
		g.Call("GET", "/v1/jobs/"+id+"?wait_ms=20000&stdout=0", nil, nil)
	}
	grace := int64(500)
	begun := time.Now()
	g.Call("POST", "/v1/stop", wire.StopRequest{GraceMS: &grace}, nil)
	if took := time.Since(begun); took < 400*time.Millisecond || took > 10*time.Second {
		t.Errorf("stop took %v", took)
	}
	if err, over := g.Wait(10 * time.Second); !over || err != nil {
		t.Errorf("init: %v, over %v", err, over)
	}
	for id, want := range map[string]string{"kind": `"exit_code":0`, "stubborn": `"signal":"SIGKILL"`} {
		if _, err := os.Stat(dir + "/" + id); err != nil {
			t.Errorf("%s was not asked: %v", id, err)
		}
		if status, _ := os.ReadFile(g.Spool + "/" + id + ".json"); !strings.Contains(string(status), want) {
			t.Errorf("%s: %s", id, status)
		}
	}
}

func TestOrphansAreReaped(t *testing.T) {
	g := guesttest.Start(t, "")
	for i := range 20 {
		g.Run(wire.JobSpec{ID: "o" + strconv.Itoa(i), Argv: []string{"sh", "-c", `(setsid sh -c 'sleep 0.02' &)`}})
	}
	g.Until("no zombie is left", func() bool {
		for i := range 20 {
			var s wire.JobStatus
			if g.Call("GET", "/v1/jobs/o"+strconv.Itoa(i), nil, &s); s.Survivors > 0 {
				return false
			}
		}
		dirs, _ := os.ReadDir("/proc")
		for _, d := range dirs {
			stat, err := os.ReadFile("/proc/" + d.Name() + "/stat")
			if err != nil || !strings.Contains(string(stat), ") Z "+strconv.Itoa(g.Cmd.Process.Pid)+" ") {
				continue
			}
			return false
		}
		return true
	})
}
