// Package session gives a machine's agent connections: over a virtio-serial port, where each begins with a handshake because
// bytes of an ended one may still be under way, and over vsock, which needs none.
//
// The handshake speaks in records of 40 bytes: 16 bytes of magic, one byte of kind, 7 zero bytes, 16 bytes of nonce. The host
// sends SYN until it sees ACK with its nonce, then GO once; the guest answers READY, and from then on the bytes are the
// session's. Whatever else comes while somebody looks for a record is dropped.
package session

import "bytes"

const (
	magic      = "pyro-session-v1\n"
	recordSize = 40

	kindSyn   = 1
	kindAck   = 2
	kindGo    = 3
	kindReady = 4
)

type nonce [16]byte

type record struct {
	kind  byte
	nonce nonce
}

func (r record) bytes() []byte {
	data := make([]byte, 0, recordSize)
	data = append(data, magic...)
	data = append(data, r.kind, 0, 0, 0, 0, 0, 0, 0)
	return append(data, r.nonce[:]...)
}

// next finds the first record and what follows it. Without one, the rest is what a record may begin with: never longer than
// one.
func next(data []byte) (found record, rest []byte, ok bool) {
	for {
		at := bytes.Index(data, []byte(magic))
		if at < 0 {
			return record{}, data[len(data)-overlap(data):], false
		}
		data = data[at:]
		if len(data) < recordSize {
			return record{}, data, false
		}
		if bytes.Equal(data[17:24], make([]byte, 7)) {
			copy(found.nonce[:], data[24:recordSize])
			found.kind = data[16]
			return found, data[recordSize:], true
		}
		data = data[1:]
	}
}

// overlap is how much of the end of data could be the beginning of the magic.
func overlap(data []byte) int {
	for n := min(len(data), len(magic)-1); n > 0; n-- {
		if bytes.HasPrefix([]byte(magic), data[len(data)-n:]) {
			return n
		}
	}
	return 0
}
