package exchange

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"spinetrace/pds"
	"spinetrace/store"
)

// Work makes the traces that no sender waits for, those of [Handler.Queue], until ctx ends.
// What is in hand then is for [Handler.Drain]. Several instances may work on one queue.
func (h *Handler) Work(ctx context.Context) {
	h.defaults()
	places := make(chan struct{}, h.DeferredTraces)
	for {
		wait := h.claim(ctx, places)
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-h.wake:
		case <-ctx.Done():
			again.Stop()
			return
		}
		again.Stop()
	}
}

const (
	// lease is how long a claimed item is left alone by others: longer than a trace takes. What
	// a killed process had in hand is done after that.
	lease = 2 * time.Minute
	// longestTrace is when a trace with all its attempts and waits is given up, to be made again
	// later. A service may ask for a pause of hours.
	longestTrace = lease - 15*time.Second
	// lookAgain is how often the queue is looked at for what other instances put there.
	lookAgain = 5 * time.Second
	// breath is the shortest pause: what is due may be in other hands, or by another clock.
	breath = 20 * time.Millisecond
)

// claim starts what is due, as far as there are places, and says when to look again.
func (h *Handler) claim(ctx context.Context, places chan struct{}) time.Duration {
	free := cap(places) - len(places)
	if free == 0 {
		return lookAgain // or when a place is given back
	}
	items, err := h.Queue.Claim(ctx, free, lease)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, store.ErrUnavailable) { // of which the store itself tells
			h.Log.WarnContext(ctx, "the queue of traces cannot be read", "err", err)
		}
		return lookAgain
	}
	for _, w := range items {
		places <- struct{}{}
		h.running.start(ctx, func(ctx context.Context) {
			defer h.awaken()
			defer func() { <-places }()
			h.redo(ctx, w)
		})
	}
	due, ok, err := h.Queue.NextDue(ctx)
	if err != nil || !ok {
		return lookAgain
	}
	return min(max(due.Sub(h.Now()), breath), lookAgain)
}

// awaken makes Work look at the queue.
func (h *Handler) awaken() {
	select {
	case h.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// redo makes the trace of one item.
func (h *Handler) redo(ctx context.Context, w store.Work) {
	x, err := h.reopen(ctx, w)
	if err != nil {
		h.Log.WarnContext(ctx, "a message in the queue of traces cannot be read", "exchange", w.Exchange, "err", err)
		if errors.Is(err, errNoMessage) {
			x.park(w)
		}
		return // else it is tried again when the claim ends
	}
	if x.plan.request == nil {
		x.obsolete(w)
		return
	}
	req := *x.plan.request
	t := &tracing{x: x, want: req.Want, left: true, work: w}
	req.ID, req.Recorder = x.id.String(), t
	res, err := h.ask(ctx, req)
	x.mu.Lock()
	defer x.mu.Unlock()
	t.finish(res, err)
}

// errNoMessage says that the journal has no message for an exchange, because its body was dropped,
// or none that can be planned any more. Reading it again would not help.
var errNoMessage = errors.New("exchange: no message in the journal that can be read")

// reopen makes the exchange of an item anew from the journal, and plans its message with what
// the index knows now. A message that makes it panic is as good as none: it must not end the
// process again and again.
func (h *Handler) reopen(ctx context.Context, w store.Work) (x *exchange, err error) {
	x = &exchange{h: h, ctx: ctx, id: w.Exchange, start: h.Now(), opened: true}
	defer func() {
		if recover() != nil {
			// The panic's own text may hold the message: only where it happened is logged.
			h.Log.ErrorContext(ctx, "panic while planning a message again", "exchange", x.id, "stack", string(debug.Stack()))
			err = errNoMessage
		}
	}()
	known := x.recall()
	known.whatever = w.Kind == store.Changed
	for e, err := range h.Audit.Events(ctx, store.Query{Exchange: w.Exchange}) {
		if err != nil {
			return x, fmt.Errorf("exchange: reopen: %w", err)
		}
		switch e.Kind {
		case store.Asked:
			x.calls++
		case store.Received, store.Exchanged:
			known.arrived = e.At
			f, _ := e.Facts() // none, if the document is damaged
			x.facts.NHSSent = f.NHSSent
			if x.frame, err = h.frameOf(ctx, e); err != nil {
				return x, err
			}
		default:
		}
	}
	m, err := h.Parser.Parse(x.frame)
	if err != nil {
		return x, errNoMessage
	}
	x.m, x.facts.User, x.facts.Role = m, h.user(m), said(m, h.RoleFields)
	x.plan = h.planMessage(m, known)
	x.plan.known = known
	return x, known.err
}

func (h *Handler) frameOf(ctx context.Context, e store.Event) ([]byte, error) {
	parts, ok, err := h.Audit.Parts(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("exchange: reopen: %w", err)
	}
	frame, found := store.FindPart(parts, store.Frame)
	if !ok || !found {
		return nil, errNoMessage
	}
	return frame, nil
}

// park leaves an item whose message cannot be read to an operator.
func (x *exchange) park(w store.Work) {
	x.mu.Lock()
	defer x.mu.Unlock()
	const reason = "the message cannot be read any more"
	x.settle(store.Commit{}, store.Facts{Outcome: "unfinished", Reason: reason},
		store.Settlement{Exchange: x.id, Attempt: w.Attempt, Park: true, Reason: reason}, sequel{})
}

// obsolete ends an item whose message is not to be traced any more: a newer one came, or the
// same patient was traced since.
func (x *exchange) obsolete(w store.Work) {
	r := x.plan.reply(pds.Result{}, nil)
	after, err := x.sequel(r, true)
	if err == nil {
		err = x.plan.known.err
	}
	if err != nil {
		return // it is tried again when the claim ends
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	facts := store.Facts{
		Outcome: r.outcome.String(), Decision: r.status, Reason: r.reason, NHSFound: r.found.Digits(),
	}
	c := store.Commit{Late: r.late()}
	newest := x.plan.subject.before
	switch {
	case r.work != nil: // still too early
		c.Work, c.Late = x.workFor(r), nil
	case r.says == olderMessage && !newest.Gone() && newest.Told.Exchange != x.id:
		// Whoever the patient is now is to be traced, even if the newer message is of a kind that is not.
		c.Work = []store.Work{*x.h.traceAgain(newest, "a newer message told of the patient")}
	}
	x.settle(c, facts, store.Settlement{Exchange: x.id, Attempt: w.Attempt}, after)
}

// settle commits how an attempt at an item ended, and what follows from it. The caller holds mu.
func (x *exchange) settle(c store.Commit, facts store.Facts, s store.Settlement, after sequel) {
	if !x.plan.query {
		c.Settled = []store.Settlement{s}
	}
	c.Letters, c.Items = after.letters, after.items
	after.note(&facts)
	_, err := x.commit(c, append(after.entries, store.Entry{Kind: store.Finished, Facts: facts})...)
	if errors.Is(err, store.ErrRejected) {
		x.giveUp(s)
	}
	if err != nil {
		x.h.Log.ErrorContext(x.ctx, "late trace not recorded", "exchange", x.id, "err", err)
		return
	}
	x.posted(after)
}

// giveUp parks an item whose end the store rejects: it would reject it again.
func (x *exchange) giveUp(s store.Settlement) {
	const reason = "how the trace ended could not be recorded"
	x.pending = nil
	s.Park, s.Again, s.Reason = true, time.Time{}, reason
	c := store.Commit{Settled: []store.Settlement{s}}
	if _, err := x.commit(c, store.Entry{Kind: store.Finished, Facts: store.Facts{Outcome: "unfinished", Reason: reason}}); err != nil {
		x.h.Log.ErrorContext(x.ctx, "item not parked", "exchange", x.id, "err", err)
	}
}

// backoff is how long after an attempt the next one is made; the last holds for all further.
var backoff = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

// after says how an attempt at an item ended (product.md 4.6 f): done, to be tried again, or to
// be looked at by an operator.
func (x *exchange) after(w store.Work, res pds.Result, err error) store.Settlement {
	now := x.h.Now()
	s := store.Settlement{Exchange: w.Exchange, Attempt: w.Attempt}
	switch {
	case err == nil && res.Outcome != pds.Stale:
		return s
	case errors.Is(err, context.Canceled):
		s.Again, s.Reason = now, reasonOf(err)
		return s
	case err == nil:
		s.Reason = "answered from the provider's local store"
	default:
		s.Reason = reasonOf(err)
	}
	if s.Park = hopeless(err) || now.Sub(x.began(w.Kind)) > x.h.WorkDeadline; !s.Park {
		s.Again = now.Add(max(backoff[min(max(w.Attempt-1, 0), len(backoff)-1)], askedFor(err)))
	}
	return s
}

// askedFor is how long the service asked us to leave it alone.
func askedFor(err error) time.Duration {
	if e, ok := errors.AsType[*pds.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// began is when there was something to ask: when the message came, or its baby was six weeks old.
func (x *exchange) began(kind store.WorkKind) time.Time {
	if kind == store.SixWeeks {
		return x.h.sixWeeks(x.m)
	}
	sec, nsec := x.id.Time().UnixTime()
	return time.Unix(sec, nsec)
}

// hopeless tells the technical ends that asking again will not mend: the service itself found
// the question at fault, or answered what no list has (smsp.md sections 8 and 9).
func hopeless(err error) bool {
	var e *pds.Error
	if !errors.As(err, &e) || e.Retry || e.Status == 0 {
		return false
	}
	switch e.Class {
	case pds.InputInvalid, pds.UnknownCode, pds.ProviderError:
		return true
	default:
		return false
	}
}

// workFor is the item that a reply leaves behind.
func (x *exchange) workFor(r reply) []store.Work {
	if r.work == nil || x.settled && r.work.Kind == store.Unfinished || x.plan.query {
		return nil
	}
	w := *r.work
	w.Exchange, w.Patient, w.Reason = x.id, x.plan.subject.key(), store.Text(r.reason)
	return []store.Work{w}
}
