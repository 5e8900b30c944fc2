// Package users looks names up in the sandbox's own /etc/passwd and /etc/group.
package users

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read: the files belong to the sandbox and may hold anything.
const maxFile = 4 << 20

// User is who a job runs as.
type User struct {
	Name     string
	UID, GID uint32
	Groups   []uint32
	Home     string
}

// Lookup takes "" (the superuser), a name, a uid, or uid:gid. False: there is no such user.
func Lookup(who, root string) (User, bool) {
	return find(who, readFile(root+"/etc/passwd"), readFile(root+"/etc/group"))
}

// seen keeps the text of both files while they stay the same: every command looks a user up.
var seen = struct {
	sync.Mutex
	files map[string]text
}{files: map[string]text{}}

type text struct {
	dev, ino       uint64
	size           int64
	mtime, changed unix.Timespec
	content        string
}

func readFile(path string) string {
	seen.Lock()
	defer seen.Unlock()
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return ""
	}
	now := text{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim, changed: st.Ctim}
	old := seen.files[path]
	now.content = old.content
	if now == old {
		return old.content
	}
	// O_NONBLOCK: a fifo that takes its place meanwhile must not hold init up.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(time.Second))
	data, _ := io.ReadAll(io.LimitReader(f, maxFile))
	now.content = string(data)
	seen.files[path] = now
	return now.content
}

func find(who, passwd, group string) (User, bool) {
	if who == "" {
		who = "0"
	}
	name, gidText, hasGid := strings.Cut(who, ":")
	uid, numeric := number(name)
	if hasGid && !numeric {
		return User{}, false
	}
	user, known := User{Home: "/", UID: uid}, false
	for line := range strings.SplitSeq(passwd, "\n") {
		f := strings.Split(line, ":")
		if len(f) < 6 || f[0] == "" {
			continue
		}
		u, okU := number(f[2])
		g, okG := number(f[3])
		if okU && okG && (numeric && u == uid || !numeric && f[0] == name) {
			user, known = User{Name: f[0], UID: u, GID: g, Home: f[5]}, true
			break
		}
	}
	if !known && !numeric {
		return User{}, false
	}
	if !known && uid == 0 {
		user.Name, user.Home = "root", "/root"
	}
	if !known {
		user.GID = 0
	}
	if user.Home == "" || user.Home[0] != '/' {
		user.Home = "/"
	}
	if hasGid {
		gid, ok := number(gidText)
		if !ok {
			return User{}, false
		}
		user.GID = gid
		user.Groups = []uint32{gid}
		return user, true
	}
	user.Groups = groups(user, group)
	return user, true
}

// groups are the primary and the supplementary ones, as many as the kernel takes.
func groups(user User, group string) []uint32 {
	gids := []uint32{user.GID}
	if user.Name == "" {
		return gids
	}
	for line := range strings.SplitSeq(group, "\n") {
		f := strings.Split(line, ":")
		if len(f) < 4 {
			continue
		}
		gid, ok := number(f[2])
		if !ok || slices.Contains(gids, gid) || len(gids) >= 1024 {
			continue
		}
		if slices.Contains(strings.Split(f[3], ","), user.Name) {
			gids = append(gids, gid)
		}
	}
	return gids
}

// number is an id; the highest means "none" to the kernel.
func number(text string) (uint32, bool) {
	if text == "" || text[0] < '0' || text[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}
