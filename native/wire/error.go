package wire

import "fmt"

// Error is what goes wrong, by a stable code; Status is its HTTP status.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Status  int    `json:"-"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func Fail(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func Bad(format string, args ...any) *Error { return Fail(400, "bad_request", format, args...) }
