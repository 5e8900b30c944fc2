package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// Decode reads exactly one JSON value and refuses fields that nobody knows: a misspelt "timout_ms" must not run without a limit.
func Decode(body []byte, into any) *Error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return Bad("the body is not what is expected: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Bad("the body goes on after its JSON value")
	}
	return nil
}

func ParseSpec(body []byte) (*JobSpec, *Error) {
	spec := &JobSpec{}
	if err := Decode(body, spec); err != nil {
		return nil, err
	}
	if err := spec.normalize(); err != nil {
		return nil, err
	}
	return spec, nil
}

func ValidID(id string) bool {
	if len(id) < 1 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// normalize checks a spec and fills in its defaults.
func (s *JobSpec) normalize() *Error {
	if !ValidID(s.ID) {
		return Bad("id must be 1 to 64 of a-z, 0-9, _ and -")
	}
	if len(s.Argv) < 1 || s.Argv[0] == "" {
		return Bad("argv must name a command")
	}
	size := 0
	for _, a := range s.Argv {
		if strings.IndexByte(a, 0) >= 0 {
			return Bad("argv holds a NUL byte")
		}
		size += len(a) + 1
	}
	for k, v := range s.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.IndexByte(v, 0) >= 0 {
			return Bad("env holds a name or value that no environment can hold")
		}
		size += len(k) + len(v) + 2
	}
	if size > MaxArgs {
		return Bad("argv and env are longer than %d bytes", MaxArgs)
	}
	if strings.IndexByte(s.Cwd, 0) >= 0 || len(s.Cwd) > 4096 || s.Cwd != "" && s.Cwd[0] != '/' {
		return Bad("cwd must be an absolute path")
	}
	if len(s.User) > 256 {
		return Bad("user is too long")
	}
	if s.TimeoutMS < 0 || s.TimeoutMS > MaxTimeoutMS {
		return Bad("timeout_ms is out of bounds")
	}
	grace, err := Grace(s.KillGraceMS, DefaultKillGrace)
	if err != nil {
		return err
	}
	s.KillGraceMS = &grace
	if s.SpoolBytes == 0 {
		s.SpoolBytes = DefaultSpool
	}
	if s.SpoolBytes < MinSpool || s.SpoolBytes > MaxSpool {
		return Bad("spool_bytes must be %d to %d", MinSpool, MaxSpool)
	}
	return s.normalizeStdin()
}

func (s *JobSpec) normalizeStdin() *Error {
	if s.Stdin == "" {
		s.Stdin = "none"
	}
	if s.Stdin != "none" && s.Stdin != "pipe" {
		return Bad("stdin must be none or pipe")
	}
	if s.StdinOpen && s.Stdin != "pipe" {
		return Bad("stdin_open needs stdin pipe")
	}
	if len(s.StdinData) > MaxStdin {
		return Bad("stdin_data is longer than %d bytes", MaxStdin)
	}
	return nil
}

// Grace is the time between asking and forcing, within bounds.
func Grace(ms *int64, fallback int64) (int64, *Error) {
	if ms == nil {
		return fallback, nil
	}
	if *ms < 0 || *ms > MaxGraceMS {
		return 0, Bad("the grace must be 0 to %d ms", MaxGraceMS)
	}
	return *ms, nil
}
