package agent_test

import (
	"path/filepath"
	"testing"
	"time"

	"pyro/native/guest/guesttest"
	"pyro/native/wire"
)

// What an earlier start of the sandbox ran can be read, and forgotten; what ends with it is told before the end.
func TestOfAnEarlierStart(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "spool")
	first := guesttest.Start(t, spool)
	done := guesttest.Sh("printf said; printf complained >&2; exit 3")
	done.ID = "done"
	first.Run(done)
	polite := guesttest.Sh("trap 'printf bye; exit 7' TERM; printf ready; while :; do sleep 0.05; done")
	polite.ID = "polite"
	first.Launch(polite)
	stubborn := guesttest.Sh("trap '' TERM; printf ready; while :; do sleep 0.05; done")
	stubborn.ID = "stubborn"
	first.Launch(stubborn)
	for _, id := range []string{"polite", "stubborn"} {
		first.Until(id+" is ready", func() bool {
			_, data, _ := first.Do("GET", "/v1/jobs/"+id+"/output?stream=stdout", nil)
			return string(data) == "ready"
		})
	}
	grace := int64(500)
	var last wire.JobList
	first.Call("POST", "/v1/stop", wire.StopRequest{GraceMS: &grace}, &last)
	ends := map[string]wire.JobStatus{}
	for _, s := range last.Jobs {
		ends[s.ID] = s
	}
	if s := ends["done"]; s.ExitCode == nil || *s.ExitCode != 3 {
		t.Errorf("done: %+v", s)
	}
	if s := ends["polite"]; s.ExitCode == nil || *s.ExitCode != 7 || s.State != wire.StateExited || s.Stdout.End != uint64(len("readybye")) {
		t.Errorf("polite: %+v", s)
	}
	if s := ends["stubborn"]; s.Signal == nil || *s.Signal != "SIGKILL" {
		t.Errorf("stubborn: %+v", s)
	}
	if _, over := first.Wait(10 * time.Second); !over {
		t.Fatal("init goes on")
	}

	again := guesttest.Start(t, spool)
	var none wire.JobList
	again.Call("GET", "/v1/jobs", nil, &none)
	if len(none.Jobs) != 0 {
		t.Errorf("jobs of an earlier start run: %+v", none)
	}
	var status wire.JobStatus
	again.Call("GET", "/v1/jobs/polite", nil, &status)
	if status.ID != "polite" || *status.ExitCode != 7 {
		t.Errorf("%+v", status)
	}
	if _, data, header := again.Do("GET", "/v1/jobs/done/output?stream=stderr&cursor=4", nil); string(data) != "lained" || header.Get("pyro-eof") != "1" {
		t.Errorf("%q %v", data, header)
	}
	again.Refused("POST", "/v1/jobs/done/kill", "{}", 404, "job_not_found")
	again.Call("DELETE", "/v1/jobs/done", nil, nil)
	again.Refused("GET", "/v1/jobs/done/output?stream=stdout", "", 404, "job_not_found")
	again.Refused("DELETE", "/v1/jobs/done", "", 404, "job_not_found")
	if left, _ := filepath.Glob(spool + "/done.*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if fresh := again.Run(guesttest.Sh("echo on")); *fresh.ExitCode != 0 {
		t.Errorf("%+v", fresh)
	}
}
