package machine

import (
	"encoding/json"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"pyro/native/host/process"
	"pyro/native/host/wire"
	"pyro/native/layer/fault"
)

// record names a machine's process for good.
type record struct {
	Pid       int    `json:"pid"`
	StartTime uint64 `json:"start_time"`
	BootID    string `json:"boot_id"`
}

func (r record) alive() bool { return r.BootID == wire.BootID() && process.Same(r.Pid, r.StartTime) }

func readRecord(path string) (known record, ok bool) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return known, false
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, 4096))
	return known, err == nil && json.Unmarshal(data, &known) == nil
}

// writeRecord is done before the keeper may start anything, so that nothing runs that no record names.
func writeRecord(path string, known record) error {
	data, err := json.Marshal(known)
	if err == nil {
		temp := path + ".tmp"
		if err = os.WriteFile(temp, data, 0o600); err == nil {
			err = os.Rename(temp, path)
		}
	}
	if err != nil {
		return fault.From(err, "writing", path)
	}
	return nil
}
