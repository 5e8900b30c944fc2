package agent_test

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"pyro/native/guest/guesttest"
	"pyro/native/wire"
)

// median runs f n times.
func median(n int, f func(i int)) time.Duration {
	times := make([]time.Duration, n)
	for i := range times {
		begun := time.Now()
		f(i)
		times[i] = time.Since(begun)
	}
	slices.Sort(times)
	return times[n/2]
}

// BenchmarkExec compares a command through the socket with a bare fork and exec.
func BenchmarkExec(b *testing.B) {
	g := guesttest.Start(b, "")
	for b.Loop() {
		bare := median(200, func(int) { _ = exec.Command("/bin/true").Run() })
		ours := median(200, func(i int) {
			id := fmt.Sprintf("x%d", i)
			g.Run(wire.JobSpec{ID: id, Argv: []string{"/bin/true"}})
		})
		for i := range 200 {
			g.Call("DELETE", fmt.Sprintf("/v1/jobs/x%d", i), nil, nil)
		}
		hello := median(200, func(int) { g.Call("GET", "/v1/hello", nil, nil) })
		b.ReportMetric(float64(hello.Microseconds()), "hello-µs")
		b.ReportMetric(float64(bare.Microseconds()), "bare-µs")
		b.ReportMetric(float64(ours.Microseconds()), "exec-µs")
	}
}

// BenchmarkOutput compares how fast a job's gigabyte goes into the spool with a pipe into cat.
func BenchmarkOutput(b *testing.B) {
	g := guesttest.Start(b, "")
	for b.Loop() {
		bare := median(5, func(int) { _ = exec.Command("sh", "-c", "head -c 1G /dev/zero | cat >/dev/null").Run() })
		ours := median(5, func(int) {
			g.Run(wire.JobSpec{ID: "big", Argv: []string{"head", "-c", "1G", "/dev/zero"}})
			g.Call("DELETE", "/v1/jobs/big", nil, nil)
		})
		b.ReportMetric(1024/bare.Seconds(), "cat-MiB/s")
		b.ReportMetric(1024/ours.Seconds(), "spool-MiB/s")
	}
}
