// Package fault is the error every layer operation returns: a stable code, a sentence, the path it is about.
package fault

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Error is what crosses the hand protocol. Code is stable; Message is for people.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Path    string `json:"path,omitempty"`
	// Hint is what to do about it, where only the finder knows.
	Hint      string `json:"hint,omitempty"`
	Retryable bool   `json:"retryable,omitempty"`
	cause     error
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }
func (e *Error) Unwrap() error { return e.cause }

// New makes an error with a code, the path it is about (may be empty), and a formatted sentence.
func New(code, path, format string, args ...any) *Error {
	return &Error{Code: code, Path: path, Message: fmt.Sprintf(format, args...)}
}

// Retry is New for an error that may go away when the same request is sent again.
func Retry(code, path, format string, args ...any) *Error {
	e := New(code, path, format, args...)
	e.Retryable = true
	return e
}

// From gives any error a code: a full disk is disk_full, a cancelled context is cancelled, the rest io_error.
func From(err error, what, path string) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	code := "io_error"
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		code = "disk_full"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: "cancelled", Message: "the operation was cancelled", cause: err}
	}
	message := fmt.Sprintf("%s: %v", what, err)
	if path != "" {
		message = fmt.Sprintf("%s %s: %v", what, path, err)
	}
	return &Error{Code: code, Message: message, Path: path, cause: err}
}

// HasCode says whether err carries the code.
func HasCode(err error, code string) bool {
	var known *Error
	return errors.As(err, &known) && known.Code == code
}

// Clean checks that host paths are absolute and clean; the protocol takes no others.
func Clean(paths ...string) error {
	for _, path := range paths {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || len(path) > 4095 {
			return New("bad_path", path, "%q is not an absolute, clean path", path)
		}
		for i := 0; i < len(path); i++ {
			if path[i] == 0 {
				return New("bad_path", "", "a path holds a zero byte")
			}
		}
	}
	return nil
}
