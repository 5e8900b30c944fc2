package layertar

import (
	"archive/tar"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
	"pyro/native/layer/overlay"
	"pyro/native/layer/stack"
)

// nobody is what an owner outside the range is called, in the tar as in the sandbox.
const nobody = 65534

// attributePrefix of a PAX record: star's form, which every tool of the field reads and writes.
const attributePrefix = "SCHILY.xattr."

// maxAttributes leaves room below the 1 MiB that readers take of one file's records.
const maxAttributes = 768 << 10

func (p *packer) header(st *unix.Stat_t, kind byte, name string) *tar.Header {
	return &tar.Header{
		Format: tar.FormatPAX, Typeflag: kind, Name: name, Mode: int64(st.Mode & 0o7777),
		Uid: outward(p.IDs, st.Uid), Gid: outward(p.IDs, st.Gid), ModTime: time.Unix(st.Mtim.Unix()),
	}
}

// outward is an id of the disk as the sandbox knows it.
func outward(ids *stack.Idmap, id uint32) int {
	if ids == nil {
		return int(id)
	}
	if id < ids.Base || id-ids.Base >= ids.Size {
		return nobody
	}
	return int(id - ids.Base)
}

// inward is an id of the sandbox as it is on disk; false where the range does not hold it.
func inward(ids *stack.Idmap, id int) (int, bool) {
	if ids == nil {
		return id, id >= 0 && id < 1<<32-1
	}
	if id < 0 || int64(id) >= int64(ids.Size) {
		return 0, false
	}
	return int(ids.Base) + id, true
}

// attributes puts the extended ones of an open file or directory into its header.
func (p *packer) attributes(fd int, path string, header *tar.Header) error {
	listed, err := listAttributes(fd)
	if err == unix.EOPNOTSUPP {
		return nil
	}
	if err != nil {
		return fault.From(err, "listing the attributes of", path)
	}
	total := 0
	for _, name := range listed {
		if !carried(name) {
			continue
		}
		value, err := readAttribute(fd, name)
		if err == unix.ENODATA {
			continue
		}
		if err != nil {
			return fault.From(err, "reading the attributes of", path)
		}
		total += len(name) + len(value) + 32
		if total > maxAttributes || strings.ContainsRune(name, '=') {
			p.skip(path, "attribute "+name)
			continue
		}
		if value = translate(name, value, func(id uint32) (uint32, bool) { return uint32(outward(p.IDs, id)), true }); value == nil {
			p.skip(path, "attribute "+name)
			continue
		}
		if header.PAXRecords == nil {
			header.PAXRecords = map[string]string{}
		}
		header.PAXRecords[attributePrefix+name] = string(value)
	}
	return nil
}

const (
	capabilities = "security.capability"
	accessList   = "system.posix_acl_access"
	defaultList  = "system.posix_acl_default"
)

// carried attributes belong to the files; others belong to the file system, to overlayfs or to a security module.
func carried(name string) bool {
	switch name {
	case capabilities, accessList, defaultList:
		return true
	}
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, overlay.Prefix)
}

func listAttributes(fd int) ([]string, error) {
	list, err := whole(func(room []byte) (int, error) { return unix.Flistxattr(fd, room) })
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00"), nil
}

func readAttribute(fd int, name string) ([]byte, error) {
	return whole(func(room []byte) (int, error) { return unix.Fgetxattr(fd, name, room) })
}

// whole asks how much there is and then for that much, until it does not grow in between.
func whole(get func(room []byte) (int, error)) ([]byte, error) {
	for {
		size, err := get(nil)
		if err != nil || size == 0 {
			return []byte{}, err
		}
		value := make([]byte, size)
		if size, err = get(value); err != unix.ERANGE {
			return value[:max(size, 0)], err
		}
	}
}
