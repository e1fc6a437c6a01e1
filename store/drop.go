package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// CommandChain ends the names of the chains that commands write: policies of the database know it.
const CommandChain = ".cli"

// beforeDetail is the key of [Facts.Details] that says up to when bodies were dropped.
const beforeDetail = "before"

// DropEntry is the event that is committed before bodies are dropped: without it [Verify] takes them
// for lost.
func DropEntry(user string, before time.Time, events int64) Entry {
	return Entry{Kind: BodiesDropped, Facts: Facts{User: user, Rows: int(events), Details: map[string]string{
		beforeDetail: before.UTC().Format(time.RFC3339Nano),
	}}}
}

// DroppedBefore returns the latest time of which a command has recorded that the bodies of exchanges
// before it are dropped; zero if none has. A record that claims more than [Pruner.DropBodies] does
// counts for nothing.
func DroppedBefore(ctx context.Context, a Audit) (latest time.Time, err error) {
	heads, err := a.Heads(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("store: dropped before: %w", err)
	}
	for _, h := range heads {
		if !strings.HasSuffix(h.Chain, CommandChain) {
			continue
		}
		for e, err := range a.Events(ctx, Query{Chain: h.Chain, From: 1}) {
			if err != nil {
				return time.Time{}, fmt.Errorf("store: dropped before: %w", err)
			}
			if before := e.dropped(); before.After(latest) {
				latest = before
			}
		}
	}
	return latest, nil
}

// dropped returns the time before which e says that bodies were dropped, or zero.
func (e Event) dropped() time.Time {
	if e.Kind != BodiesDropped {
		return time.Time{}
	}
	facts, err := e.Facts()
	if err != nil {
		return time.Time{}
	}
	before, err := time.Parse(time.RFC3339, facts.Details[beforeDetail])
	if err != nil || before.After(e.At.Add(-LeastAge)) {
		return time.Time{}
	}
	return before
}

// CheckAge says why bodies of exchanges before a time may not be dropped, if they may not.
func CheckAge(now, before time.Time) error {
	if before.After(now.Add(-LeastAge)) {
		return fmt.Errorf("store: bodies can be dropped when they are %d days old, not before", int(LeastAge.Hours()/24))
	}
	return nil
}
