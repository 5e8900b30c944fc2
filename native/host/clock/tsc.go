// Package clock measures the processor's time stamp counter.
package clock

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/layer/fault"
)

// span is long enough for some parts in a million: a pair of readings is off by well under 100 ns.
const span = 20 * time.Millisecond

// Rate is in kHz.
type Rate struct {
	KHz uint64 `json:"khz"`
}

// TSC measures how fast the counter runs. An emulated machine shows this processor's counter to its guest but nothing to
// measure it by; what /proc/cpuinfo says is the speed of the moment, which sleeping processors lower.
// Errors: not_supported on processors without one.
func TSC(ctx context.Context) (*Rate, error) {
	if ticks() == 0 {
		return nil, fault.New("not_supported", "", "this processor has no time stamp counter")
	}
	began, from := reading()
	select {
	case <-time.After(span):
	case <-ctx.Done():
		return nil, fault.From(ctx.Err(), "", "")
	}
	ended, to := reading()
	return &Rate{KHz: (to - from) * 1_000_000 / uint64(ended-began)}, nil
}

// reading pairs the clock (ns) with the counter: of a few tries the one that took the least, as any may be interrupted.
func reading() (at int64, count uint64) {
	least := uint64(1 << 63)
	for range 10 {
		before := ticks()
		var now unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
		after := ticks()
		if after-before < least {
			least = after - before
			at, count = now.Nano(), before+(after-before)/2
		}
	}
	return at, count
}
