package exchange

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"spinetrace/store"
)

const (
	// recoverEvents and recoverTime bound how far back Recover looks along a chain, the time from
	// the last message or answer: one that is not answered within its budget never will be.
	recoverEvents = 50_000
	recoverTime   = 10 * time.Minute
)

// Recover finds the messages that this instance took down and did not answer before it ended,
// notes that in their stories, and puts the traces that they ask for into the queue: their
// senders were told nothing and will most likely send them again, but may not. It is for the
// start, before messages are taken, and writes to j. It returns how many there were.
func (h *Handler) Recover(ctx context.Context, j store.Journal, chain string) (int, error) {
	h.defaults()
	open, err := h.unanswered(ctx, chain)
	if err != nil {
		return 0, fmt.Errorf("exchange: recover: %w", err)
	}
	for id := range open {
		if err := h.interrupted(ctx, j, id); err != nil {
			return 0, fmt.Errorf("exchange: recover: %w", err)
		}
	}
	return len(open), nil
}

// unanswered returns the exchanges near the end of a chain that have no reply.
func (h *Handler) unanswered(ctx context.Context, chain string) (map[store.ID]time.Time, error) {
	head, err := store.HeadOf(ctx, h.Audit, chain)
	if err != nil {
		return nil, err
	}
	open := make(map[store.ID]time.Time)
	var last time.Time
	for e, err := range h.Audit.Events(ctx, store.Query{Chain: chain, From: max(1, head.Seq-recoverEvents)}) {
		if err != nil {
			return nil, err
		}
		switch e.Kind {
		case store.Received:
			open[e.Exchange], last = e.At, e.At
		case store.Replied, store.Exchanged:
			last = e.At
			delete(open, e.Exchange)
		case store.Finished, store.Interrupted:
			delete(open, e.Exchange)
		default:
		}
	}
	maps.DeleteFunc(open, func(_ store.ID, at time.Time) bool { return last.Sub(at) >= recoverTime })
	return open, nil
}

// interrupted notes that an exchange was cut off, and queues its trace. A resend that comes first
// takes the exchange over, and the item with it.
func (h *Handler) interrupted(ctx context.Context, j store.Journal, id store.ID) error {
	reason := "the service ended before it answered"
	c := store.Commit{Exchange: id, Entries: []store.Entry{{Kind: store.Interrupted, Facts: store.Facts{Reason: reason}}}}
	if _, answered, err := j.Answer(ctx, id); err != nil || answered {
		return err // another instance took it over
	}
	x, err := h.reopen(ctx, store.Work{Exchange: id})
	if err != nil && !errors.Is(err, errNoMessage) {
		return err
	}
	if err == nil && x.plan.request != nil && !x.plan.query {
		c.Work = []store.Work{{Exchange: id, Patient: x.plan.subject.key(), Kind: store.Unfinished, Due: h.Now().Add(h.Budget), Reason: reason}}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = j.Commit(ctx, c)
	return err
}
