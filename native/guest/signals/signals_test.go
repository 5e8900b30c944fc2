package signals

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ignoredBy is the set of signals that a process ignores, as /proc tells it.
func ignoredBy(t *testing.T, status string) uint64 {
	t.Helper()
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return set
		}
	}
	t.Fatal("no SigIgn in", status)
	return 0
}

// Some start a program with these two ignored, so that it outlives their terminal.
func TestShrugInABackground(t *testing.T) {
	again := exec.Command("sh", "-c", `trap "" HUP INT; exec "$0" -test.run "^TestShrug$"`, os.Args[0])
	if said, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, said)
	}
}

func TestShrug(t *testing.T) {
	all := []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGUSR1, unix.SIGXCPU}
	Shrug(all...)
	for _, signal := range all {
		if err := unix.Kill(os.Getpid(), signal); err != nil {
			t.Fatal(err)
		}
	}
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	child, err := exec.Command("cat", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range all {
		bit := uint64(1) << (signal - 1)
		if ignoredBy(t, string(own))&bit == 0 {
			t.Errorf("%v is not ignored", signal)
		}
		if ignoredBy(t, string(child))&bit != 0 {
			t.Errorf("a child ignores %v", signal)
		}
	}
}
