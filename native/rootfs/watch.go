package rootfs

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
)

const lookEvery = 400 * time.Millisecond

// counted is what a caller is told on the way. Total is 0 where it is not known.
type counted struct {
	Text  string `json:"text"`
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"`
	Unit  string `json:"unit,omitempty"`
}

// watcher sees from outside how far an installation has come: by the archives that apt has downloaded and by dpkg's log.
type watcher struct {
	root string
	tell func(any)
	// archives by name, in bytes: apt removes those of the first packages before it loads the others.
	archives map[string]int64
	log      int64
	rest     string
	// settled are the packages that dpkg has called installed.
	settled map[string]bool
	said    counted
}

// watch tells until it is stopped; stop returns when it has ended.
func watch(root string, tell func(any)) (stop func()) {
	w := &watcher{root: root, tell: tell, archives: map[string]int64{}, settled: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(lookEvery):
				w.look()
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// look is about a tree that somebody else's scripts write to: nothing in it is followed or trusted.
func (w *watcher) look() {
	top, err := dirfd.OpenDir(w.root)
	if err != nil {
		return
	}
	defer unix.Close(top)
	w.sizes(top, "var/cache/apt/archives/partial")
	w.sizes(top, "var/cache/apt/archives")
	w.follow(top)
	var bytes int64
	for _, size := range w.archives {
		bytes += size
	}
	now := counted{Text: "downloading packages", Done: bytes, Unit: "bytes"}
	if len(w.settled) > 0 {
		now = counted{Text: "installing packages", Done: int64(len(w.settled)), Unit: "packages"}
	}
	if now != w.said && now.Done > 0 {
		w.said = now
		w.tell(now)
	}
}

func (w *watcher) sizes(top int, folder string) {
	fd, err := dirfd.OpenAt(top, folder, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	entries, _ := dirfd.List(fd)
	for _, entry := range entries {
		if st, err := dirfd.Stat(fd, entry.Name); err == nil && strings.HasSuffix(entry.Name, ".deb") && len(w.archives) < 10_000 {
			w.archives[entry.Name] = max(w.archives[entry.Name], st.Size)
		}
	}
}

// follow reads what dpkg's log has grown by: lines of "DATE TIME status installed NAME:ARCHITECTURE VERSION".
func (w *watcher) follow(top int) {
	fd, err := dirfd.OpenAt(top, "var/log/dpkg.log", unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return
	}
	file := os.NewFile(uintptr(fd), "dpkg.log")
	defer file.Close()
	part := make([]byte, 1<<20)
	n, err := file.ReadAt(part, w.log)
	if err != nil && err != io.EOF {
		return
	}
	whole := bytes.LastIndexByte(part[:n], '\n') + 1
	w.log += int64(whole)
	for line := range strings.SplitSeq(string(part[:whole]), "\n") {
		words := strings.Fields(line)
		if len(words) == 6 && words[2] == "status" && words[3] == "installed" && len(w.settled) < 10_000 {
			w.settled[words[4]] = true
		}
	}
}
