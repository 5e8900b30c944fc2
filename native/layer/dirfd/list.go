package dirfd

import (
	"bytes"
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
)

// Entry is one name of a directory; Type is DT_*, DT_UNKNOWN where the file system does not say.
type Entry struct {
	Name string
	Type uint8
}

var listBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// List reads the entries of an open directory from where its offset stands, without "." and "..". One that was removed
// since it was opened gives ENOENT.
func List(fd int) ([]Entry, error) {
	buffer := listBuffers.Get().(*[]byte)
	defer listBuffers.Put(buffer)
	var entries []Entry
	for {
		n, err := Retry(func() (int, error) { return unix.Getdents(fd, *buffer) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return entries, nil
		}
		entries = parse((*buffer)[:n], entries)
	}
}

// parse reads linux_dirent64 records: ino u64, off u64, reclen u16, type u8, name NUL.
func parse(records []byte, entries []Entry) []Entry {
	for len(records) >= 19 {
		length := int(binary.NativeEndian.Uint16(records[16:]))
		if length < 19 || length > len(records) {
			break
		}
		name := records[19:length]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		kind := records[18]
		records = records[length:]
		if string(name) == "." || string(name) == ".." {
			continue
		}
		entries = append(entries, Entry{Name: string(name), Type: kind})
	}
	return entries
}
