package wire

import (
	"encoding/json"
	"testing"
)

func TestDefaults(t *testing.T) {
	s, err := ParseSpec([]byte(`{"id":"a-b_1","argv":["true"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.SpoolBytes != DefaultSpool || *s.KillGraceMS != DefaultKillGrace || s.Stdin != "none" {
		t.Errorf("%+v", s)
	}
}

// FuzzSpec: whatever arrives is refused or within bounds, and says the same when it is said again.
func FuzzSpec(f *testing.F) {
	for _, seed := range []string{
		`{"id":"a","argv":["sh","-c","x"],"cwd":"/","env":{"A":"b"},"user":"1:2","timeout_ms":5,"kill_grace_ms":0}`,
		`{"id":"a","argv":["x"],"stdin":"pipe","stdin_data":"aGk=","stdin_open":true,"spool_bytes":65536,"attach":true}`,
		`{"id":"","argv":null}`, `[]`, `{"id":"a","argv":["\u0000"]}`, `{"id":"a","argv":["x"],"nope":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := ParseSpec(body)
		if err != nil {
			if err.Status != 400 || err.Code == "" {
				t.Errorf("%+v", err)
			}
			return
		}
		if !ValidID(s.ID) || len(s.Argv) == 0 || s.SpoolBytes < MinSpool || s.SpoolBytes > MaxSpool || *s.KillGraceMS < 0 {
			t.Errorf("%+v", s)
		}
		again, _ := json.Marshal(s)
		if _, err := ParseSpec(again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}
