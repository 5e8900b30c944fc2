//go:build !amd64

package clock

func ticks() uint64 { return 0 }
