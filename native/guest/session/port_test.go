package session

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is a port and the host's end of its stream. Unlike a real port's, the host's end can't come back once it is closed.
func pair(t *testing.T) (*Port, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := os.NewFile(uintptr(fds[1]), "host")
	host, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	port := Listen(os.NewFile(uintptr(fds[0]), "port"))
	t.Cleanup(func() {
		host.Close()
		port.Close()
	})
	_ = host.SetDeadline(time.Now().Add(20 * time.Second))
	return port, host
}

func send(t *testing.T, to net.Conn, parts ...[]byte) {
	t.Helper()
	if _, err := to.Write(bytes.Join(parts, nil)); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, from net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%q (%v), want %q", got, err, want)
	}
}

// shake begins a session as a host does.
func shake(t *testing.T, host net.Conn, n nonce) {
	t.Helper()
	send(t, host, record{kindSyn, n}.bytes())
	expect(t, host, record{kindAck, n}.bytes())
	send(t, host, record{kindGo, n}.bytes())
	expect(t, host, record{kindReady, n}.bytes())
}

func accept(t *testing.T, port *Port) <-chan net.Conn {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if c, err := port.Accept(); err == nil {
			accepted <- c
		}
	}()
	return accepted
}

func TestSession(t *testing.T) {
	port, host := pair(t)
	accepted := accept(t, port)
	n := nonce{1, 2, 3}
	send(t, host, record{kindSyn, n}.bytes())
	expect(t, host, record{kindAck, n}.bytes())
	// What comes with the host's GO is the session's.
	send(t, host, record{kindGo, n}.bytes(), []byte("early"))
	expect(t, host, record{kindReady, n}.bytes())
	c := <-accepted
	send(t, host, []byte("later"))
	got := make([]byte, 10)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "earlylater" {
		t.Fatalf("%q %v", got, err)
	}
	if _, err := c.Write([]byte("back")); err != nil {
		t.Fatal(err)
	}
	expect(t, host, []byte("back"))
	_ = c.Close()
	if _, err := c.Read(got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after the end: %v", err)
	}
	if err := c.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("deadline after the end: %v", err)
	}
	// A deadline of the last session is none of the next.
	accepted = accept(t, port)
	shake(t, host, nonce{4})
	if c := <-accepted; c == nil {
		t.Fatal("no second session")
	}
}

func TestWhatIsNoHandshakeIsDropped(t *testing.T) {
	old, n := nonce{9}, nonce{7}
	torn := record{kindSyn, old}.bytes()[:29]
	wrong := record{kindSyn, n}.bytes()
	wrong[20] = 1
	for name, noise := range map[string][]byte{
		"the rest of HTTP/2": bytes.Repeat([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, 10_000),
		"a torn record":      torn,
		"the magic, torn":    []byte(magic[:9]),
		"magics alone":       bytes.Repeat([]byte(magic), 1000),
		"a GO for nobody":    record{kindGo, old}.bytes(),
		"no padding":         wrong,
		"an unknown kind":    record{77, n}.bytes(),
	} {
		t.Run(name, func(t *testing.T) {
			port, host := pair(t)
			accepted := accept(t, port)
			// A torn record takes the first call for the rest of itself.
			go func() { _, _ = host.Write(append(noise, bytes.Repeat(record{kindSyn, n}.bytes(), 2)...)) }()
			if !await(host, record{kindAck, n}.bytes()) {
				t.Fatal("not answered")
			}
			// An earlier host's word after this one's changes nothing.
			send(t, host, record{kindGo, old}.bytes(), record{kindGo, n}.bytes())
			if !await(host, record{kindReady, n}.bytes()) {
				t.Fatal("not ready")
			}
			if c := <-accepted; c == nil {
				t.Fatal("no session")
			}
		})
	}
}

func TestRepeatedCallsAreAnsweredAsOne(t *testing.T) {
	port, host := pair(t)
	accepted := accept(t, port)
	n, late := nonce{1}, nonce{2}
	send(t, host, bytes.Repeat(record{kindSyn, nonce{5}}.bytes(), 420), bytes.Repeat(record{kindSyn, n}.bytes(), 420))
	var got []byte
	for end := record(record{kindAck, n}).bytes(); !bytes.HasSuffix(got, end); {
		part := make([]byte, recordSize)
		if _, err := io.ReadFull(host, part); err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
	}
	if answers := len(got) / recordSize; answers > 8 {
		t.Errorf("%d answers", answers)
	}
	// The last one that called is the one that may begin.
	send(t, host, record{kindSyn, late}.bytes(), record{kindGo, n}.bytes(), record{kindGo, late}.bytes())
	if c := <-accepted; c == nil {
		t.Fatal("no session")
	}
}

// FuzzScan: whatever comes, and however it is cut, a call behind it is answered.
func FuzzScan(f *testing.F) {
	n := nonce{1, 1}
	f.Add([]byte(magic), uint64(1))
	f.Add(record{kindGo, n}.bytes(), uint64(2))
	f.Add(append([]byte(magic), record{kindSyn, n}.bytes()[:30]...), uint64(3))
	f.Add(bytes.Repeat([]byte("pyro-"), 20), uint64(4))
	f.Fuzz(func(t *testing.T, noise []byte, seed uint64) {
		stream := append(bytes.Clone(noise), record{kindSyn, n}.bytes()...)
		random := rand.New(rand.NewPCG(seed, 0))
		var rest []byte
		answered := false
		for len(stream) > 0 {
			cut := 1 + random.IntN(min(len(stream), 100))
			rest = append(rest, stream[:cut]...)
			stream = stream[cut:]
			for {
				found, after, ok := next(rest)
				rest = bytes.Clone(after)
				if !ok {
					break
				}
				answered = found == record{kindSyn, n}
			}
			if len(rest) >= recordSize {
				t.Fatalf("%d bytes are kept", len(rest))
			}
		}
		// Noise that begins a record takes the call for a part of it; the next call is heard.
		if !answered {
			for range 2 {
				rest = append(rest, record{kindSyn, n}.bytes()...)
				for found, after, ok := next(rest); ok; found, after, ok = next(rest) {
					rest, answered = after, answered || found == record{kindSyn, n}
				}
			}
		}
		if !answered {
			t.Fatal("not answered")
		}
	})
}

func TestDeadlinesAndClose(t *testing.T) {
	port, host := pair(t)
	accepted := accept(t, port)
	shake(t, host, nonce{3})
	c := <-accepted
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	// A write that the host does not take, and a read, end when the session is closed.
	ends := make(chan error, 2)
	go func() { _, err := c.Write(make([]byte, 16<<20)); ends <- err }()
	go func() { _, err := c.Read(make([]byte, 1)); ends <- err }()
	time.Sleep(20 * time.Millisecond)
	_ = c.Close()
	for range 2 {
		if err := <-ends; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
	}
	waiting := accept(t, port)
	_ = port.Close()
	if c := <-waiting; c != nil {
		t.Error("a closed port has sessions")
	}
}
