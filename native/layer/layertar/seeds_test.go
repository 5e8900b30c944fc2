package layertar_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
)

const attribute = "SCHILY.xattr."

// seeds are tars that fuzzing begins with: what a tar may say, and what none may.
func seeds() [][]byte {
	dir, link, hard := byte(tar.TypeDir), byte(tar.TypeSymlink), byte(tar.TypeLink)
	records := func(name, value string) map[string]string { return map[string]string{attribute + name: value} }
	list := "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x07\x00\x01\x00\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x05\x00\xff\xff\xff\xff"
	many := make([]tar.Header, 70)
	for i := range many {
		many[i].Name = fmt.Sprint("f", i)
	}
	deep := strings.Repeat("d/", 1002)
	var out [][]byte
	for _, entries := range [][]tar.Header{
		{{Name: "./", Typeflag: dir, Mode: 0o755}, {Name: "a/b", Size: 3}, {Name: "l", Typeflag: link, Linkname: "../.."}},
		{{Name: ".wh.x"}, {Name: "x/y"}, {Name: "x/.wh..wh..opq"}, {Name: "z", Typeflag: hard, Linkname: "x/y"}},
		{{Name: "../canary"}}, {{Name: "l", Typeflag: link, Linkname: ".."}, {Name: "l/canary"}},
		{{Name: "p", Typeflag: tar.TypeFifo}, {Name: "n", Typeflag: tar.TypeChar}, {Name: "p", Typeflag: tar.TypeFifo}},
		{{Name: "x", PAXRecords: map[string]string{attribute + "user.a": "b", attribute + "security.capability": "\x01\x00\x00\x02"}}},
		{{Name: "x", PAXRecords: records("security.capability", "\x01\x00\x00\x02"+strings.Repeat("\x00", 16))}},
		{{Name: "d/", Typeflag: dir, PAXRecords: records("system.posix_acl_default", list)}, {Name: "d/f"}, {Name: "d/e/", Typeflag: dir}},
		{{Name: "d/", Typeflag: dir, PAXRecords: records("system.posix_acl_access", list[:9])}},
		{{Name: "x", PAXRecords: records("user."+strings.Repeat("n", 300), "v")}},
		{{Name: "x", Uid: 70000, Gid: 3}}, {{Name: "l", Typeflag: link, Linkname: "x", Uid: 70000}}, {{Name: "d/", Typeflag: dir, Gid: -2}},
		{{Name: "x", Uid: 7, Gid: 65534, Mode: 0o6755}, {Name: "d/", Typeflag: dir, Uid: 3, Mode: 0}, {Name: "d/f"}},
		{{Name: "a"}, {Name: "a/", Typeflag: dir}, {Name: "a/b"}}, {{Name: "a/b"}, {Name: "a"}}, {{Name: "a"}, {Name: "a/b"}},
		{{Name: "d/", Typeflag: dir}, {Name: "d", Typeflag: link, Linkname: "x"}}, {{Name: "d/f"}, {Name: "d", Typeflag: tar.TypeFifo}},
		{{Name: "a"}, {Name: "a", Typeflag: link, Linkname: "b"}, {Name: "a", Typeflag: hard, Linkname: "a"}},
		{{Name: "a"}, {Name: "b", Typeflag: hard, Linkname: "a"}, {Name: "b", Typeflag: hard, Linkname: "a"}, {Name: "c/d", Typeflag: hard, Linkname: "b"}},
		{{Name: "b", Typeflag: hard, Linkname: "none"}}, {{Name: "b", Typeflag: hard, Linkname: "../canary"}}, {{Name: "b", Typeflag: hard, Linkname: "/"}},
		{{Name: "d/", Typeflag: dir}, {Name: "b", Typeflag: hard, Linkname: "d"}}, {{Name: "d/f"}, {Name: "d", Typeflag: hard, Linkname: "d/f"}},
		{{Name: "a"}, {Name: "a/b", Typeflag: hard, Linkname: "a"}}, {{Name: "a"}, {Name: "a/l", Typeflag: link, Linkname: "x"}}, {{Name: "a"}, {Name: "a/b/", Typeflag: dir}},
		{{Name: ".wh.a"}, {Name: "a/", Typeflag: dir}, {Name: "a/b"}}, {{Name: ".wh.a"}, {Name: "a/b"}}, {{Name: ".wh.a"}, {Name: "a"}},
		{{Name: "a/b"}, {Name: ".wh.a"}}, {{Name: "a"}, {Name: ".wh.a"}}, {{Name: "a"}, {Name: "a/.wh.b"}}, {{Name: "a"}, {Name: "a/.wh..wh..opq"}},
		{{Name: ".wh.a/b"}}, {{Name: ".wh.d/", Typeflag: dir}}, {{Name: ".wh."}}, {{Name: ".wh..."}}, {{Name: ".wh..wh.plnk"}}, {{Name: ".wh..wh..opq"}},
		{{Name: "a"}, {Name: ".wh.a"}, {Name: "b", Typeflag: hard, Linkname: "a"}}, {{Name: ".wh.a"}, {Name: "b", Typeflag: hard, Linkname: "a"}},
		{{Name: "big", Size: 2 << 20}}, {{Name: "half", Size: 600 << 10}, {Name: "more", Size: 600 << 10}}, many,
		{{Name: deep + "f"}}, {{Name: strings.Repeat("n", 256)}}, {{Name: strings.Repeat("n/", 2500)}},
		{{Name: "l", Typeflag: link}}, {{Name: "l", Typeflag: link, Linkname: strings.Repeat("x", 5000)}}, {{Name: "/etc/x"}}, {{Name: "."}},
		{{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"comment": "x"}}, {Name: "a"}},
	} {
		out = append(out, made(entries))
	}
	whole, comment := out[0], map[string]string{"comment": strings.Repeat("x", 900<<10)}
	global := tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: comment}
	unknown := made([]tar.Header{{Name: "z", Typeflag: 'Z', Size: 3000}})
	file := made([]tar.Header{{Name: "s", Size: 600}})
	holes := bytes.Replace(made([]tar.Header{{Name: "h", Size: 20480}}), bytes.Repeat([]byte("data"), 2048), make([]byte, 8192), 1)
	return append(out, nil, make([]byte, 1024), whole[:len(whole)-1024], whole[:700], unknown, unknown[:1500], holes,
		retyped(file, tar.TypeGNUSparse), made([]tar.Header{global, global, global, global}),
		append(append([]byte{}, whole...), make([]byte, 1<<20)...), append(append([]byte{}, whole...), make([]byte, 4<<20)...))
}

// retyped is a tar whose first entry has another type, with the checksum that belongs to it.
func retyped(data []byte, kind byte) []byte {
	out := append([]byte{}, data...)
	out[156] = kind
	copy(out[148:156], "        ")
	sum := 0
	for _, one := range out[:512] {
		sum += int(one)
	}
	copy(out[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return out
}

func made(entries []tar.Header) []byte {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, entry := range entries {
		entry.Format = tar.FormatPAX
		if writer.WriteHeader(&entry) == nil {
			_, _ = writer.Write(bytes.Repeat([]byte("data"), int(entry.Size+3)/4)[:entry.Size])
		}
	}
	_ = writer.Close()
	return out.Bytes()
}
