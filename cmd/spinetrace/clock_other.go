//go:build !linux

package main

import "context"

// kernelClock offers nothing here.
type kernelClock struct{}

// Read implements [hostClock].
func (kernelClock) Read(context.Context) (clockReading, bool) { return clockReading{}, false }
