package main

import (
	"log/slog"
	"sync"
	"time"

	"spinetrace/pds"
)

// outage logs when the back end is no longer asked because it failed too often, and when it
// answers again: two lines, however often the breaker tries in between.
type outage struct {
	log *slog.Logger

	mu    sync.Mutex
	last  pds.Class // how the newest call that failed did
	since time.Time // zero: the back end is asked
}

// breaker is a pds.Trip's StateChanged.
func (o *outage) breaker(open bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !open || !o.since.IsZero() {
		return // what closes it is an answer, which asked sees
	}
	o.since = time.Now()
	o.log.Warn("back end not asked for the time being", "because", o.last.String())
}

// asked is told how every call ended.
func (o *outage) asked(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch class := pds.ClassOf(err); {
	case class != 0:
		o.last = class
	case err == nil && !o.since.IsZero():
		o.log.Info("back end answers again", "after", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}
