package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"sync"
)

// noteName begins the linker's note (ELF: sizes of name and content, type, name): type 4 of the name "Go".
var noteName = []byte("\x04\x00\x00\x00Go\x00\x00")

// noteReach is how much of the file is looked through for it: the linker puts notes on the first page.
const noteReach = 4096

// BuildID names the content of this very program: the linker's content hash, the same on every machine that built the same
// source with the same tools. Nothing has to be passed in while building.
var BuildID = sync.OnceValue(func() string {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	start := make([]byte, noteReach)
	n, _ := io.ReadFull(f, start)
	start = start[:n]
	at := bytes.Index(start, noteName)
	if at < 4 {
		return "unknown"
	}
	size := binary.NativeEndian.Uint32(start[at-4:])
	id := start[at+len(noteName):]
	if uint64(size) > uint64(len(id)) {
		return "unknown"
	}
	text := strings.TrimRight(string(id[:size]), "\x00")
	return text[strings.LastIndexByte(text, '/')+1:]
})
