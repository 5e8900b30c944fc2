package archive

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// smallFile is what is kept in memory until a writer takes it; a larger one is written as it is read.
const smallFile = 64 << 10

// work is one small file to write.
type work struct {
	dir     *directory
	name    string
	shown   string
	content []byte
	mode    uint32
	times   [2]unix.Timespec
}

// writers make small files while the archive is read on: what takes time is the file system.
type writers struct {
	unpacker *unpacker
	queue    chan work
	buffers  sync.Pool
	ended    sync.WaitGroup

	lock    sync.Mutex
	idle    *sync.Cond
	waiting int
	failure error
}

func (w *writers) start(u *unpacker) {
	count := max(2, min(4, runtime.GOMAXPROCS(0)))
	w.unpacker, w.queue = u, make(chan work, 16*count)
	w.buffers.New = func() any { return make([]byte, 0, smallFile) }
	w.idle = sync.NewCond(&w.lock)
	for range count {
		w.ended.Add(1)
		go func() {
			defer w.ended.Done()
			for next := range w.queue {
				w.take(next)
			}
		}()
	}
}

func (w *writers) put(next work) {
	next.dir.users.Add(1)
	w.lock.Lock()
	w.waiting++
	w.lock.Unlock()
	w.queue <- next
}

func (w *writers) take(next work) {
	if w.failed() == nil {
		w.note(w.write(&next))
	}
	w.note(next.dir.release())
	w.buffers.Put(next.content[:0])
	w.lock.Lock()
	if w.waiting--; w.waiting == 0 {
		w.idle.Broadcast()
	}
	w.lock.Unlock()
}

func (w *writers) write(next *work) error {
	fd, err := create(next.dir.fd, next.name, next.mode)
	if err == unix.EEXIST {
		return w.unpacker.twice(next.shown)
	}
	if err != nil {
		return fault.From(err, "creating", next.shown)
	}
	defer unix.Close(fd)
	for rest := next.content; len(rest) > 0; {
		n, err := dirfd.Retry(func() (int, error) { return unix.Write(fd, rest) })
		if err != nil {
			return fault.From(err, "writing", next.shown)
		}
		rest = rest[n:]
	}
	if err := w.unpacker.attributes(fd, next.mode, &next.times); err != nil {
		return fault.From(err, "setting the attributes of", next.shown)
	}
	return nil
}

func create(dir int, name string, mode uint32) (int, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	return dirfd.Retry(func() (int, error) { return unix.Openat(dir, name, flags, mode) })
}

// drain waits until everything that was put is written.
func (w *writers) drain() {
	w.lock.Lock()
	for w.waiting > 0 {
		w.idle.Wait()
	}
	w.lock.Unlock()
}

// note keeps the first error.
func (w *writers) note(err error) {
	if err == nil {
		return
	}
	w.lock.Lock()
	if w.failure == nil {
		w.failure = err
	}
	w.lock.Unlock()
}

func (w *writers) failed() error {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.failure
}

// stop ends the writers when everything is written, or nothing is any more.
func (w *writers) stop() error {
	close(w.queue)
	w.ended.Wait()
	return w.failed()
}
