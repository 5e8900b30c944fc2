// Package hold is the holder: one small process for each PYRO_HOME that keeps the namespaces every mount lives
// in, and starts a hand inside them for each connection.
package hold

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/wire"
)

const readyTimeout = 20 * time.Second

// Info is what the starter and later engines learn of the holder.
type Info struct {
	Pid       int            `json:"pid"`
	StartTime uint64         `json:"start_time"`
	BootID    string         `json:"boot_id"`
	Mode      string         `json:"mode"`
	UIDMap    []wire.IDRange `json:"uid_map"`
	GIDMap    []wire.IDRange `json:"gid_map"`
	Stage     string         `json:"stage"`
}

// Problem is why there is no holder, and what to do about it.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Message }

type report struct {
	OK bool `json:"ok,omitempty"`
	*Info
	Error *Problem `json:"error,omitempty"`
}

// Main starts the holder and prints one line about it. The stages are for this program's own use: "map" waits
// for its ids inside a new user namespace, "serve" is the holder.
func Main(args []string) int {
	flags := flag.NewFlagSet("hold", flag.ContinueOnError)
	socket := flags.String("socket", "", "unix socket to listen on")
	info := flags.String("info", "", "file to describe the holder in")
	stage := flags.String("stage", "", "internal")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	for _, path := range []string{*socket, *info} {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return say(os.Stdout, nil, &Problem{Code: "bad_path", Message: fmt.Sprintf("%q is not an absolute, clean path", path)})
		}
	}
	if len(*socket) > 104 {
		return say(os.Stdout, nil, &Problem{Code: "bad_path", Message: "the socket's path is longer than 104 bytes"})
	}
	switch *stage {
	case "":
		started, err := start(*socket, *info)
		return say(os.Stdout, started, err)
	case "map":
		return waitForIDs(args)
	case "serve":
		return serve(*socket, *info)
	}
	return 2
}

func say(out io.Writer, info *Info, err error) int {
	line := report{OK: err == nil, Info: info}
	if err != nil {
		line.Info = nil
		if !errors.As(err, &line.Error) {
			line.Error = &Problem{Code: "hold_failed", Message: err.Error()}
		}
	}
	data, _ := json.Marshal(line)
	_, _ = out.Write(append(data, '\n'))
	if err != nil {
		return 1
	}
	return 0
}

// start launches the holder in new namespaces and waits until it serves.
func start(socket string, info string) (*Info, error) {
	ready, readyWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	mappedRead, mapped, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer mapped.Close()
	child := exec.Command("/proc/self/exe", "hold", "--socket", socket, "--info", info, "--stage", "serve")
	child.Args[0] = os.Args[0]
	child.Dir = "/"
	child.ExtraFiles = []*os.File{readyWrite, mappedRead}
	if child.Stderr, err = openLog(info); err != nil {
		return nil, err
	}
	attributes := &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNS}
	child.SysProcAttr = attributes
	ordinary := os.Geteuid() != 0
	var ids ranges
	if ordinary {
		if ids, err = findRanges(); err != nil {
			return nil, err
		}
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		child.Args[len(child.Args)-1] = "map"
	}
	err = child.Start()
	readyWrite.Close()
	mappedRead.Close()
	if err != nil {
		return nil, namespaceProblem(err, ordinary)
	}
	result, err := follow(child, ordinary, ids, mapped, ready)
	if err != nil {
		_ = child.Process.Kill()
		_, _ = child.Process.Wait()
		return nil, err
	}
	_ = child.Process.Release()
	return result, nil
}

func follow(child *exec.Cmd, ordinary bool, ids ranges, mapped *os.File, ready *os.File) (*Info, error) {
	if ordinary {
		if err := ids.mapInto(child.Process.Pid); err != nil {
			return nil, err
		}
		if _, err := mapped.Write([]byte{1}); err != nil {
			return nil, err
		}
	}
	_ = ready.SetReadDeadline(time.Now().Add(readyTimeout))
	var line report
	if err := json.NewDecoder(io.LimitReader(ready, 1<<20)).Decode(&line); err != nil {
		return nil, fmt.Errorf("the holder did not come up: %w", err)
	}
	if line.Error != nil {
		return nil, line.Error
	}
	return line.Info, nil
}

// openLog is where a holder or a hand that fails says why.
func openLog(info string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(info), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(info+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
}
