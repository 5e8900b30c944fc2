package wire

import (
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	for _, good := range []Identity{{}, {Hostname: "a-B.9", MachineID: strings.Repeat("0f", 16), NowMS: 1, Entropy: make([]byte, MaxEntropy)}} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []Identity{
		{Hostname: "a b"}, {Hostname: "a\n"}, {Hostname: strings.Repeat("a", 65)}, {MachineID: "xyz"},
		{MachineID: strings.Repeat("0F", 16)}, {NowMS: -1}, {NowMS: 1 << 50}, {Entropy: make([]byte, MaxEntropy+1)},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
