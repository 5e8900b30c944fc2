package agent_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/guest/guesttest"
	"pyro/native/wire"
)

// count prints numbered lines of ten bytes, so that every offset says what must lie there.
func count(lines int) []string {
	return []string{"awk", "BEGIN { for (i = 0; i < " + strconv.Itoa(lines) + `; i++) printf "%09d\n", i }`}
}

func wantAt(t *testing.T, data []byte, offset uint64) {
	t.Helper()
	var want bytes.Buffer
	for i := offset / 10; uint64(want.Len()) < uint64(len(data))+10; i++ {
		fmt.Fprintf(&want, "%09d\n", i)
	}
	if !bytes.Equal(data, want.Bytes()[offset%10:][:len(data)]) {
		t.Errorf("wrong bytes at %d: %.40q", offset, data)
	}
}

func TestTheRingDropsTheOldest(t *testing.T) {
	g := guesttest.Start(t, "")
	const lines = 300_000
	s := g.Run(wire.JobSpec{ID: "ring", Argv: count(lines), SpoolBytes: wire.MinSpool + 1000})
	if s.Stdout.End != lines*10 || s.Stdout.Start != lines*10-wire.MinSpool-1000 {
		t.Errorf("%+v", s.Stdout)
	}
	status, data, header := g.Do("GET", "/v1/jobs/ring/output?stream=stdout&cursor=7&max=1000", nil)
	start := strconv.FormatUint(s.Stdout.Start, 10)
	if status != 200 || header.Get("pyro-cursor") != start || header.Get("pyro-start") != start || header.Get("pyro-eof") != "1" ||
		header.Get("pyro-end") != "3000000" || header.Get("pyro-next") != strconv.FormatUint(s.Stdout.Start+1000, 10) {
		t.Errorf("%d %v", status, header)
	}
	wantAt(t, data, s.Stdout.Start)
	_, data, _ = g.Do("GET", "/v1/jobs/ring/output?stream=stdout", nil)
	if len(data) != wire.MinSpool+1000 {
		t.Errorf("%d bytes", len(data))
	}
	wantAt(t, data, s.Stdout.Start)
	_, data, header = g.Do("GET", "/v1/jobs/ring/output?stream=stdout&cursor=3000000", nil)
	if len(data) != 0 || header.Get("pyro-next") != "3000000" {
		t.Errorf("%d %v", len(data), header)
	}
	g.Refused("GET", "/v1/jobs/ring/output?stream=stdout&cursor=3000001", "", 400, "bad_cursor")
	g.Refused("GET", "/v1/jobs/ring?stdout=3000001", "", 400, "bad_cursor")

	// The host reads the same from the file.
	file, err := os.ReadFile(g.Spool + "/ring.out")
	if err != nil {
		t.Fatal(err)
	}
	field := func(at int) uint64 { return binary.LittleEndian.Uint64(file[at:]) }
	size := field(8)
	if string(file[:8]) != "PYSPOOL1" || size != wire.MinSpool+1000 || field(16) != s.Stdout.Start || field(24) != s.Stdout.End || field(32) != 1 {
		t.Errorf("header %q %d %d %d %d", file[:8], size, field(16), field(24), field(32))
	}
	at := 4096 + s.Stdout.Start%size
	wantAt(t, file[at:], s.Stdout.Start)
}

func TestALargeStreamMayPause(t *testing.T) {
	g := guesttest.Start(t, "")
	burst := "head -c 5000000 /dev/zero; "
	s := g.Run(guesttest.Sh(burst + "sleep 1.3; echo between; " + burst + "(sleep 0.3; " + burst + ") & exit 2"))
	if s.Stdout.End < 10_000_008 || s.ExitCode == nil || *s.ExitCode != 2 || s.Error != nil || !s.Stdout.EOF {
		t.Errorf("%+v", s)
	}
	_, data, _ := g.Do("GET", "/v1/jobs/"+s.ID+"/output?stream=stdout&cursor=5000000&max=8", nil)
	if string(data) != "between\n" {
		t.Errorf("%q", data)
	}
}

// follow reads a stream as an attached reader and checks that not one byte is missing.
func follow(t *testing.T, g *guesttest.Guest, id string) uint64 {
	t.Helper()
	cursor := uint64(0)
	for {
		var s wire.JobStatus
		g.Call("GET", fmt.Sprintf("/v1/jobs/%s?attach=1&wait_ms=20000&stdout=%d", id, cursor), nil, &s)
		if s.Stdout.Start > cursor {
			t.Fatalf("lost %d to %d", cursor, s.Stdout.Start)
		}
		for cursor < s.Stdout.End {
			_, data, header := g.Do("GET", fmt.Sprintf("/v1/jobs/%s/output?stream=stdout&cursor=%d", id, cursor), nil)
			if header.Get("pyro-cursor") != strconv.FormatUint(cursor, 10) {
				t.Fatalf("asked for %d, got %v", cursor, header)
			}
			wantAt(t, data, cursor)
			cursor += uint64(len(data))
		}
		if s.State == wire.StateExited && cursor == s.Stdout.End {
			return cursor
		}
	}
}

func TestAnAttachedReaderLosesNothing(t *testing.T) {
	g := guesttest.Start(t, "")
	g.Launch(wire.JobSpec{ID: "held", Argv: count(200_000), SpoolBytes: wire.MinSpool, Attach: true})
	// Nobody reads yet: the ring fills and the process waits.
	g.Until("the ring is full", func() bool {
		var s wire.JobStatus
		g.Call("GET", "/v1/jobs/held", nil, &s)
		return s.Stdout.End == wire.MinSpool
	})
	var s wire.JobStatus
	g.Call("GET", "/v1/jobs/held?wait_ms=300", nil, &s)
	if s.State != wire.StateRunning || s.Stdout.Start != 0 || s.Stdout.End != wire.MinSpool {
		t.Errorf("not held back: %+v", s)
	}
	if n := follow(t, g, "held"); n != 2_000_000 {
		t.Errorf("read %d", n)
	}
}

func TestALeaseThatEndsLetsTheJobGoOn(t *testing.T) {
	g := guesttest.Start(t, "", "--lease", "400ms")
	begun := time.Now()
	s := g.Run(wire.JobSpec{ID: "left", Argv: count(200_000), SpoolBytes: wire.MinSpool, Attach: true})
	if took := time.Since(begun); s.State != wire.StateExited || took < 300*time.Millisecond || took > 15*time.Second {
		t.Errorf("took %v: %+v", took, s)
	}
	if s.Stdout.End != 2_000_000 || s.Stdout.Start != 2_000_000-wire.MinSpool {
		t.Errorf("%+v", s.Stdout)
	}
}

func TestPollWakesOnOutput(t *testing.T) {
	g := guesttest.Start(t, "")
	g.Launch(wire.JobSpec{ID: "cat", Argv: []string{"cat"}, Stdin: "pipe"})
	done := make(chan wire.JobStatus)
	go func() {
		var s wire.JobStatus
		g.Call("GET", "/v1/jobs/cat?wait_ms=20000&stdout=0", nil, &s)
		done <- s
	}()
	g.Do("POST", "/v1/jobs/cat/stdin", []byte("x"))
	select {
	case s := <-done:
		if s.Stdout.End != 1 || s.State != wire.StateRunning {
			t.Errorf("%+v", s)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not woken")
	}
}

func TestAFullDiskEndsNoJob(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	g := guesttest.Start(t, dir)
	s := g.Run(wire.JobSpec{ID: "full", Argv: []string{"sh", "-c", "head -c 5000000 /dev/zero; echo done >&2; exit 5"}})
	if s.ExitCode == nil || *s.ExitCode != 5 || s.Error == nil || s.Error.Code != "spool_full" || !s.Stdout.EOF {
		t.Errorf("%+v", s)
	}
	if s.Stdout.End > 1<<20 || s.Error != nil && !strings.Contains(s.Error.Message, strconv.FormatUint(5_000_000-s.Stdout.End, 10)) {
		t.Errorf("%+v", s)
	}
	// Even without room for a header.
	if s = g.Run(wire.JobSpec{ID: "more", Argv: []string{"sh", "-c", "echo lost; exit 6"}}); *s.ExitCode != 6 || s.Error == nil {
		t.Errorf("%+v", s)
	}
}
