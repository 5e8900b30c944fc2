package archive

import (
	"bytes"
	"strconv"
	"strings"
)

const blockSize = 512

type format int

const (
	formatPlain format = iota
	formatGzip
	formatZstd
)

// formatOf looks at the first bytes: RFC 1952 for gzip, RFC 8878 for zstd with its skippable frames.
func formatOf(head []byte) format {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return formatGzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return formatZstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return formatZstd
	}
	return formatPlain
}

// isTar tells the first block of a tar of any age by its checksum (POSIX pax, "ustar interchange format"): the sum of its
// bytes, with the field itself as spaces. Old writers summed signed bytes. Nothing but zeros is a tar of nothing.
func isTar(block []byte) bool {
	const from, to = 148, 156
	stored := strings.Trim(string(block[from:to]), " \x00")
	if stored == "" {
		return len(bytes.Trim(block, "\x00")) == 0
	}
	claimed, err := strconv.ParseInt(stored, 8, 64)
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for at, one := range block {
		if at >= from && at < to {
			one = ' '
		}
		unsigned += int64(one)
		signed += int64(int8(one))
	}
	return claimed == unsigned || claimed == signed
}

// others are kinds of files that people try, by their first bytes.
var others = []struct{ begins, is string }{
	{"", "an empty file"},
	{"PK\x03\x04", "a zip file"},
	{"BZh", "compressed by bzip2"},
	{"\xfd7zXZ\x00", "compressed by xz"},
	{"\x04\x22\x4d\x18", "compressed by lz4"},
	{"7z\xbc\xaf\x27\x1c", "a 7z file"},
	{"Rar!", "a rar file"},
	{"!<arch>\n", "an ar file"},
	{"0707", "a cpio file"},
	{"\x1f\x9d", "compressed by compress"},
}

// instead says what a file is that is no archive of ours.
func instead(head []byte) string {
	for _, one := range others {
		if one.begins == "" && len(head) == 0 || one.begins != "" && strings.HasPrefix(string(head), one.begins) {
			return one.is
		}
	}
	return "a plain file"
}
