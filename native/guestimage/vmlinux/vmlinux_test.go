package vmlinux

import (
	"bytes"
	"encoding/binary"
	"os/exec"
	"strings"
	"testing"
)

// kernelELF is the smallest file that passes for a PVH kernel: an ELF header, one PT_NOTE, and content to pack.
func kernelELF(note uint32) []byte {
	var out bytes.Buffer
	le := binary.LittleEndian
	notes := le.AppendUint32(nil, 4)
	notes = le.AppendUint32(notes, 8)
	notes = le.AppendUint32(notes, note)
	notes = append(notes, "Xen\x00\x10\x00\x00\x01\x00\x00\x00\x00"...)
	out.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	for _, field := range []any{uint16(2), uint16(62), uint32(1), uint64(0x1000000), uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(1), uint16(64), uint16(0), uint16(0),
		uint32(4), uint32(4), uint64(120), uint64(0), uint64(0), uint64(len(notes)), uint64(len(notes)), uint64(4)} {
		_ = binary.Write(&out, le, field)
	}
	out.Write(notes)
	// Calls, as in machine code: what xz's branch filter changes.
	for i := range uint32(50_000) {
		out.WriteByte(0xe8)
		_ = binary.Write(&out, le, i*7)
	}
	return out.Bytes()
}

func bzImage(payload []byte) []byte {
	image := make([]byte, 4*512+100)
	image[setupSects] = 3
	binary.LittleEndian.PutUint16(image[bootFlag:], 0xaa55)
	copy(image[headerMagic:], "HdrS")
	binary.LittleEndian.PutUint16(image[version:], 0x20f)
	binary.LittleEndian.PutUint32(image[payloadOffset:], 100)
	binary.LittleEndian.PutUint32(image[payloadLength:], uint32(len(payload)))
	return append(append(image, payload...), "what follows"...)
}

// pack runs the program that Linux's build runs, with its options (scripts/Makefile.lib, scripts/xz_wrap.sh).
func pack(t *testing.T, data []byte, program ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(program[0]); err != nil {
		t.Skip(program[0] + " is not installed")
	}
	command := exec.Command(program[0], program[1:]...)
	command.Stdin = bytes.NewReader(data)
	out, err := command.Output()
	if err != nil {
		t.Fatal(program, err)
	}
	return out
}

func TestExtractFromEachCompression(t *testing.T) {
	kernel := kernelELF(noteEntry)
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(kernel)))
	for _, one := range []struct {
		name    string
		program []string
		sized   bool
	}{
		{"gzip", []string{"gzip", "-n", "-9"}, false},
		{"xz", []string{"xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB"}, true},
		{"zstd", []string{"zstd", "-22", "--ultra"}, true},
		{"lz4", []string{"lz4", "-l", "-9", "-", "-"}, true},
		{"none", []string{"cat"}, false},
	} {
		t.Run(one.name, func(t *testing.T) {
			payload := pack(t, kernel, one.program...)
			if one.sized {
				payload = append(payload, size...)
			}
			got, err := Extract(bzImage(payload), "amd64")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, kernel) {
				t.Fatalf("%d bytes came out as %d others", len(kernel), len(got))
			}
		})
	}
}

func TestExtractRefuses(t *testing.T) {
	outside := bzImage([]byte("x"))
	binary.LittleEndian.PutUint32(outside[payloadLength:], 1<<31)
	old := bzImage([]byte("x"))
	binary.LittleEndian.PutUint16(old[version:], 0x202)
	for name, one := range map[string]struct {
		data []byte
		arch string
		want string
	}{
		"nothing":          {nil, "amd64", "no bzImage"},
		"text":             {bytes.Repeat([]byte("text"), 1000), "amd64", "no bzImage"},
		"payload outside":  {outside, "amd64", "outside the file"},
		"an old protocol":  {old, "amd64", "older"},
		"no PVH":           {kernelELF(1), "amd64", "CONFIG_PVH"},
		"broken gzip":      {bzImage([]byte("\x1f\x8b\x08broken")), "amd64", "gzip"},
		"broken lz4":       {bzImage([]byte("\x02\x21\x4c\x18\xff\xff\x00\x00broken....")), "amd64", "lz4"},
		"broken zstd":      {bzImage([]byte("\x28\xb5\x2f\xfdbroken....")), "amd64", "zstd"},
		"broken xz":        {bzImage([]byte("\xfd7zXZ\x00broken....")), "amd64", "xz"},
		"no Image":         {bytes.Repeat([]byte("text"), 1000), "arm64", "no arm64 Image"},
		"an unknown world": {nil, "vax", "not known"},
	} {
		if _, err := Extract(one.data, one.arch); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExtractImageOfArm(t *testing.T) {
	image := make([]byte, 4096)
	copy(image[56:], "ARM\x64")
	packed := pack(t, image, "gzip", "-n")
	zboot := make([]byte, 64, 64+len(packed))
	copy(zboot, "MZ\x00\x00zimg")
	binary.LittleEndian.PutUint32(zboot[8:], 64)
	binary.LittleEndian.PutUint32(zboot[12:], uint32(len(packed)))
	for name, data := range map[string][]byte{"plain": image, "gzip": packed, "zboot": append(zboot, packed...)} {
		if got, err := Extract(data, "arm64"); err != nil || !bytes.Equal(got, image) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(bzImage(kernelELF(noteEntry)), true)
	f.Add(kernelELF(noteEntry), true)
	f.Add([]byte("MZ\x00\x00zimg\x10\x00\x00\x00\x10\x00\x00\x00"), false)
	f.Fuzz(func(t *testing.T, data []byte, intel bool) {
		arch := "arm64"
		if intel {
			arch = "amd64"
		}
		_, _ = Extract(data, arch)
	})
}
