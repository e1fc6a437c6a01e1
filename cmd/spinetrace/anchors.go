package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"spinetrace/store"
)

// anchorEvery is how often the heads of the other chains are written down: a tail that is cut off
// one of them shows but for what is younger.
const anchorEvery = 10 * time.Minute

// anchors are the heads of the other chains as they were written down last.
type anchors struct {
	mu   sync.Mutex
	last map[string]string
}

// keepAnchoring writes the heads of the other chains down until ctx ends. Stop does it once more.
func (s *service) keepAnchoring(ctx context.Context) {
	if !s.awaitStart(ctx) {
		return
	}
	again := time.NewTicker(anchorEvery)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			s.anchor(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// anchor writes the heads of the other chains down, if there are any and one of them has changed.
// What cannot be done now is done the next time.
func (s *service) anchor(ctx context.Context) {
	if !s.hasStarted() || s.store.Ready() != nil {
		return
	}
	if err := s.writeAnchor(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("the heads of the other chains were not recorded", "err", err)
	}
}

func (s *service) writeAnchor(ctx context.Context) error {
	s.anchors.mu.Lock()
	defer s.anchors.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	heads, err := s.store.Heads(ctx)
	if err != nil {
		return err
	}
	entry := store.AnchorEntry(heads, s.cfg.Chain)
	if len(entry.Facts.Heads) == 0 || maps.Equal(entry.Facts.Heads, s.anchors.last) {
		return nil
	}
	if err := s.record(ctx, []store.Entry{entry}); err != nil {
		return err
	}
	s.anchors.last = entry.Facts.Heads
	return nil
}
