package tool

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyro/native/layer/fault"
	"pyro/native/layer/stack"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "tool" {
		os.Exit(Main(nil))
	}
	os.Exit(m.Run())
}

func needRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("namespaces and mounts need root")
	}
	return t.TempDir()
}

func shell(script string, more Spec) Spec {
	more.Program, more.Package, more.Args = "sh", "dash", []string{"-c", script}
	return more
}

func TestARunIsApart(t *testing.T) {
	folder := needRoot(t)
	var said []string
	err := Run(context.Background(), shell(`ls /tmp; test $$ -lt 50 && echo alone; mount -t tmpfs none /mnt; touch /mnt/x tree/made; echo "$GIVEN"`, Spec{
		Trees: map[string]string{"tree": folder}, Dir: Root, Env: []string{"GIVEN=word"},
		Line: func(line string) { said = append(said, line) },
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(said, " "); got != "tree alone word" {
		t.Errorf("it said %q", got)
	}
	if _, err := os.Lstat(filepath.Join(folder, "made")); err != nil {
		t.Error("the tree is not the machine's own directory")
	}
	if _, err := os.Lstat("/mnt/x"); err == nil {
		t.Error("a mount came through")
	}
}

func TestUsersOfItsOwn(t *testing.T) {
	folder := needRoot(t)
	const base = 1_900_000_000
	if err := os.Chown(folder, base, base); err != nil {
		t.Fatal(err)
	}
	// A closed folder of root's is closed to a root that is none.
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(context.Background(), shell(`id -u; touch a b; chown 7:8 b; ! cat /proc/1/root/etc/shadow`, Spec{
		IDs: &stack.Idmap{Base: base, Size: 65536}, Trees: map[string]string{"tree": folder}, Dir: Root + "/tree",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint32{"a": base, "b": base + 7} {
		st, err := os.Lstat(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d, not to %d", name, got, want)
		}
	}
}

func TestFailuresSayWhatHappened(t *testing.T) {
	needRoot(t)
	err := Run(context.Background(), shell("echo one; echo two >&2; exit 3", Spec{}))
	if !fault.HasCode(err, "build_failed") || !strings.Contains(err.Error(), "exit status 3:\none\ntwo") {
		t.Error(err)
	}
	err = Run(context.Background(), shell("kill -9 $$", Spec{}))
	if !fault.HasCode(err, "build_failed") || !strings.Contains(err.Error(), "137") {
		t.Error(err)
	}
	err = Run(context.Background(), shell("echo 'x: No space left on device'; exit 1", Spec{}))
	if !fault.HasCode(err, "disk_full") {
		t.Error(err)
	}
	err = Run(context.Background(), Spec{Program: "no-such-tool", Package: "its-package"})
	if !fault.HasCode(err, "tool_missing") || err.(*fault.Error).Hint != "sudo apt-get install its-package" {
		t.Error(err)
	}
	var long int
	err = Run(context.Background(), shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end", Spec{Line: func(line string) { long = max(long, len(line)) }}))
	if err != nil || long > maxLine {
		t.Error(err, long)
	}
}

// A cancelled run takes along what the program started, sessions of their own included.
func TestNothingOutlivesARun(t *testing.T) {
	needRoot(t)
	mark := fmt.Sprintf("31%d", os.Getpid())
	script := "setsid sleep " + mark + " & echo started; wait"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	err := Run(ctx, shell(script, Spec{Line: func(string) { cancel() }}))
	if !fault.HasCode(err, "cancelled") || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if err := Run(context.Background(), shell("setsid sleep "+mark+" & true", Spec{})); err != nil {
		t.Error(err)
	}
	if out, _ := exec.Command("pgrep", "-f", "^sleep "+mark).Output(); len(out) > 0 {
		t.Errorf("left behind: %s", out)
	}
}
