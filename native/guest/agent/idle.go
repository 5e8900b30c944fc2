package agent

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// watch knows which connections have requests under way.
type watch struct {
	mu   sync.Mutex
	busy map[net.Conn]bool
}

func (w *watch) note(c net.Conn, state http.ConnState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if state == http.StateActive {
		w.busy[c] = true
	} else {
		delete(w.busy, c)
	}
}

func (w *watch) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.busy) == 0
}

// settle waits until the last answer has left.
func (w *watch) settle(limit time.Duration) {
	for deadline := time.Now().Add(limit); !w.idle() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}
