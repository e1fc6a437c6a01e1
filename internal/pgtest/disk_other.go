//go:build !linux

package pgtest

import "testing"

// Disk is a small file system, which only Linux can make in memory.
type Disk struct{}

// NewDisk skips tb, and says so.
func NewDisk(tb testing.TB, size int64) *Disk {
	tb.Helper()
	tb.Skip("pgtest: SKIPPED: small file systems are made on Linux only")
	return nil
}

// Dir is empty.
func (d *Disk) Dir() string { return "" }

// Fill does nothing.
func (d *Disk) Fill(tb testing.TB, leave int64) {}

// Free does nothing.
func (d *Disk) Free(tb testing.TB) {}
