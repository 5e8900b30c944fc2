// Package link is what init and the supervisor of a job say to each other: JSON behind a length, descriptors beside it.
package link

import (
	"encoding/binary"
	"encoding/json"
	"errors"
)

// maxMessage bounds one message: argv and env (1 MiB) with JSON escapes.
const maxMessage = 8 << 20

// Order goes from init to a supervisor.
type Order struct {
	Op      string `json:"op"` // run | signal | kill
	Run     *Run   `json:"run,omitempty"`
	Signal  int    `json:"signal,omitempty"`
	GraceMS int64  `json:"grace_ms,omitempty"`
}

// Run is a job with everything looked up. With it come the descriptors of stdout, stderr and, with Stdin, stdin.
type Run struct {
	Argv   []string `json:"argv"`
	Env    []string `json:"env"`
	Path   string   `json:"path"`
	Cwd    string   `json:"cwd"`
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups"`
	As     bool     `json:"as"` // change to UID, GID and Groups
	Stdin  bool     `json:"stdin"`
}

// Report goes from a supervisor to init: started or failed, then exited, then (when nothing of the tree is left) empty.
type Report struct {
	Op        string `json:"op"`
	Pid       int    `json:"pid,omitempty"`
	Code      string `json:"code,omitempty"`
	Message   string `json:"message,omitempty"`
	Exit      *int   `json:"exit,omitempty"`
	Signal    int    `json:"signal,omitempty"`
	CPUMS     int64  `json:"cpu_ms,omitempty"`
	PeakBytes int64  `json:"peak_bytes,omitempty"`
	Survivors int    `json:"survivors,omitempty"`
	Alone     bool   `json:"alone,omitempty"` // the main process was the last of the tree
}

var errTooLong = errors.New("message too long")

func encode(message any) ([]byte, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	if len(body) > maxMessage {
		return nil, errTooLong
	}
	return append(binary.LittleEndian.AppendUint32(make([]byte, 0, len(body)+4), uint32(len(body))), body...), nil
}
