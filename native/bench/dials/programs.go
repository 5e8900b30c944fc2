package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// order says what programs to start. The kind is the name they ask for, so the host knows its part in it.
type order struct {
	// hold: nothing is said. up: the program sends Bytes (0: without end). down: it reads all. slow-down: it reads 64 bytes a
	// second. stuck-down: it reads nothing. echo: it sends back what comes. drip: it sends 16 bytes every 20 ms, each in a frame of its own.
	Kind   string `json:"kind"`
	Count  int    `json:"count"`
	AtOnce int    `json:"at_once"` // records without an answer
	Bytes  int64  `json:"bytes"`
}

func (o order) name() string { return fmt.Sprintf("%s.%d.test", o.Kind, o.Bytes) }

func (o order) use(c *conn) {
	switch o.Kind {
	case "up", "slow-up":
		block := make([]byte, 16<<10)
		for left := o.Bytes; o.Bytes == 0 || left > 0; left -= int64(len(block)) {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	case "slow-down":
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for block := make([]byte, 64); ; {
			if _, err := c.Read(block); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-c.gone:
			}
		}
	case "stuck-down":
		<-c.gone
	case "drip":
		time.Sleep(rand.N(20 * time.Millisecond))
		for block := make([]byte, 16); c.send(block) == nil; time.Sleep(20 * time.Millisecond) {
		}
	case "echo":
		block := make([]byte, 4<<10)
		for {
			n, err := c.Read(block)
			if n == 0 || c.send(block[:n]) != nil || err != nil {
				return
			}
		}
	default:
		_, _ = io.Copy(io.Discard, c)
	}
}

// flood sends records that nobody asked for and reads no refusal, as a guest would that keeps no bound of its own.
func (d *dials) flood(count int) {
	d.deaf.Store(true)
	for id := range count {
		d.records <- record{1<<40 + uint64(id), "flood.0.test"}
	}
}
