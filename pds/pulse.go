package pds

import (
	"sync"
	"time"
)

// A Pulse tells whether a national service has been slow in the last minute, so that
// nobody needs to wait to find out. It hears of every question by [Observe]:
//
//	pulse := &pds.Pulse{Limit: budget / 2}
//	t = pds.Observe(t, pulse.Observe)
//
// It is safe for concurrent use, takes the same memory however much is asked, and must not
// be copied once it is in use.
type Pulse struct {
	Limit time.Duration    // the longest median that is not slow
	Now   func() time.Time // default time.Now

	mu   sync.Mutex // guards the rest
	ring [60]second // the one of Unix time s is at s % 60
}

// A second counts the answers that came in it.
type second struct {
	unix          int64
	answers, late int
}

// Observe counts an answer that took some time, good or bad. What was never asked, or given
// up by whoever asked, is no answer.
func (p *Pulse) Observe(_ Want, took time.Duration, _ Result, err error) {
	if silent(err) {
		return
	}
	now := p.now().Unix()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.ring[now%int64(len(p.ring))]
	if s.unix != now {
		*s = second{unix: now}
	}
	s.answers++
	if took > p.Limit {
		s.late++
	}
}

// Slow tells whether the median answer of the last minute took longer than Limit: more than
// half of them did. A service that answered nothing in that minute is not slow, so that it is
// asked again.
func (p *Pulse) Slow() bool {
	now := p.now().Unix()
	p.mu.Lock()
	defer p.mu.Unlock()
	answers, late := 0, 0
	for _, s := range p.ring {
		if age := now - s.unix; age >= 0 && age < int64(len(p.ring)) { // clocks are set back
			answers += s.answers
			late += s.late
		}
	}
	return 2*late > answers
}

func (p *Pulse) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}
