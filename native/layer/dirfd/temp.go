package dirfd

import (
	"crypto/rand"
	"encoding/hex"
)

// TempName is prefix-<16 random hex digits>: long enough that two never meet.
func TempName(prefix string) string {
	var random [8]byte
	_, _ = rand.Read(random[:])
	return prefix + "-" + hex.EncodeToString(random[:])
}
