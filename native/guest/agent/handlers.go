package agent

import (
	"math"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"pyro/native/guest/jobs"
	"pyro/native/wire"
)

func (a *api) hello(*http.Request) (any, *wire.Error) {
	hello := wire.Hello{Protocol: wire.Protocol, Build: wire.BuildID(), Pid: os.Getpid(), NowMS: time.Now().UnixMilli()}
	if a.Jobs != nil {
		hello.Jobs = a.Jobs.Count()
	}
	return hello, nil
}

func (a *api) create(r *http.Request) (any, *wire.Error) {
	q := parseQuery(r, "wait_ms", "inline")
	wait, inline := q.wait(), int(q.numberOr("inline", wire.MaxInline, 0))
	if q.err != nil {
		return nil, q.err
	}
	data, err := body(r, wire.MaxBody)
	if err != nil {
		return nil, err
	}
	spec, err := wire.ParseSpec(data)
	if err != nil {
		return nil, err
	}
	j, err := a.Jobs.Create(spec)
	if err != nil {
		return nil, err
	}
	status, err := j.Poll(r.Context(), jobs.Cursors{}, wait, nil)
	if err == nil && inline > 0 {
		status.Inline = j.Inline(inline)
	}
	return status, err
}

func (a *api) list(*http.Request) (any, *wire.Error) { return a.Jobs.List(), nil }

func (a *api) find(r *http.Request) (*jobs.Job, *wire.Error) {
	id := r.PathValue("id")
	if !wire.ValidID(id) {
		return nil, wire.Bad("this can't be the id of a job")
	}
	return a.Jobs.Find(id)
}

func (a *api) poll(r *http.Request) (any, *wire.Error) {
	q := parseQuery(r, "wait_ms", "stdout", "stderr", "attach", "reader")
	cursors := jobs.Cursors{Stdout: q.number("stdout", math.MaxUint64), Stderr: q.number("stderr", math.MaxUint64)}
	wait, attach, name := q.wait(), q.flag("attach"), q.values.Get("reader")
	if name != "" && !wire.ValidID(name) {
		q.err = wire.Bad("this can't be the name of a reader")
	}
	if q.err != nil {
		return nil, q.err
	}
	j, err := a.find(r)
	if a.isPast(err) {
		return a.pastJob(r)
	}
	if err != nil {
		return nil, err
	}
	var reader *string
	if attach {
		reader = &name
	}
	return fromPoll(j.Poll(r.Context(), cursors, wait, reader))
}

func fromPoll(s wire.JobStatus, err *wire.Error) (any, *wire.Error) { return s, err }

func (a *api) remove(r *http.Request) (any, *wire.Error) {
	_, err := a.find(r)
	if a.isPast(err) {
		return struct{}{}, a.Past.Remove(r.PathValue("id"))
	}
	if err != nil {
		return nil, err
	}
	return struct{}{}, a.Jobs.Remove(r.PathValue("id"))
}

// output is bytes, with their place in the stream beside them.
func (a *api) output(w http.ResponseWriter, r *http.Request) {
	stream, cursor, max, err := parseOutput(r)
	if err != nil {
		fail(w, err)
		return
	}
	j, err := a.find(r)
	if a.isPast(err) {
		a.pastOutput(w, r)
		return
	}
	if err != nil {
		fail(w, err)
		return
	}
	into, done := room(max)
	defer done()
	first, data, err := j.Output(stream, cursor, into)
	if err != nil {
		fail(w, err)
		return
	}
	sendOutput(w, first, data, j.Stream(stream))
}

// smallRoom is not worth keeping; what is larger costs its pages each time it is made.
const smallRoom = 64 << 10

var rooms = sync.Pool{New: func() any { return new([wire.MaxOutput]byte) }}

// room is a place for an answer's bytes until done.
func room(size int) (into []byte, done func()) {
	if size <= smallRoom {
		return make([]byte, size), func() {}
	}
	whole := rooms.Get().(*[wire.MaxOutput]byte)
	return whole[:min(size, len(whole))], func() { rooms.Put(whole) }
}

// parseOutput reads which stream is asked for (0 stdout, 1 stderr), from where on, and how much at most.
func parseOutput(r *http.Request) (stream int, cursor uint64, max int, err *wire.Error) {
	q := parseQuery(r, "stream", "cursor", "max")
	cursor, most := q.numberOr("cursor", math.MaxUint64, 0), q.numberOr("max", wire.MaxOutput, 1<<20)
	stream = map[string]int{"stdout": 1, "stderr": 2}[q.values.Get("stream")] - 1
	if stream < 0 {
		q.err = wire.Bad("stream must be stdout or stderr")
	}
	return stream, cursor, int(most), q.err
}

func sendOutput(w http.ResponseWriter, first uint64, data []byte, at wire.StreamStatus) {
	set := func(name string, n uint64) { w.Header().Set(name, strconv.FormatUint(n, 10)) }
	set("pyro-cursor", first)
	set("pyro-next", first+uint64(len(data)))
	set("pyro-start", at.Start)
	set("pyro-end", at.End)
	set("pyro-eof", 0)
	if at.EOF {
		set("pyro-eof", 1)
	}
	set("Content-Length", uint64(len(data)))
	w.Header().Set("Content-Type", "application/octet-stream")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	_, _ = w.Write(data)
}

func (a *api) stdin(r *http.Request) (any, *wire.Error) {
	q := parseQuery(r, "eof")
	eof := q.flag("eof")
	if q.err != nil {
		return nil, q.err
	}
	j, err := a.find(r)
	if err != nil {
		return nil, err
	}
	data, err := body(r, wire.MaxStdin)
	if err != nil {
		return nil, err
	}
	n, err := j.Write(data, eof)
	return wire.StdinResult{Written: n}, err
}

func (a *api) signal(r *http.Request) (any, *wire.Error) {
	j, err := a.find(r)
	if err != nil {
		return nil, err
	}
	var ask wire.SignalRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	if err := j.Signal(ask.Signal); err != nil {
		return nil, err
	}
	return j.Status(), nil
}

func (a *api) kill(r *http.Request) (any, *wire.Error) {
	j, err := a.find(r)
	if err != nil {
		return nil, err
	}
	var ask wire.KillRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	grace, err := wire.Grace(ask.GraceMS, j.KillGrace())
	if err != nil {
		return nil, err
	}
	j.Kill(time.Duration(grace) * time.Millisecond)
	return j.Status(), nil
}

// stopAll tells what became of every job: nobody can be asked afterwards.
func (a *api) stopAll(r *http.Request) (any, *wire.Error) {
	var ask wire.StopRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	grace, err := wire.Grace(ask.GraceMS, wire.DefaultKillGrace)
	if err != nil {
		return nil, err
	}
	a.Stop(time.Duration(grace) * time.Millisecond)
	if a.Jobs == nil {
		return wire.JobList{Jobs: []wire.JobStatus{}}, nil
	}
	return a.Jobs.List(), nil
}
