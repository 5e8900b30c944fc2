package hold

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/host/wire"
)

const firstLineTimeout = 5 * time.Second

// launch is a hand to start; only the main thread does it.
type launch struct {
	binary  string
	fd      int
	started chan error
}

func (l launch) run() error {
	_, err := syscall.ForkExec(l.binary, []string{"pyro-native", "hand"}, &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{uintptr(l.fd), uintptr(l.fd), 2},
		Sys: &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM, Setsid: true},
	})
	return err
}

type firstLine struct {
	Hand string `json:"hand"`
	Exit bool   `json:"exit"`
}

func accept(listener *net.UnixListener, hands chan<- launch, leave chan<- struct{}) {
	for {
		connection, err := listener.AcceptUnix()
		if err != nil {
			// Out of descriptors, mostly: wait rather than spin.
			time.Sleep(50 * time.Millisecond)
			continue
		}
		go greet(connection, hands, leave)
	}
}

// greet reads the first line and hands the connection on.
func greet(connection *net.UnixConn, hands chan<- launch, leave chan<- struct{}) {
	defer connection.Close()
	if !samePeer(connection) {
		refuse(connection, "forbidden", "only the user who started the holder may use it")
		return
	}
	_ = connection.SetDeadline(time.Now().Add(firstLineTimeout))
	line, ok := readFirst(connection)
	var first firstLine
	if !ok || wire.Strict(line, &first) != nil || first.Exit == (first.Hand != "") {
		refuse(connection, "protocol_error", "the first line is neither a hand nor an exit")
		return
	}
	if first.Exit {
		_, _ = connection.Write([]byte("{\"ok\":true}\n"))
		leave <- struct{}{}
		return
	}
	if !filepath.IsAbs(first.Hand) {
		refuse(connection, "bad_path", "the hand's binary is not an absolute path")
		return
	}
	_ = connection.SetDeadline(time.Time{})
	raw, err := connection.SyscallConn()
	if err != nil {
		return
	}
	var startErr error
	err = raw.Control(func(fd uintptr) {
		// The descriptor's flags are shared: the hand expects one that blocks, and this side uses it no more.
		_ = unix.SetNonblock(int(fd), false)
		one := launch{binary: first.Hand, fd: int(fd), started: make(chan error, 1)}
		hands <- one
		if startErr = <-one.started; startErr != nil {
			_ = unix.SetNonblock(int(fd), true)
		}
	})
	if err == nil && startErr != nil {
		refuse(connection, "hand_failed", "starting "+first.Hand+": "+startErr.Error())
	}
}

// samePeer compares ids as the kernel maps them into this namespace: the starter's are 0 here.
func samePeer(connection *net.UnixConn) bool {
	raw, err := connection.SyscallConn()
	if err != nil {
		return false
	}
	same := false
	_ = raw.Control(func(fd uintptr) {
		peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		same = err == nil && int(peer.Uid) == os.Getuid()
	})
	return same
}

// readFirst takes one byte at a time: what follows the line belongs to the hand.
func readFirst(connection *net.UnixConn) ([]byte, bool) {
	line := make([]byte, 0, 256)
	var one [1]byte
	for len(line) < 8192 {
		if n, err := connection.Read(one[:]); n != 1 || err != nil {
			return nil, false
		}
		if one[0] == '\n' {
			return line, true
		}
		line = append(line, one[0])
	}
	return nil, false
}

func refuse(connection *net.UnixConn, code string, message string) {
	_ = connection.SetWriteDeadline(time.Now().Add(time.Second))
	line, _ := json.Marshal(map[string]any{"error": Problem{Code: code, Message: message}})
	_, _ = connection.Write(append(line, '\n'))
}
