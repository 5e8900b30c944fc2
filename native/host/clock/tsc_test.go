package clock

import (
	"context"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"
)

// Measured twice the rate is the same, and where the processor's speed does not change it is what the kernel says.
func TestTSC(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("no time stamp counter")
	}
	one, err := TSC(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	two, err := TSC(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if difference := float64(one.KHz)/float64(two.KHz) - 1; difference > 1e-3 || difference < -1e-3 {
		t.Fatalf("%d kHz, then %d", one.KHz, two.KHz)
	}
	if _, err := os.Stat("/sys/devices/system/cpu/cpu0/cpufreq"); err == nil {
		return
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	if found := regexp.MustCompile(`cpu MHz\s*: ([0-9.]+)`).FindSubmatch(info); found != nil {
		said, _ := strconv.ParseFloat(string(found[1]), 64)
		if ratio := float64(one.KHz) / 1000 / said; ratio < 0.99 || ratio > 1.01 {
			t.Fatalf("%d kHz, the kernel says %.3f MHz", one.KHz, said)
		}
	}
	t.Log(one.KHz, two.KHz)
}
