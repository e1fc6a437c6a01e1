package main

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestMemoryIsTunedUnlessTheEnvironmentSays(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	current := func() (int, int64) {
		percent := debug.SetGCPercent(100)
		return percent, debug.SetMemoryLimit(-1)
	}

	t.Setenv("GOGC", "100")
	debug.SetMemoryLimit(1 << 30) // as GOMEMLIMIT does before main
	tuneMemory()
	if p, l := current(); p != 100 || l != 1<<30 {
		t.Errorf("GOGC %d and a limit of %d against the environment", p, l)
	}

	t.Setenv("GOGC", "")
	debug.SetMemoryLimit(math.MaxInt64)
	tuneMemory()
	if p, l := current(); p != 400 || l != memoryLimit {
		t.Errorf("GOGC %d and a limit of %d; want 400 and %d", p, l, int64(memoryLimit))
	}
}
