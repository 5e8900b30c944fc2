package gitdir

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
)

const (
	// A git that says nothing for so long reads something that never ends, a pipe where a file should be for one.
	patience = 5 * time.Minute
	// Longest of what git says in one call, paths and object names aside.
	maxSaid  = 8 << 20
	maxError = 8 << 10
)

// settings keep git from starting anything, from the network, and from what it would otherwise leave behind.
var settings = []string{
	"core.fsmonitor=false", "core.hooksPath=/dev/null", "core.untrackedCache=false", "core.splitIndex=false",
	"core.attributesFile=/dev/null", "core.pager=cat", "core.checkStat=minimal", "core.trustctime=false",
	"core.fsync=none", "core.fsyncObjectFiles=false", "core.compression=1", "protocol.allow=never", "gc.auto=0",
	"maintenance.auto=false",
}

// call is one run of git. Dir and WorkTree may be empty.
type call struct {
	args []string
	// gitDir is always one that this program made: git reads no configuration that it did not write.
	gitDir   string
	workTree string
	dir      string
	// alternate is a store of objects that is read beside the repository's own.
	alternate string
	settings  []string
	in        io.Reader
	// out takes what git writes; nil: the answer holds it, up to maxSaid bytes.
	out func(io.Reader) error
	// trusted also reads this machine's and the user's own configuration, to list it.
	trusted bool
}

// ended tells how git ended, and its last words.
type ended struct {
	code int
	said string
}

func (e *ended) Error() string { return e.said }

// git runs it to its end. An error is a fault or, where git itself failed, *ended.
func git(ctx context.Context, c call) ([]byte, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		missing := fault.New("tool_missing", "", "git is not installed, and the seed is a git checkout")
		missing.Hint = "sudo apt-get install git"
		return nil, missing
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	args := []string{"--no-pager", "--literal-pathspecs"}
	for _, one := range append(append([]string{}, settings...), c.settings...) {
		args = append(args, "-c", one)
	}
	command := exec.CommandContext(within, program, append(args, c.args...)...)
	command.Dir, command.Env, command.Stdin = c.dir, environment(c), c.in
	if c.dir == "" {
		command.Dir = "/"
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
	command.WaitDelay = time.Second
	said := &tail{}
	command.Stderr = said
	answer, err := follow(command, c.out)
	if ctx.Err() != nil {
		return nil, fault.From(ctx.Err(), "", "")
	}
	if within.Err() != nil {
		return nil, fault.Retry("timed_out", "", "git %s did not end within %v", c.args[0], patience)
	}
	var failure *exec.ExitError
	if errors.As(err, &failure) {
		return answer, &ended{failure.ExitCode(), said.text()}
	}
	if err != nil {
		return nil, fault.From(err, "running git", c.args[0])
	}
	return answer, nil
}

// follow reads what git writes while it runs. A reader that gives up ends git.
func follow(command *exec.Cmd, out func(io.Reader) error) ([]byte, error) {
	var kept bytes.Buffer
	if out == nil {
		out = func(from io.Reader) error {
			n, err := io.Copy(&kept, io.LimitReader(from, maxSaid+1))
			if err == nil && n > maxSaid {
				err = fault.New("git_failed", "", "git says more than %d bytes", maxSaid)
			}
			return err
		}
	}
	pipe, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	readErr := out(bufio.NewReaderSize(pipe, 256<<10))
	if readErr != nil {
		_ = command.Cancel()
	}
	err = command.Wait()
	if readErr != nil {
		return nil, readErr
	}
	return kept.Bytes(), err
}

func environment(c call) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GIT_DIR=" + c.gitDir, "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_ATTR_NOSYSTEM=1", "GIT_ALLOW_PROTOCOL=", "GIT_PROTOCOL_FROM_USER=0",
	}
	if c.trusted {
		env = append(env, "HOME="+os.Getenv("HOME"))
	} else {
		// An older git knows the home only, a newer one the variables.
		env = append(env, "HOME=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null")
	}
	if c.workTree != "" {
		env = append(env, "GIT_WORK_TREE="+c.workTree)
	}
	if c.alternate != "" {
		env = append(env, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+listed(c.alternate))
	}
	return env
}

// listed quotes a path as a list of paths wants it: colons part them, and a quote begins a quoted one.
func listed(path string) string {
	if !strings.ContainsAny(path, ":\"\\\n") {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}

// failed is the error for a git that could not do what it was asked.
func failed(what, path string, err error) error {
	var known *ended
	if errors.As(err, &known) {
		said := known.said
		if said == "" {
			said = "it ended with an error"
		}
		return fault.New("git_failed", path, "git cannot %s %s: %s", what, path, said)
	}
	return err
}

// tail keeps the last of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxError; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	return strings.ToValidUTF8(strings.TrimSpace(string(t.kept)), "?")
}
