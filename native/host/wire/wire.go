// Package wire is the hand protocol: JSON lines both ways, each at most MaxLine bytes.
package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"pyro/native/layer/fault"
)

// MaxLine bounds one line in either direction.
const MaxLine = 8 << 20

// Request is one line of the engine: an operation, or the cancelling of one.
type Request struct {
	ID     *int64          `json:"id,omitempty"`
	Op     string          `json:"op,omitempty"`
	Args   json.RawMessage `json:"args,omitempty"`
	Cancel *int64          `json:"cancel,omitempty"`
}

// Answer is one line of the hand; exactly one of Result, Error, Progress is set.
type Answer struct {
	ID       int64        `json:"id"`
	Result   any          `json:"result,omitempty"`
	Error    *fault.Error `json:"error,omitempty"`
	Progress any          `json:"progress,omitempty"`
}

// IDRange is one line of a uid_map or gid_map.
type IDRange struct {
	Inside  uint32 `json:"inside"`
	Outside uint32 `json:"outside"`
	Size    uint32 `json:"size"`
}

// ErrLineTooLong ends a connection: what follows cannot be told apart.
var ErrLineTooLong = errors.New("a protocol line is longer than 8 MiB")

// ReadLine reads one bounded line without its newline. A last line without one is io.ErrUnexpectedEOF.
func ReadLine(reader *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := reader.ReadSlice('\n')
		if len(line)+len(part) > MaxLine {
			return nil, ErrLineTooLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// Strict decodes exactly one JSON value and refuses fields that into does not have.
func Strict(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}
