package vmlinux

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// Extract returns what QEMU and Firecracker boot directly: for amd64 the ELF kernel inside a bzImage, with the note
// that PVH booting needs; for arm64 the Image.
func Extract(data []byte, arch string) ([]byte, error) {
	switch arch {
	case "amd64":
		return extractELF(data)
	case "arm64":
		return extractImage(data)
	}
	return nil, fmt.Errorf("kernels for %s are not known", arch)
}

// Fields of the setup header: Linux, Documentation/arch/x86/boot.rst.
const (
	setupSects    = 0x1f1
	bootFlag      = 0x1fe
	headerMagic   = 0x202
	version       = 0x206
	payloadOffset = 0x248
	payloadLength = 0x24c
	headerEnd     = 0x250
	// The payload's place is in the header since this version of the protocol.
	firstVersion = 0x208
)

func extractELF(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		payload, err := payloadOf(data)
		if err != nil {
			return nil, err
		}
		if data, err = decompress(payload, true); err != nil {
			return nil, fmt.Errorf("unpacking the kernel: %w", err)
		}
	}
	if err := checkPVH(data); err != nil {
		return nil, err
	}
	return data, nil
}

func payloadOf(data []byte) ([]byte, error) {
	if len(data) < headerEnd || binary.LittleEndian.Uint16(data[bootFlag:]) != 0xaa55 || string(data[headerMagic:headerMagic+4]) != "HdrS" {
		return nil, errors.New("it is no bzImage")
	}
	if found := binary.LittleEndian.Uint16(data[version:]); found < firstVersion {
		return nil, fmt.Errorf("its boot protocol %#x is older than %#x", found, firstVersion)
	}
	sectors := int64(data[setupSects])
	if sectors == 0 {
		sectors = 4
	}
	from := (sectors+1)*512 + int64(binary.LittleEndian.Uint32(data[payloadOffset:]))
	to := from + int64(binary.LittleEndian.Uint32(data[payloadLength:]))
	if from >= to || to > int64(len(data)) {
		return nil, errors.New("its header names a payload outside the file")
	}
	return data[from:to], nil
}

// noteEntry is XEN_ELFNOTE_PHYS32_ENTRY: where a PVH loader jumps to (Xen, xen/include/public/elfnote.h).
const noteEntry = 18

func checkPVH(data []byte) error {
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the unpacked kernel: %w", err)
	}
	defer file.Close()
	if file.Machine != elf.EM_X86_64 || file.Type != elf.ET_EXEC && file.Type != elf.ET_DYN {
		return fmt.Errorf("the unpacked kernel is %v for %v", file.Type, file.Machine)
	}
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_NOTE || segment.Filesz > 1<<20 {
			continue
		}
		notes := make([]byte, segment.Filesz)
		if _, err := segment.ReadAt(notes, 0); err != nil {
			return fmt.Errorf("the unpacked kernel's notes: %w", err)
		}
		if hasNote(notes, "Xen\x00", noteEntry) {
			return nil
		}
	}
	return errors.New("the kernel has no entry for PVH (CONFIG_PVH)")
}

// hasNote reads notes of 4-byte alignment: name size, description size, type, name, description.
func hasNote(notes []byte, name string, kind uint32) bool {
	align := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for len(notes) >= 12 {
		nameSize, descSize := binary.LittleEndian.Uint32(notes), binary.LittleEndian.Uint32(notes[4:])
		next := 12 + align(nameSize) + align(descSize)
		if next > uint64(len(notes)) {
			return false
		}
		if string(notes[12:12+nameSize]) == name && binary.LittleEndian.Uint32(notes[8:]) == kind {
			return true
		}
		notes = notes[next:]
	}
	return false
}

// extractImage takes an arm64 Image (Linux, Documentation/arch/arm64/booting.rst), packed or not, or one inside an EFI
// zboot program (Linux, drivers/firmware/efi/libstub/zboot-header.S).
func extractImage(data []byte) ([]byte, error) {
	if len(data) >= 28 && string(data[:2]) == "MZ" && string(data[4:8]) == "zimg" {
		from := uint64(binary.LittleEndian.Uint32(data[8:]))
		to := from + uint64(binary.LittleEndian.Uint32(data[12:]))
		if from >= to || to > uint64(len(data)) {
			return nil, errors.New("its header names a payload outside the file")
		}
		data = data[from:to]
	}
	data, err := decompress(data, false)
	if err != nil {
		return nil, fmt.Errorf("unpacking the kernel: %w", err)
	}
	if len(data) < 64 || string(data[56:60]) != "ARM\x64" {
		return nil, errors.New("it is no arm64 Image")
	}
	return data, nil
}
