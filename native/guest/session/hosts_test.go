package session

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

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
