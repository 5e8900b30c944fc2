package guestimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pyro/native/guestimage/modules"
)

// module is the smallest ELF object with a section .modinfo.
func module(info string) []byte {
	names := "\x00.modinfo\x00.shstrtab\x00"
	var out bytes.Buffer
	put := func(fields ...any) {
		for _, field := range fields {
			_ = binary.Write(&out, binary.LittleEndian, field)
		}
	}
	at := uint64(64 + len(info) + len(names))
	out.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	put(uint16(1), uint16(62), uint32(1), uint64(0), uint64(0), at, uint32(0), uint16(64), uint16(0), uint16(0), uint16(64), uint16(3), uint16(2))
	out.WriteString(info + names)
	section := func(name, kind uint32, offset, size int) {
		put(name, kind, uint64(0), uint64(0), uint64(offset), uint64(size), uint32(0), uint32(0), uint64(1), uint64(0))
	}
	section(0, 0, 0, 0)
	section(1, 1, 64, len(info))
	section(10, 3, 64+len(info), len(names))
	return out.Bytes()
}

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	files := map[string][]byte{
		"virtio_mmio": module("license=GPL\x00depends=virtio,virtio-ring\x00"),
		"virtio":      module("depends=virtio_ring\x00"),
		"virtio_ring": module("depends=\x00"),
		"virtio_rng":  module("depends=virtio,rng_core\x00"),
		"loop_a":      module("depends=loop_b\x00"),
		"loop_b":      module("depends=loop_a\x00"),
		"orphan":      module("depends=nowhere\x00"),
		"broken":      []byte("no ELF"),
	}
	set := modules.Set{
		Builtin: map[string]bool{"rng_core": true},
		Read:    func(name string) ([]byte, error) { return files[name], nil },
	}
	order, err := set.Order([]string{"virtio_mmio", "virtio-rng", "rng-core"}, nil)
	if want := []string{"virtio_ring", "virtio", "virtio_mmio", "virtio_rng"}; err != nil || !slices.Equal(order, want) {
		t.Fatal(order, err)
	}
	if more, err := set.Order([]string{"virtio-rng"}, order[:3]); err != nil || !slices.Equal(more, []string{"virtio_rng"}) {
		t.Fatal(more, err)
	}
	for name, want := range map[string]string{"loop_a": "itself", "orphan": "no module nowhere", "broken": "broken", "absent": "no module absent"} {
		if _, err := set.Order([]string{name}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImagesAreTheSameEachTime(t *testing.T) {
	folder := t.TempDir()
	kernel, binary := filepath.Join(folder, "kernel"), filepath.Join(folder, "binary")
	write := func(path string, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(kernel+"/vmlinux", "a kernel")
	write(kernel+"/modules/order", "b.ko\na.ko\n")
	write(kernel+"/modules/b.ko", "b")
	write(kernel+"/modules/a.ko", "aaaaa")
	write(binary, "a program")
	sum := sha256.Sum256([]byte("a program"))
	spec := ImagesSpec{Kernel: kernel, Binary: binary, BinarySHA256: hex.EncodeToString(sum[:]), Manifest: "{}\n"}
	var made [2][]byte
	for i := range made {
		spec.Output = filepath.Join(folder, "out", string(rune('a'+i)))
		for _, want := range []bool{true, false} {
			result, err := Images(context.Background(), spec)
			if err != nil || result.Made != want {
				t.Fatal(result, err)
			}
		}
		data, err := os.ReadFile(filepath.Join(spec.Output, "initramfs"))
		if err != nil {
			t.Fatal(err)
		}
		made[i] = data
		// Another time of the same file changes nothing.
		write(binary, "a program")
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Fatal("two initramfs of equal inputs differ")
	}
	listed(t, made[0])

	write(binary, "another one")
	spec.Output = filepath.Join(folder, "out", "c")
	if _, err := Images(context.Background(), spec); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Fatalf("a changed binary was taken: %v", err)
	}
	if _, err := os.Lstat(spec.Output); err == nil {
		t.Fatal("a failed build has its name")
	}
}

// listed asks a reader that is not ours.
func listed(t *testing.T, archive []byte) {
	t.Helper()
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("cpio is not installed")
	}
	command := exec.Command("cpio", "-itv", "--numeric-uid-gid", "--quiet")
	command.Stdin = bytes.NewReader(archive)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		got = append(got, fields[0]+" "+fields[len(fields)-1])
	}
	want := []string{"drwxr-xr-x dev", "drwxr-xr-x mnt", "drwxr-xr-x modules", "dr-xr-xr-x proc", "drwx------ root",
		"drwxr-xr-x run", "dr-xr-xr-x sys", "drwxrwxrwt tmp", "crw------- dev/console", "crw-rw-rw- dev/null", "-rwxr-xr-x init",
		"-rw-r--r-- modules/a.ko", "-rw-r--r-- modules/b.ko", "-rw-r--r-- modules/order"}
	if !slices.Equal(got, want) {
		t.Errorf("the archive holds\n%s", strings.Join(got, "\n"))
	}
}

func TestSignaturesAreLeftOut(t *testing.T) {
	const mark = "~Module signature appended~\n"
	signed := "code" + "signature" + "12345678" + "\x00\x00\x00\x09" + mark
	for module, want := range map[string]string{
		signed: "code", "code": "code", "": "", mark: mark,
		"code" + "12345678" + "\xff\xff\xff\xff" + mark: "code" + "12345678" + "\xff\xff\xff\xff" + mark,
	} {
		if got := string(modules.Unsigned([]byte(module))); got != want {
			t.Errorf("%q: %q", module, got)
		}
	}
}

func TestDescriptionsOfTypesAreLeftOut(t *testing.T) {
	names := "\x00.text\x00.BTF\x00.names\x00"
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 64, Size: 4},
		{Name: 7, Type: uint32(elf.SHT_PROGBITS), Off: 68, Size: 4},
		{Name: 12, Type: uint32(elf.SHT_STRTAB), Off: 72, Size: uint64(len(names))},
	}
	header := elf.Header64{Type: 1, Machine: 62, Version: 1, Shoff: 72 + uint64(len(names)), Ehsize: 64, Shentsize: 64, Shnum: 4, Shstrndx: 3}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	var module bytes.Buffer
	for _, part := range []any{header, []byte("codeBTF!" + names), sections} {
		if err := binary.Write(&module, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	before := bytes.Clone(module.Bytes())
	object, err := elf.NewFile(bytes.NewReader(modules.Untyped(module.Bytes())))
	if err != nil || object.Section(".BTF") != nil || object.Section(".text") == nil {
		t.Errorf("%v, %v", object, err)
	}
	if !bytes.Equal(module.Bytes(), before) {
		t.Error("what was given changed")
	}
	for _, other := range []string{"", "code", "\x7fELF", string(before[:80])} {
		if got := string(modules.Untyped([]byte(other))); got != other {
			t.Errorf("%q: %q", other, got)
		}
	}
}
