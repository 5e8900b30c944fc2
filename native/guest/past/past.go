// Package past tells of jobs whose sandbox has ended, by the files that they left.
package past

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/guest/spool"
	"pyro/native/wire"
)

const (
	maxJobs   = 4096
	maxStatus = 64 << 10
)

// Jobs are those of one directory of spool files.
type Jobs struct{ Dir string }

// List is every job that left a file, by when it started.
func (p *Jobs) List() (wire.JobList, *wire.Error) {
	list := wire.JobList{Jobs: []wire.JobStatus{}}
	ids, err := p.ids()
	if err != nil {
		return list, err
	}
	for _, id := range ids {
		if status, err := p.Find(id); err == nil {
			list.Jobs = append(list.Jobs, status)
		}
	}
	slices.SortStableFunc(list.Jobs, func(a, b wire.JobStatus) int { return int(a.StartedAtMS - b.StartedAtMS) })
	return list, nil
}

func (p *Jobs) ids() ([]string, *wire.Error) {
	dir, err := os.Open(p.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, wire.Fail(500, "io_error", "the outputs can't be read: %v", err)
	}
	defer dir.Close()
	seen := map[string]bool{}
	for len(seen) < maxJobs {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			id, ext, _ := strings.Cut(name, ".")
			if wire.ValidID(id) && (ext == "json" || ext == "out") && len(seen) < maxJobs {
				seen[id] = true
			}
		}
		if err != nil {
			break
		}
	}
	ids := make([]string, 0, len(seen))
	for id := range seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// Find is the last that is known of one job: its own word, or for one that the machine's end cut off what its files say.
func (p *Jobs) Find(id string) (wire.JobStatus, *wire.Error) {
	var status wire.JobStatus
	if data, err := p.read(id); err == nil && json.Unmarshal(data, &status) == nil && status.ID == id {
		status.Inline, status.State, status.Survivors = nil, wire.StateExited, 0
		return status, nil
	}
	out, err := spool.Load(p.path(id, "out"))
	if err != nil {
		return status, wire.Fail(404, "job_not_found", "no job %q", id)
	}
	status = wire.JobStatus{ID: id, State: wire.StateExited, Stdout: stream(out)}
	status.Error = wire.Fail(500, "machine_ended", "the machine ended while the job ran")
	if info, err := os.Lstat(p.path(id, "out")); err == nil {
		status.StartedAtMS = max(0, info.ModTime().UnixMilli())
	}
	if err, loadErr := spool.Load(p.path(id, "err")); loadErr == nil {
		status.Stderr = stream(err)
	}
	return status, nil
}

func (p *Jobs) read(id string) ([]byte, error) {
	file, err := os.OpenFile(p.path(id, "json"), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fs.ErrInvalid
	}
	return io.ReadAll(io.LimitReader(file, maxStatus))
}

// Remove takes away what a job left.
func (p *Jobs) Remove(id string) *wire.Error {
	found := false
	for _, ext := range []string{"out", "err", "json"} {
		err := os.Remove(p.path(id, ext))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return wire.Fail(500, "io_error", "the output can't be removed: %v", err)
		}
		found = found || err == nil
	}
	if !found {
		return wire.Fail(404, "job_not_found", "no job %q", id)
	}
	return nil
}

// Output is what jobs.Job.Output is, with what can be read of the stream.
func (p *Jobs) Output(id string, which int, cursor uint64, into []byte) (uint64, []byte, wire.StreamStatus, *wire.Error) {
	s, err := spool.Load(p.path(id, []string{"out", "err"}[which]))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, wire.StreamStatus{}, wire.Fail(404, "job_not_found", "no job %q", id)
	}
	if err != nil {
		return 0, nil, wire.StreamStatus{}, wire.Fail(500, "spool_damaged", "the output can't be read: %v", err)
	}
	first, data, err := s.Read(cursor, into)
	if errors.Is(err, spool.ErrBeyond) {
		return 0, nil, wire.StreamStatus{}, wire.Fail(400, "bad_cursor", "cursor %d is beyond the end %d", cursor, s.End())
	}
	if err != nil {
		return 0, nil, wire.StreamStatus{}, wire.Fail(500, "spool_damaged", "the output can't be read: %v", err)
	}
	return first, data, stream(s), nil
}

func stream(s *spool.Stream) wire.StreamStatus {
	return wire.StreamStatus{Start: s.Start(), End: s.End(), EOF: true}
}

func (p *Jobs) path(id, ext string) string { return filepath.Join(p.Dir, id+"."+ext) }
