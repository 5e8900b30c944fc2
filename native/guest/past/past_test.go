package past

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/guest/spool"
)

// ring writes a ring file as a sandbox could leave it.
func ring(t *testing.T, path string, size, start, end uint64, content string) {
	t.Helper()
	head := make([]byte, spool.HeaderSize)
	copy(head, spool.Magic)
	for at, n := range map[int]uint64{8: size, 16: start, 24: end} {
		binary.LittleEndian.PutUint64(head[at:], n)
	}
	if err := os.WriteFile(path, append(head, content...), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPast(t *testing.T) {
	dir := t.TempDir()
	jobs := &Jobs{Dir: dir}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ring(t, dir+"/done.out", 65536, 0, 5, "hello")
	ring(t, dir+"/done.err", 65536, 0, 0, "")
	put("done.json", `{"id":"done","state":"exited","exit_code":3,"started_at_ms":5}`)
	ring(t, dir+"/cut.out", 4, 3, 7, "efgd") // "defg", of which d lies at the end
	put("other.json", `{"id":"done","state":"exited"}`)
	put("broken.json", `{"id":`)
	put(".blank-1", "")
	put("bad name.json", "{}")
	put("big.json", strings.Repeat(" ", maxStatus)+`{"id":"big"}`)
	if err := unix.Mkfifo(dir+"/pipe.json", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", dir+"/link.out"); err != nil {
		t.Fatal(err)
	}

	list, err := jobs.List()
	if err != nil || len(list.Jobs) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	done, cut := list.Jobs[0], list.Jobs[1]
	if done.ID != "done" || *done.ExitCode != 3 {
		t.Errorf("%+v", done)
	}
	if cut.ID != "cut" || cut.State != "exited" || cut.Error == nil || cut.Error.Code != "machine_ended" || cut.Stdout.End != 7 {
		t.Errorf("%+v", cut)
	}
	if first, data, at, err := jobs.Output("cut", 0, 0, make([]byte, 100)); err != nil || first != 3 || string(data) != "defg" || !at.EOF {
		t.Errorf("%d %q %+v %v", first, data, at, err)
	}
	if _, data, _, err := jobs.Output("done", 0, 2, make([]byte, 2)); err != nil || string(data) != "ll" {
		t.Errorf("%q %v", data, err)
	}
	for code, ask := range map[string]func() (string, uint64){
		"job_not_found": func() (string, uint64) { return "none", 0 },
		"bad_cursor":    func() (string, uint64) { return "done", 6 },
		"spool_damaged": func() (string, uint64) { return "link", 0 },
	} {
		id, cursor := ask()
		if _, _, _, err := jobs.Output(id, 0, cursor, make([]byte, 10)); err == nil || err.Code != code {
			t.Errorf("%s: %v, want %s", id, err, code)
		}
	}
	if list, err := (&Jobs{Dir: dir + "/none"}).List(); err != nil || len(list.Jobs) != 0 {
		t.Errorf("of nothing: %+v %v", list, err)
	}
}

// A ring whose header lies is refused, and costs nothing.
func TestLyingRings(t *testing.T) {
	path := t.TempDir() + "/x.out"
	for _, c := range [][3]uint64{{0, 0, 0}, {1 << 40, 0, 5}, {10, 6, 5}, {10, 0, 11}, {1 << 63, 1 << 62, 1 << 63}} {
		ring(t, path, c[0], c[1], c[2], "")
		if _, err := spool.Load(path); err != spool.ErrDamaged {
			t.Errorf("%v: %v", c, err)
		}
	}
	// It promises more than there is.
	ring(t, path, 1<<20, 0, 1<<20, "short")
	s, err := spool.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Read(0, make([]byte, 1000)); err == nil {
		t.Error("bytes that are not there were read")
	}
}
