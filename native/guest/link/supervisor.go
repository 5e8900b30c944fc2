package link

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"sync"

	"golang.org/x/sys/unix"
)

// End is the supervisor's end: plain blocking calls, so that a waiting supervisor is one sleeping thread and wakes at once.
type End struct {
	fd int
	mu sync.Mutex
}

func NewEnd(fd int) *End { return &End{fd: fd} }

// Receive waits for an order and the descriptors that came with it (close-on-exec).
func (e *End) Receive() (Order, []int, error) {
	var order Order
	var head [4]byte
	oob := make([]byte, unix.CmsgSpace(3*4))
	n, rights, err := e.receiveHead(head[:], oob)
	if err != nil {
		return order, nil, err
	}
	if err := e.fill(head[n:]); err != nil {
		return order, rights, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > maxMessage {
		return order, rights, errTooLong
	}
	body := make([]byte, size)
	if err := e.fill(body); err != nil {
		return order, rights, err
	}
	return order, rights, json.Unmarshal(body, &order)
}

func (e *End) receiveHead(head, oob []byte) (int, []int, error) {
	for {
		n, oobn, _, _, err := unix.Recvmsg(e.fd, head, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		if n == 0 {
			return 0, nil, io.EOF
		}
		var rights []int
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return 0, nil, err
		}
		for i := range messages {
			if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
				rights = append(rights, fds...)
			}
		}
		return n, rights, nil
	}
}

func (e *End) fill(into []byte) error {
	for len(into) > 0 {
		n, err := unix.Read(e.fd, into)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		into = into[n:]
	}
	return nil
}

func (e *End) Send(report Report) error {
	data, err := encode(report)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(data) > 0 {
		// MSG_NOSIGNAL: init going away is an error to handle, not a signal to die of.
		n, err := unix.SendmsgN(e.fd, data, nil, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
