package main

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestMemoryIsLimitedUnlessTheEnvironmentSays(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for given, want := range map[int64]int64{math.MaxInt64: memoryLimit, 1 << 30: 1 << 30} {
		debug.SetMemoryLimit(given) // as GOMEMLIMIT does before main
		tuneMemory()
		if got := debug.SetMemoryLimit(-1); got != want {
			t.Errorf("limit %d, given %d; want %d", got, given, want)
		}
	}
}
