package modules

import (
	"bytes"
	"encoding/binary"
)

// Appended to a signed module: the signature, its description (12 bytes, the last four of them its length) and this mark.
// struct module_signature of linux/module_signature.h.
const (
	signatureMark = "~Module signature appended~\n"
	description   = 12
)

// Unsigned is a module without its signature, of which the checksum of its package has said everything. The kernel would
// check it again at every boot, which an emulated machine spends a twentieth of its boot on.
func Unsigned(module []byte) []byte {
	body, signed := bytes.CutSuffix(module, []byte(signatureMark))
	if !signed || len(body) < description {
		return module
	}
	length := uint64(binary.BigEndian.Uint32(body[len(body)-4:]))
	if length > uint64(len(body)-description) {
		return module
	}
	return body[:len(body)-description-int(length)]
}
