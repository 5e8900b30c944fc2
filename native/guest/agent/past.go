package agent

import (
	"net/http"

	"pyro/native/wire"
)

// isPast says that a job which is not found may be one of an earlier start of the sandbox, which left its files.
func (a *api) isPast(err *wire.Error) bool {
	return err != nil && err.Code == "job_not_found" && a.Past != nil
}

func (a *api) pastJobs(*http.Request) (any, *wire.Error) { return a.Past.List() }

func (a *api) pastJob(r *http.Request) (any, *wire.Error) {
	id := r.PathValue("id")
	if !wire.ValidID(id) {
		return nil, wire.Bad("this can't be the id of a job")
	}
	return fromPoll(a.Past.Find(id))
}

func (a *api) pastOutput(w http.ResponseWriter, r *http.Request) {
	stream, cursor, max, err := parseOutput(r)
	if err == nil && !wire.ValidID(r.PathValue("id")) {
		err = wire.Bad("this can't be the id of a job")
	}
	if err != nil {
		fail(w, err)
		return
	}
	into, done := room(max)
	defer done()
	first, data, at, err := a.Past.Output(r.PathValue("id"), stream, cursor, into)
	if err != nil {
		fail(w, err)
		return
	}
	sendOutput(w, first, data, at)
}
