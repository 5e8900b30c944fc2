package layer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// awkward fills a directory with everything a layer can hold.
func awkward(t *testing.T, root string, base uint32) {
	t.Helper()
	write(t, root+"/plain", "plain")
	write(t, root+"/dir/deep/file", strings.Repeat("x", 300_000))
	write(t, root+"/empty", "")
	write(t, root+"/name with\nnewline \xff\xfe \u00e9", "special")
	write(t, root+"/-rf", "dash")
	write(t, root+"/"+strings.Repeat("long", 60), "long")
	write(t, root+"/"+strings.Repeat(strings.Repeat("d", 200)+"/", 3)+"far", "far")
	must(t, os.Link(root+"/plain", root+"/dir/second"))
	must(t, os.Link(root+"/plain", root+"/zz"))
	must(t, os.Symlink("../outside/"+strings.Repeat("t", 200), root+"/link"))
	must(t, os.Symlink("/etc/passwd", root+"/dir/absolute"))
	must(t, unix.Mkfifo(root+"/fifo", 0o640))
	must(t, unix.Mknod(root+"/dir/gone", unix.S_IFCHR, 0))
	must(t, os.MkdirAll(root+"/anew/inner", 0o755))
	must(t, unix.Setxattr(root+"/anew", "user.overlay.opaque", []byte("y"), 0))
	must(t, unix.Setxattr(root+"/plain", "user.note", []byte("v\x00\n="), 0))
	must(t, unix.Setxattr(root+"/dir", "user.empty", nil, 0))
	file, err := os.Create(root + "/sparse")
	must(t, err)
	_, err = file.WriteAt([]byte("end"), 9<<20)
	must(t, err)
	must(t, file.Close())
	must(t, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		must(t, err)
		return os.Lchown(path, int(base), int(base))
	}))
	must(t, os.Lchown(root+"/plain", int(base)+1000, int(base)+65534))
	must(t, os.Lchown(root+"/link", int(base)+7, int(base)+8))
	must(t, os.Chmod(root+"/plain", 0o640))
	must(t, unix.Chmod(root+"/empty", 0o6755))
	must(t, os.Chmod(root+"/dir/deep", 0o500))
	must(t, unix.Setxattr(root+"/-rf", "security.capability", capability(base), 0))
	must(t, unix.Setxattr(root+"/dir", "system.posix_acl_default", accessList(base+5), 0))
	must(t, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		must(t, err)
		stamp := unix.Timespec{Sec: 1_600_000_000 + int64(len(path)), Nsec: 123_456_789}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// capability is cap_net_bind_service, given by the root of a namespace.
func capability(root uint32) []byte {
	value := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if root != 0 {
		value[3] = 3
		value = append(value, byte(root), byte(root>>8), byte(root>>16), byte(root>>24))
	}
	return value
}

func accessList(user uint32) []byte {
	value := []byte{2, 0, 0, 0}
	for _, entry := range []struct {
		tag, perm byte
		id        uint32
	}{{1, 7, 1<<32 - 1}, {2, 6, user}, {4, 5, 1<<32 - 1}, {16, 7, 1<<32 - 1}, {32, 5, 1<<32 - 1}} {
		value = append(value, entry.tag, 0, entry.perm, 0, byte(entry.id), byte(entry.id>>8), byte(entry.id>>16), byte(entry.id>>24))
	}
	return value
}
