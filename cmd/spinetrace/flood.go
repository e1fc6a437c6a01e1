package main

import (
	"net/netip"
	"sync"
	"time"
)

const (
	floodLines = 10   // a second and address
	floodPeers = 1000 // addresses that are told apart; the others share
)

// flood keeps peers from filling the log: what an address causes beyond ten lines a second is
// counted. The zero value is ready for use.
type flood struct {
	mu    sync.Mutex
	peers map[netip.Addr]*second
}

// second is what has been written about one address in the second that began at start.
type second struct {
	start          time.Time
	lines, leftOut int
}

// allow tells whether another line may be written about peer, and how many were left out
// since the one before.
func (f *flood) allow(peer netip.Addr, now time.Time) (leftOut int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.of(peer, now)
	if now.Sub(s.start) >= time.Second {
		s.start, s.lines = now, 0
	}
	if s.lines == floodLines {
		s.leftOut++
		return 0, false
	}
	s.lines++
	leftOut, s.leftOut = s.leftOut, 0
	return leftOut, true
}

// of returns the second of peer, or of all for whom there is no room. The caller holds mu.
func (f *flood) of(peer netip.Addr, now time.Time) *second {
	if f.peers == nil {
		f.peers = make(map[netip.Addr]*second)
	}
	if s := f.peers[peer]; s != nil {
		return s
	}
	if len(f.peers) >= floodPeers {
		f.forget(now)
	}
	if len(f.peers) >= floodPeers {
		peer = netip.Addr{}
	}
	if f.peers[peer] == nil {
		f.peers[peer] = &second{start: now}
	}
	return f.peers[peer]
}

// forget drops those who have been quiet and about whom nothing is left to tell.
func (f *flood) forget(now time.Time) {
	for peer, s := range f.peers {
		if now.Sub(s.start) >= time.Second && s.leftOut == 0 {
			delete(f.peers, peer)
		}
	}
}
