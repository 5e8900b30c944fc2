// Package layers lets the host take a machine's layers out, and put one in, as OCI layer tars: what is on a disk that a
// guest wrote is read in a guest.
package layers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/layertar"
	"pyro/native/wire"
)

// Bounds of a layer that comes in: the disk itself is the nearer one.
const (
	maxEntries = 20_000_000
	maxBytes   = 16 << 40
	// stall ends a transfer whose other side does nothing for so long.
	stall = 60 * time.Second
)

// Places are the directories of the layers, by name; one that the machine does not have is not among them.
type Places map[string]string

// Handler serves GET /v1/layer?name=NAME, and PUT of those that writable allows: an empty layer that nothing is mounted over.
func Handler(places Places, writable func(name string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("name")
		path, known := places[name]
		switch {
		case !known:
			refuse(w, fault.New("path_not_found", "", "there is no layer %.40q here", name))
		case r.Method == http.MethodGet:
			send(w, r, path)
		case r.Method == http.MethodPut && writable(name):
			receive(w, r, path)
		default:
			refuse(w, fault.New("wrong_state", "", "the layer %s cannot be replaced now", name))
		}
	})
}

// send streams; a failure after the first byte breaks the stream off, which the host tells from an end.
func send(w http.ResponseWriter, r *http.Request, path string) {
	dir, err := dirfd.OpenDir(path)
	if err != nil {
		refuse(w, err)
		return
	}
	defer unix.Close(dir)
	w.Header().Set("Content-Type", "application/x-tar")
	out := &patient{w: w, control: http.NewResponseController(w)}
	buffered := bufio.NewWriterSize(out, 256<<10)
	_, err = layertar.Pack(r.Context(), dir, buffered, layertar.PackOptions{})
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		if !out.begun {
			refuse(w, err)
			return
		}
		panic(http.ErrAbortHandler)
	}
}

// receive fills an empty layer; on any failure it is empty again.
func receive(w http.ResponseWriter, r *http.Request, path string) {
	dir, err := dirfd.OpenDir(path)
	if err != nil {
		refuse(w, err)
		return
	}
	defer unix.Close(dir)
	if names, err := dirfd.List(dir); err != nil || len(names) > 0 {
		refuse(w, fault.New("wrong_state", "", "the layer is not empty"))
		return
	}
	in := &patientBody{r: r, control: http.NewResponseController(w)}
	taken, err := layertar.Unpack(r.Context(), in, dir, layertar.UnpackOptions{MaxEntries: maxEntries, MaxBytes: maxBytes})
	if err != nil {
		empty(dir)
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"files": taken.Files, "bytes": taken.Bytes, "skipped": taken.Skipped})
}

func empty(dir int) {
	_, _ = unix.Seek(dir, 0, unix.SEEK_SET)
	names, _ := dirfd.List(dir)
	for _, one := range names {
		_ = dirfd.RemoveAt(dir, one.Name)
	}
}

var statuses = map[string]int{"path_not_found": http.StatusNotFound, "wrong_state": http.StatusConflict,
	"layer_invalid": http.StatusUnprocessableEntity, "layer_too_large": http.StatusUnprocessableEntity, "disk_full": http.StatusInsufficientStorage}

func refuse(w http.ResponseWriter, err error) {
	said := fault.From(err, "a layer", "")
	status, ok := statuses[said.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	if errors.Is(err, context.Canceled) {
		return // Nobody listens any more.
	}
	body, _ := json.Marshal(wire.Fail(status, said.Code, "%.1000s", said.Message))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// patient gives every write its own time, so that a long transfer lasts as long as it moves.
type patient struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (p *patient) Write(part []byte) (int, error) {
	p.begun = true
	_ = p.control.SetWriteDeadline(time.Now().Add(stall))
	return p.w.Write(part)
}

type patientBody struct {
	r       *http.Request
	control *http.ResponseController
}

func (p *patientBody) Read(part []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(stall))
	return p.r.Body.Read(part)
}
