package agent

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"pyro/native/wire"
)

// handle answers with what f returns, as JSON.
func handle(f func(*http.Request) (any, *wire.Error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// Bodies must arrive in time; a handler that waits for a job has read its body before.
		if r.Body != http.NoBody {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		answer, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		send(w, http.StatusOK, answer)
	}
}

func fail(w http.ResponseWriter, err *wire.Error) { send(w, err.Status, err) }

func send(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"code":"internal","message":"the answer can't be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func unknown(r *http.Request) (any, *wire.Error) {
	return nil, wire.Fail(http.StatusNotFound, "not_found", "nothing here: %s", r.Method)
}

// body reads a request's body up to a limit.
func body(r *http.Request, limit int64) ([]byte, *wire.Error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge(limit)
	}
	if err != nil {
		return nil, wire.Bad("the body did not arrive: %v", err)
	}
	return data, nil
}

func tooLarge(limit int64) *wire.Error {
	return wire.Fail(http.StatusRequestEntityTooLarge, "too_large", "the body is longer than %d bytes", limit)
}

// decode reads a small JSON body; an empty one leaves the defaults.
func decode(r *http.Request, into any) *wire.Error {
	data, err := body(r, 64<<10)
	if err != nil || len(data) == 0 {
		return err
	}
	return wire.Decode(data, into)
}

// query is the query of a request; names that nobody knows are refused as they are in bodies.
type query struct {
	values url.Values
	err    *wire.Error
}

func parseQuery(r *http.Request, known ...string) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.err = wire.Bad("the query can't be read")
	}
	for name, v := range values {
		if !strings.Contains(" "+strings.Join(known, " ")+" ", " "+name+" ") || len(v) != 1 {
			q.err = wire.Bad("unknown or repeated parameter")
		}
	}
	return q
}

// number is a parameter between 0 and max; nil when it is not there.
func (q *query) number(name string, max uint64) *uint64 {
	if !q.values.Has(name) {
		return nil
	}
	n, err := strconv.ParseUint(q.values.Get(name), 10, 64)
	if err != nil || n > max {
		q.err = wire.Bad("%s must be a number from 0 to %d", name, max)
	}
	return &n
}

func (q *query) numberOr(name string, max, fallback uint64) uint64 {
	if n := q.number(name, max); n != nil {
		return *n
	}
	return fallback
}

// wait is wait_ms; longer than the bound is the bound, as a caller asks again anyway.
func (q *query) wait() time.Duration {
	return time.Duration(min(q.numberOr("wait_ms", 1<<53, 0), wire.MaxWaitMS)) * time.Millisecond
}

func (q *query) flag(name string) bool { return q.numberOr(name, 1, 0) == 1 }
