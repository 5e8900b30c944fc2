package layertar

import "encoding/binary"

// Two attributes hold ids, little-endian, and are translated like owners.
//
// security.capability (linux/capability.h): u32 magic with the revision in its top byte, then two pairs of u32; from
// revision 3 on a u32 with the id that root has in the namespace which gave them.
//
// system.posix_acl_* (linux/posix_acl_xattr.h): u32 version 2, then entries of u16 tag, u16 permissions, u32 id.
const (
	capRevisionMask = 0xff000000
	capRevision2    = 0x02000000
	capRevision3    = 0x03000000
	capSize2        = 20
	capSize3        = 24

	aclVersion = 2
	aclHeader  = 4
	aclEntry   = 8
	aclUser    = 0x02
	aclGroup   = 0x08
)

// translate maps the ids in a value; nil where it is malformed or holds an id that has no counterpart.
func translate(name string, value []byte, id func(uint32) (uint32, bool)) []byte {
	switch name {
	case capabilities:
		return translateCapabilities(value, id)
	case accessList, defaultList:
		return translateList(value, id)
	}
	return value
}

// translateCapabilities writes revision 2 where root is 0 and revision 3 where it is another.
func translateCapabilities(value []byte, id func(uint32) (uint32, bool)) []byte {
	if len(value) < capSize2 {
		return nil
	}
	magic, root := binary.LittleEndian.Uint32(value), uint32(0)
	switch {
	case magic&capRevisionMask == capRevision2 && len(value) == capSize2:
	case magic&capRevisionMask == capRevision3 && len(value) == capSize3:
		root = binary.LittleEndian.Uint32(value[capSize2:])
	default:
		return nil
	}
	mapped, ok := id(root)
	if !ok {
		return nil
	}
	out := append([]byte{}, value[:capSize2]...)
	revision := uint32(capRevision2)
	if mapped != 0 {
		revision = capRevision3
		out = binary.LittleEndian.AppendUint32(out, mapped)
	}
	binary.LittleEndian.PutUint32(out, magic&^capRevisionMask|revision)
	return out
}

func translateList(value []byte, id func(uint32) (uint32, bool)) []byte {
	if len(value) < aclHeader || (len(value)-aclHeader)%aclEntry != 0 || binary.LittleEndian.Uint32(value) != aclVersion {
		return nil
	}
	out := append([]byte{}, value...)
	for at := aclHeader; at < len(out); at += aclEntry {
		if tag := binary.LittleEndian.Uint16(out[at:]); tag != aclUser && tag != aclGroup {
			continue
		}
		mapped, ok := id(binary.LittleEndian.Uint32(out[at+4:]))
		if !ok {
			return nil
		}
		binary.LittleEndian.PutUint32(out[at+4:], mapped)
	}
	return out
}
