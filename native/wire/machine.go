package wire

import "strings"

// MaxEntropy bounds what one request adds to the machine's random pool, in bytes.
const MaxEntropy = 512

// Identity is what makes a machine one of its own: it may be a copy of another, or have slept. Empty fields stay as they are.
type Identity struct {
	Hostname  string `json:"hostname,omitempty"`
	MachineID string `json:"machine_id,omitempty"` // 32 lower-case hexadecimal digits: machine-id(5)
	NowMS     int64  `json:"now_ms,omitempty"`
	Entropy   []byte `json:"entropy,omitempty"`
}

// Check refuses what no machine can be given.
func (i *Identity) Check() *Error {
	if len(i.Hostname) > 64 || strings.Trim(i.Hostname, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "" {
		return Bad("this can't be the name of a machine")
	}
	if i.MachineID != "" && (len(i.MachineID) != 32 || strings.Trim(i.MachineID, "0123456789abcdef") != "") {
		return Bad("machine_id must be 32 of 0-9 and a-f")
	}
	if i.NowMS < 0 || i.NowMS > 1<<45 {
		return Bad("now_ms is out of bounds")
	}
	if len(i.Entropy) > MaxEntropy {
		return Bad("entropy is longer than %d bytes", MaxEntropy)
	}
	return nil
}

// WorkspaceRequest: Seeded says that the baseline disk holds one; without, /workspace begins empty.
type WorkspaceRequest struct {
	Seeded bool `json:"seeded"`
}
