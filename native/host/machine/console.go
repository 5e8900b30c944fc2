package machine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// consoleLimit bounds the console's file in bytes: a guest decides what and how much is written there.
const consoleLimit = 256 << 10

// console is a file that keeps the newest of what is written: when it is full its older half goes.
type console struct {
	file *os.File
	size int64
}

// Write never fails: a machine does not end because a disk is full.
func (c *console) Write(data []byte) (int, error) {
	total := len(data)
	if len(data) > consoleLimit/2 {
		data = data[len(data)-consoleLimit/2:]
	}
	if c.size+int64(len(data)) > consoleLimit {
		c.drop()
	}
	n, _ := c.file.WriteAt(data, c.size)
	c.size += int64(n)
	return total, nil
}

func (c *console) drop() {
	newest := make([]byte, consoleLimit/2)
	n, _ := c.file.ReadAt(newest, max(0, c.size-int64(len(newest))))
	n, _ = c.file.WriteAt(newest[:n], 0)
	c.size = int64(n)
	_ = c.file.Truncate(c.size)
}

// say adds how the program ended, where it did not end by itself and well.
func (c *console) say(name string, status unix.WaitStatus) {
	switch {
	case status.Signaled():
		fmt.Fprintf(c, "\npyro: %s was ended by %s\n", name, unix.SignalName(status.Signal()))
	case status.ExitStatus() != 0:
		fmt.Fprintf(c, "\npyro: %s ended with status %d\n", name, status.ExitStatus())
	}
}
