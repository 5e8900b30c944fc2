// Package tartest makes tars for fuzzers: what is tried is what tars say, and not whether they are tars.
package tartest

import (
	"archive/tar"
	"bytes"
	"slices"
	"strings"
	"time"
)

// What the entries of a program are made of. A program is groups of six bytes: type, three parts of a name, what the
// entry links to or holds, and its attributes.
var (
	kinds = []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeFifo, tar.TypeChar, tar.TypeXGlobalHeader, 'Z'}
	parts = []string{"", "a", "b", "c", ".", "..", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh.", ".wh..", ".wh..wh.plnk", "canary",
		"a/../..", "/", strings.Repeat("n", 256), strings.Repeat("d/", 1001)}
	links = []string{"a", "b", "a/b", "../canary", "/", "", ".", "..", strings.Repeat("l", 4096), "c",
		"/workspace/a", "/workspace/../a", "a/../b", "a/../../b", "b/a/.."}
	contents   = []string{"", "x", strings.Repeat("\x00", 5000), strings.Repeat("x", 5000) + strings.Repeat("\x00", 5000), strings.Repeat("y", 600_000)}
	attributes = []map[string]string{
		nil, {"user.a": "v"}, {"user.overlay.opaque": "y"}, {"security.capability": "\x01\x00\x00\x02" + zeros(16)},
		{"security.capability": "\x01\x00\x00\x03" + zeros(16) + "\x05\x00\x00\x00"}, {"security.capability": "short"},
		{"security.capability": "\x01\x00\x00\x07" + zeros(20)}, {"system.posix_acl_default": list(5)}, {"system.posix_acl_access": list(5)},
		{"system.posix_acl_access": list(1 << 30)}, {"system.posix_acl_default": "\x02"}, {"trusted.a": "v"}, {"user.": "v"},
	}
	owners = []int{0, 65_535, 65_536, -1, 70_000}
)

func zeros(n int) string { return strings.Repeat("\x00", n) }

// list is an access list that names one user.
func list(user uint32) string {
	out := "\x02\x00\x00\x00"
	for _, entry := range []struct {
		tag byte
		id  uint32
	}{{1, 1<<32 - 1}, {2, user}, {4, 1<<32 - 1}, {16, 1<<32 - 1}, {32, 1<<32 - 1}} {
		out += string([]byte{entry.tag, 0, 7, 0, byte(entry.id), byte(entry.id >> 8), byte(entry.id >> 16), byte(entry.id >> 24)})
	}
	return out
}

func pick[T any](from []T, at byte) T { return from[int(at)%len(from)] }

func name(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "/")
}

// Compile makes a tar of a program.
func Compile(program []byte) []byte {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for ; len(program) >= 6; program = program[6:] {
		kind, extra := pick(kinds, program[0]), program[5]
		header := &tar.Header{Format: tar.FormatPAX, Typeflag: kind, Mode: 0o7755, ModTime: time.Unix(int64(extra), int64(extra)),
			Name: name(pick(parts, program[1]), pick(parts, program[2]), pick(parts, program[3]))}
		header.Uid = pick(owners, extra>>5)
		content := ""
		switch kind {
		case tar.TypeReg:
			content = pick(contents, program[4])
		case tar.TypeSymlink, tar.TypeLink:
			header.Linkname = pick(links, program[4])
		case tar.TypeXGlobalHeader:
			*header = tar.Header{Format: tar.FormatPAX, Typeflag: kind, PAXRecords: map[string]string{"comment": "c"}}
		case 'Z':
			header.Typeflag = tar.TypeReg
		}
		for name, value := range pick(attributes, extra&31) {
			if kind != tar.TypeXGlobalHeader {
				header.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
			}
		}
		header.Size = int64(len(content))
		at := out.Len()
		if writer.WriteHeader(header) != nil {
			continue
		}
		if kind == 'Z' {
			retype(out.Bytes()[at:], 'Z')
		}
		_, _ = writer.Write([]byte(content))
	}
	_ = writer.Close()
	return out.Bytes()
}

// retype gives the last header a type that the writer does not know, and its checksum.
func retype(headers []byte, kind byte) {
	last := headers[len(headers)-512:]
	last[156] = kind
	copy(last[148:156], "        ")
	sum := 0
	for _, one := range last {
		sum += int(one)
	}
	for at := 153; at >= 148; at-- {
		last[at] = byte('0' + sum&7)
		sum >>= 3
	}
	last[154], last[155] = 0, ' '
}

// Programs say one thing about a name and then another.
var Programs = func() [][]byte {
	programs := [][]byte{{}}
	for first := range kinds {
		for second := range kinds {
			programs = append(programs, []byte{byte(first), 0, 0, 1, 0, 0, byte(second), 0, 0, 1, 1, 0},
				[]byte{byte(first), 0, 0, 1, 0, 0, byte(second), 0, 1, 2, 0, 1})
		}
		for mark := 6; mark < 12; mark++ {
			programs = append(programs, []byte{byte(first), 0, 0, 1, 0, 0, 0, 0, 0, byte(mark), 0, 0, byte(first), 0, 0, 1, 0, 0},
				[]byte{byte(first), 0, 1, byte(mark), 0, 0, byte(first), byte(mark), 0, 1, 0, 0, 1, 0, 0, 1, 0, 0})
		}
		for part := range parts {
			programs = append(programs, []byte{byte(first), 0, 0, byte(part), 0, 0}, []byte{byte(first), 0, byte(part), 2, 0, 0})
		}
		for more := range attributes {
			programs = append(programs, []byte{1, 0, 0, 1, 0, byte(more), byte(first), 0, 1, 2, 3, byte(more)})
		}
		for owner := range owners {
			programs = append(programs, []byte{byte(first), 0, 0, 1, 2, byte(owner << 5)})
		}
	}
	for link := range links {
		programs = append(programs, []byte{0, 0, 0, 1, 1, 0, 3, 0, 0, 2, byte(link), 0}, []byte{2, 0, 0, 1, byte(link), 0, 3, 0, 0, 2, 0, 0},
			[]byte{0, 0, 1, 2, 1, 0, 3, 0, 0, 3, byte(link), 0, 3, 0, 0, 3, byte(link), 0})
	}
	for link := range links {
		programs = append(programs, []byte{2, 0, 0, 1, byte(link), 0}, []byte{1, 0, 1, 2, 0, 0, 2, 0, 1, 2, byte(link), 0}, []byte{2, 0, 0, 2, byte(link), 0, 2, 0, 0, 3, 10, 0})
	}
	for content := range contents {
		programs = append(programs, []byte{0, 0, 0, 1, byte(content), 0, 0, 0, 0, 2, 4, 0, 0, 0, 0, 3, 4, 0})
	}
	return programs
}()
