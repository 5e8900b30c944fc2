// Package wire holds the messages of the agent API: what a host may ask of a sandbox and what it is told.
package wire

// Bounds of a request. They exist so that no host mistake and no hostile client can make init grow without limit.
const (
	Protocol         = 1
	MaxArgs          = 1 << 20 // argv and env together
	MaxStdin         = 1 << 20
	MaxBody          = 4 << 20 // JSON escapes may be longer than what they say
	MaxOutput        = 4 << 20
	MaxInline        = 1 << 20
	MinSpool         = 64 << 10
	MaxSpool         = 1 << 30
	DefaultSpool     = 32 << 20
	MaxWaitMS        = 300_000
	MaxGraceMS       = 600_000
	MaxTimeoutMS     = 366 * 24 * 3600 * 1000
	DefaultKillGrace = 2000
)

// JobSpec asks for one command.
type JobSpec struct {
	ID          string            `json:"id"`
	Argv        []string          `json:"argv"`
	Cwd         string            `json:"cwd,omitempty"`
	Env         map[string]string `json:"env,omitempty"`
	User        string            `json:"user,omitempty"`
	TimeoutMS   int64             `json:"timeout_ms,omitempty"`
	KillGraceMS *int64            `json:"kill_grace_ms,omitempty"`
	Stdin       string            `json:"stdin,omitempty"`
	StdinData   []byte            `json:"stdin_data,omitempty"`
	StdinOpen   bool              `json:"stdin_open,omitempty"`
	SpoolBytes  int64             `json:"spool_bytes,omitempty"`
	Attach      bool              `json:"attach,omitempty"`
}

const (
	StateRunning = "running"
	StateExited  = "exited"
)

// JobStatus is what is known of a job.
type JobStatus struct {
	ID              string       `json:"id"`
	State           string       `json:"state"`
	Pid             int          `json:"pid"`
	StartedAtMS     int64        `json:"started_at_ms"`
	EndedAtMS       *int64       `json:"ended_at_ms"`
	ExitCode        *int         `json:"exit_code"`
	Signal          *string      `json:"signal"`
	TimedOut        bool         `json:"timed_out"`
	Killed          bool         `json:"killed"`
	DurationMS      int64        `json:"duration_ms"`
	CPUMS           int64        `json:"cpu_ms"`
	PeakMemoryBytes int64        `json:"peak_memory_bytes"`
	Error           *Error       `json:"error"`
	Stdout          StreamStatus `json:"stdout"`
	Stderr          StreamStatus `json:"stderr"`
	Survivors       int          `json:"survivors"`
	Inline          *Inline      `json:"inline,omitempty"`
}

// StreamStatus says which offsets of a stream can still be read.
type StreamStatus struct {
	Start uint64 `json:"start"`
	End   uint64 `json:"end"`
	EOF   bool   `json:"eof"`
}

// Inline carries the beginning of both streams, for short commands.
type Inline struct {
	Stdout []byte `json:"stdout"`
	Stderr []byte `json:"stderr"`
}

type JobList struct {
	Jobs []JobStatus `json:"jobs"`
}

type Hello struct {
	Protocol int    `json:"protocol"`
	Build    string `json:"build"`
	Pid      int    `json:"pid"`
	NowMS    int64  `json:"now_ms"`
	Jobs     int    `json:"jobs"`
}

type SignalRequest struct {
	Signal string `json:"signal"`
}

// KillRequest and StopRequest: no grace_ms means the default of the job, or DefaultKillGrace.
type KillRequest struct {
	GraceMS *int64 `json:"grace_ms,omitempty"`
}

type StopRequest struct {
	GraceMS *int64 `json:"grace_ms,omitempty"`
}

type StdinResult struct {
	Written int `json:"written"`
}
