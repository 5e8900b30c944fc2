package wire

import (
	"os"

	"golang.org/x/sys/unix"
)

// The root of a sandbox must be reachable by the sandbox's own root user, who cannot pass the 0700 directories
// that state lies in. So the holder covers one directory that every machine has and nobody needs with a small
// tmpfs; this is seen only in the holder's mount namespace. sysfs directories come first: nothing removes them.
var stageCandidates = []string{
	"/sys/kernel/debug", "/sys/kernel/tracing", "/sys/fs/pstore", "/sys/kernel/security", "/sys/fs/bpf",
	"/mnt", "/media", "/srv",
}

const stageSource = "pyro-stage"

// MountStage mounts it and returns where.
func MountStage() (string, error) {
	var last error = unix.ENOENT
	for _, path := range stageCandidates {
		err := unix.Mount(stageSource, path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=4m")
		if err == nil {
			return path, nil
		}
		last = err
	}
	return "", last
}

// FindStage asks each candidate whether it is the holder's tmpfs, by the mark the holder left there.
func FindStage() string {
	for _, path := range stageCandidates {
		if _, err := os.Lstat(path + "/" + stageMark); err == nil {
			return path
		}
	}
	return ""
}

const stageMark = ".pyro-stage"

// MarkStage leaves the mark.
func MarkStage(path string) error {
	return os.WriteFile(path+"/"+stageMark, nil, 0o600)
}
