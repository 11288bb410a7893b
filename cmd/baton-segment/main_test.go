package main

import (
	"math"
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the environment says about memory holds, and each of the two is set where
// it says nothing.
func TestSetMemory(t *testing.T) {
	for _, c := range []struct {
		name, gogc, limit string
		percent           int
		bytes             int64
	}{
		{name: "by itself", percent: garbage, bytes: memory},
		{name: "GOGC", gogc: "50", percent: 100, bytes: memory},
		{name: "GOMEMLIMIT", limit: "1GiB", percent: garbage, bytes: math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			percent, bytes := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
			t.Cleanup(func() {
				debug.SetGCPercent(percent)
				debug.SetMemoryLimit(bytes)
			})
			t.Setenv("GOGC", c.gogc)
			t.Setenv("GOMEMLIMIT", c.limit)
			setMemory()
			if got := debug.SetGCPercent(100); got != c.percent {
				t.Errorf("the heap may grow by %d %%, want %d", got, c.percent)
			}
			if got := debug.SetMemoryLimit(-1); got != c.bytes {
				t.Errorf("a limit of %d bytes, want %d", got, c.bytes)
			}
		})
	}
}
