package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"spinetrace/mllp"
	"spinetrace/store"
)

func TestFloodCountsWhatItLeavesOut(t *testing.T) {
	var f flood
	now := time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC)
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	written := 0
	for range 25 {
		if _, ok := f.allow(one, now); ok {
			written++
		}
	}
	if written != floodLines {
		t.Errorf("%d lines in one second, want %d", written, floodLines)
	}
	if leftOut, ok := f.allow(other, now); !ok || leftOut != 0 {
		t.Errorf("another address: %d left out, %v; want it to be heard", leftOut, ok)
	}
	if leftOut, ok := f.allow(one, now.Add(time.Second)); !ok || leftOut != 15 {
		t.Errorf("a second later: %d left out, %v; want 15, true", leftOut, ok)
	}
}

// TestFloodIsBounded: whoever can send from many addresses must not fill the memory either.
func TestFloodIsBounded(t *testing.T) {
	var f flood
	now := time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC)
	address := func(n int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	}
	for n := range 10 * floodPeers {
		f.allow(address(n), now)
	}
	if n := len(f.peers); n > floodPeers+1 {
		t.Errorf("%d addresses are remembered", n)
	}
	for n := range 10 * floodPeers {
		if _, ok := f.allow(address(n), now.Add(time.Duration(1+n/floodPeers)*time.Second)); !ok {
			t.Fatalf("address %d of the next seconds is not heard", n)
		}
	}
}

// TestConnectionLog: a failed commit has the line of its exchange, and a peer that left is not
// our trouble.
func TestConnectionLog(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.1:40001")
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"fault":          {errors.New("mllp: frame too large"), "WARN"},
		"answer lost":    {fmt.Errorf("mllp: write: %w", mllp.ErrAnswerLost), "INFO"},
		"commit refused": {fmt.Errorf("mllp: handle: %w", store.ErrUnavailable), "DEBUG"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			logConnection(newLogger(&log, slog.LevelDebug), new(flood), peer, tt.err)
			if !strings.Contains(log.String(), `"level":"`+tt.want+`"`) {
				t.Errorf("logged %s, want level %s", log.String(), tt.want)
			}
		})
	}

	var log bytes.Buffer
	var limit flood
	for range 100 {
		logConnection(newLogger(&log, slog.LevelDebug), &limit, peer, errors.New("x"))
	}
	if n := strings.Count(log.String(), "\n"); n < floodLines || n > 5*floodLines { // the clock runs meanwhile
		t.Errorf("%d lines for 100 faults of one address", n)
	}
}
