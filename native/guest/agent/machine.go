package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"pyro/native/layer/changes"
	"pyro/native/layer/fault"
	"pyro/native/wire"
)

// Machine is what the agent of a machine can do beyond that of a container, whose host has the disks at hand.
type Machine interface {
	Identify(wire.Identity) error
	// MountWorkspace is done once; asked again it changes nothing.
	MountWorkspace(seeded bool) error
	// Layers lets the host take layers out, and put one in.
	Layers() http.Handler
	Changes(ctx context.Context, limit int) (*changes.Result, error)
	// Tree writes what lies at a path below /workspace as a tar; begin is called before the first byte, with what it is.
	Tree(ctx context.Context, path string, begin func(kind string), to io.Writer) error
}

// maxChanges is what an answer lists at most.
const maxChanges = 100_000

// errorTrailer carries, as JSON, why a body ended before its end.
const errorTrailer = "Pyro-Error"

func (a *api) identity(r *http.Request) (any, *wire.Error) {
	var ask wire.Identity
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	if err := ask.Check(); err != nil {
		return nil, err
	}
	return struct{}{}, failure(a.Machine.Identify(ask))
}

func (a *api) workspace(r *http.Request) (any, *wire.Error) {
	var ask wire.WorkspaceRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	return struct{}{}, failure(a.Machine.MountWorkspace(ask.Seeded))
}

func (a *api) changes(r *http.Request) (any, *wire.Error) {
	q := parseQuery(r, "limit")
	limit := int(q.numberOr("limit", maxChanges, 0))
	if q.err != nil {
		return nil, q.err
	}
	result, err := a.Machine.Changes(r.Context(), limit)
	return result, failure(err)
}

func (a *api) tree(w http.ResponseWriter, r *http.Request) {
	q := parseQuery(r, "path")
	if q.err != nil {
		fail(w, q.err)
		return
	}
	begun := false
	out := bufio.NewWriterSize(&steady{w, http.NewResponseController(w)}, 256<<10)
	err := a.Machine.Tree(r.Context(), q.values.Get("path"), func(kind string) {
		begun = true
		w.Header().Set("Pyro-Kind", kind)
		w.Header().Set("Content-Type", "application/x-tar")
		w.Header().Set("Trailer", errorTrailer)
	}, out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		return
	}
	if !begun {
		fail(w, failure(err))
		return
	}
	_ = out.Flush()
	said, _ := json.Marshal(failure(err))
	w.Header().Set(errorTrailer, ascii(string(said)))
}

// ascii is the same JSON in characters that a header can carry.
func ascii(said string) string {
	var out strings.Builder
	for _, r := range said {
		if r < utf8.RuneSelf {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.String()
}

// steady gives each piece of a long body its own time to leave: a reader that takes nothing for so long is gone.
type steady struct {
	to   io.Writer
	with *http.ResponseController
}

func (s *steady) Write(data []byte) (int, error) {
	_ = s.with.SetWriteDeadline(time.Now().Add(answerTimeout))
	return s.to.Write(data)
}

// failure is an error of the layers as the API tells it.
func failure(err error) *wire.Error {
	if err == nil {
		return nil
	}
	var told *wire.Error
	if errors.As(err, &told) {
		return told
	}
	known := fault.From(err, "the machine failed", "")
	var layered *fault.Error
	if !errors.As(known, &layered) {
		return wire.Fail(http.StatusInternalServerError, "internal", "%v", err)
	}
	status := http.StatusInternalServerError
	switch layered.Code {
	case "path_not_found":
		status = http.StatusNotFound
	case "bad_path", "bad_args", "link_leaves", "not_exportable":
		status = http.StatusBadRequest
	case "wrong_state", "export_changed":
		status = http.StatusConflict
	case "disk_full":
		status = http.StatusInsufficientStorage
	}
	return wire.Fail(status, layered.Code, "%s", layered.Message)
}
