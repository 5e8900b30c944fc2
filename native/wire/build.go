package wire

import (
	"debug/elf"
	"strings"
	"sync"
)

// BuildID names the content of this very binary: the linker's content hash, the same on every machine that built the same
// source with the same tools. Nothing has to be passed in while building.
var BuildID = sync.OnceValue(func() string {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	section := f.Section(".note.go.buildid")
	if section == nil {
		return "unknown"
	}
	note, err := section.Data()
	if err != nil || len(note) < 17 {
		return "unknown"
	}
	id := strings.TrimRight(string(note[16:]), "\x00")
	return id[strings.LastIndexByte(id, '/')+1:]
})
