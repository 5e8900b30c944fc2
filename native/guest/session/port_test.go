package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
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

func serve(t *testing.T, port *Port, handler http.HandlerFunc) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: protocols, HTTP2: &http.HTTP2Config{MaxReadFrameSize: 16 << 10}}
	go func() { _ = server.Serve(port) }()
	t.Cleanup(func() { _ = server.Close() })
}

func client(host net.Conn) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		Protocols:   protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return unclosed{host}, nil },
	}}
}

// unclosed is a session's stream, whose end leaves it open as a port's is.
type unclosed struct{ net.Conn }

func (unclosed) Close() error { return nil }

// A host that goes in the middle of an answer, and one that comes before the guest has noticed.
func TestNextHostAfterOneThatWentMidway(t *testing.T) {
	port, host := pair(t)
	serve(t, port, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hello" {
			_, _ = io.WriteString(w, "hello")
			return
		}
		for block := make([]byte, 64<<10); r.Context().Err() == nil; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	shake(t, host, nonce{1})
	answer, err := client(host).Get("http://guest/endless")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, 1<<20)
	// It is gone, and took its place in the stream with it: the transport's goroutine must not read any more.
	_ = host.SetReadDeadline(time.Unix(1, 0))
	time.Sleep(50 * time.Millisecond)
	_ = host.SetReadDeadline(time.Now().Add(20 * time.Second))
	// The announced frame of the dead host that never comes whole.
	go func() { _, _ = host.Write([]byte{0, 0x3f, 0xff, 0, 0, 0, 0, 0, 1}) }()

	n := nonce{2}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for calls := 1; ; calls++ {
			burst := 1
			if calls%20 == 0 {
				burst = 420
			}
			select {
			case <-over:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if _, err := host.Write(bytes.Repeat(record{kindSyn, n}.bytes(), burst)); err != nil || calls > 2000 {
				return
			}
			if calls%20 == 0 {
				time.Sleep(600 * time.Millisecond) // the server says goodbye for a while
			}
			if sought(host, record{kindAck, n}.bytes()) {
				return
			}
		}
	}()
	<-over
	send(t, host, record{kindGo, n}.bytes())
	if !await(host, record{kindReady, n}.bytes()) {
		t.Fatal("no session")
	}
	answer, err = client(host).Get("http://guest/hello")
	if err != nil {
		t.Fatal(err)
	}
	if said, _ := io.ReadAll(answer.Body); string(said) != "hello" {
		t.Errorf("%q", said)
	}
}

// sought drops what comes within a moment and says whether the record was there, exactly at its end or before.
func sought(from net.Conn, want []byte) bool {
	_ = from.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	defer from.SetReadDeadline(time.Now().Add(20 * time.Second))
	var seen []byte
	block := make([]byte, 64<<10)
	for {
		n, err := from.Read(block)
		seen = append(seen, block[:n]...)
		if bytes.Contains(seen, want) {
			return true
		}
		if err != nil {
			return false
		}
		seen = seen[max(0, len(seen)-len(want)):]
	}
}

// await reads byte by byte, so that nothing behind the record is lost.
func await(from net.Conn, want []byte) bool {
	var seen []byte
	for one := make([]byte, 1); ; {
		if _, err := from.Read(one); err != nil {
			return false
		}
		if seen = append(seen, one[0]); bytes.HasSuffix(seen, want) {
			return true
		}
	}
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
