package modules

import (
	"bytes"
	"debug/elf"
)

// shentsize is the size of an Elf64_Shdr, which begins with the offset of its section's name.
const shentsize = 64

// Untyped is a module whose descriptions of types (BTF) have lost their name, so that the kernel does not look for them. It
// would read them, and before the first those of the whole kernel, for tracers of modules' insides.
func Untyped(module []byte) []byte {
	object, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return module
	}
	defer object.Close()
	if object.Class != elf.ELFCLASS64 {
		return module
	}
	// e_shoff and e_shentsize of Elf64_Ehdr.
	table, size := object.ByteOrder.Uint64(module[0x28:]), object.ByteOrder.Uint16(module[0x3a:])
	if size != shentsize {
		return module
	}
	module = bytes.Clone(module)
	for i, section := range object.Sections {
		if section.Name == ".BTF" {
			object.ByteOrder.PutUint32(module[table+uint64(i)*shentsize:], 0)
		}
	}
	return module
}
