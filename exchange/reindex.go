package exchange

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"spinetrace/store"
)

// Reindex derives the index of patients from the journal: what every message told, what every
// trace found, in the order in which they came, under the settings of now. It returns the
// entries, and counts the messages that were read; progress, if not nil, is called now and then
// with that count. Nothing is written.
func (h *Handler) Reindex(ctx context.Context, a store.Audit, progress func(messages int)) (entries iter.Seq[store.Patient], messages int, err error) {
	h.defaults()
	r := &reindexing{h: h, audit: a, progress: progress, index: newDerived(), open: make(map[store.ID]subject)}
	for e, err := range inOrder(ctx, a) {
		if err == nil {
			err = r.take(ctx, e)
		}
		if err != nil {
			return nil, r.messages, fmt.Errorf("exchange: reindex: %w", err)
		}
	}
	return maps.Values(r.index.entries), r.messages, nil
}

type reindexing struct {
	h        *Handler
	audit    store.Audit
	progress func(messages int)
	index    *derived
	open     map[store.ID]subject // of exchanges whose trace has not ended
	messages int
}

// take learns what one event has to tell.
func (r *reindexing) take(ctx context.Context, e store.Event) error {
	switch e.Kind {
	case store.Received, store.Exchanged:
		return r.message(ctx, e)
	case store.Replied, store.Finished:
		return r.end(e)
	}
	return nil
}

// message plans a message as it was planned when it came, with what the index knew by then.
func (r *reindexing) message(ctx context.Context, e store.Event) error {
	facts, err := e.Facts()
	if err != nil {
		return err
	}
	if facts.Outcome == store.Failed.String() {
		return nil // too large to be kept whole, or a dead letter: nothing was learned from it
	}
	parts, ok, err := r.audit.Parts(ctx, e)
	if err != nil {
		return err
	}
	frame, found := store.FindPart(parts, store.Frame)
	if !ok || !found {
		return nil // dropped, or a question from the command line
	}
	m, err := r.h.Parser.Parse(frame)
	if err != nil {
		return nil
	}
	r.messages++
	if r.progress != nil && r.messages%10_000 == 0 {
		r.progress(r.messages)
	}
	known := &recall{index: r.index, ctx: ctx, timeout: time.Minute, exchange: e.Exchange, arrived: e.At}
	p := r.h.planMessage(m, known)
	if !p.query {
		r.index.learn(p.subject.entries())
	}
	// What is told at once had no trace: it may be an earlier result, which is none of its own.
	if len(p.subject.keys) > 0 && e.Kind == store.Received {
		r.open[e.Exchange] = p.subject
	}
	return nil
}

// end learns what was decided, if the event decides something.
func (r *reindexing) end(e store.Event) error {
	s, ok := r.open[e.Exchange]
	if !ok {
		return nil
	}
	facts, err := e.Facts()
	if err != nil {
		return err
	}
	o, _ := store.ParseOutcome(facts.Outcome)
	if facts.Decision != "" {
		f := store.Found{At: e.At, Exchange: e.Exchange, Outcome: o, Status: strings.TrimPrefix(facts.Decision, "NSTS")}
		if f.Status == "01" { // else it may be the number that another record holds
			f.NHSNumber = facts.NHSFound
		}
		r.index.learn(s.found(f))
	}
	if o != store.Pending && o != store.Deferred {
		delete(r.open, e.Exchange)
	}
	return nil
}

// derived is an index in memory. It reads as the stores' do, and knows what it was told.
type derived struct {
	store.Index
	entries map[store.PatientKey]store.Patient
	named   map[string][]store.PatientKey
	holders map[string][]store.PatientKey
}

func newDerived() *derived {
	return &derived{
		entries: make(map[store.PatientKey]store.Patient),
		named:   make(map[string][]store.PatientKey),
		holders: make(map[string][]store.PatientKey),
	}
}

func (d *derived) learn(all []store.Patient) {
	for _, p := range all {
		p = p.Fit()
		before, known := d.entries[p.Key]
		after := before.Merge(p)
		after.Key = p.Key
		d.entries[p.Key] = after
		if !known {
			d.named[p.Key.LocalID] = append(d.named[p.Key.LocalID], p.Key)
		}
		for _, n := range []string{after.Told.NHSNumber, after.Found.NHSNumber} {
			if n != "" && !slices.Contains(d.holders[n], p.Key) {
				d.holders[n] = append(d.holders[n], p.Key)
			}
		}
	}
}

// Patient implements [store.Index].
func (d *derived) Patient(_ context.Context, key store.PatientKey) (store.Patient, bool, error) {
	p, ok := d.entries[key.Fit()]
	return p, ok, nil
}

// Named implements [store.Index].
func (d *derived) Named(_ context.Context, localID string, limit int) ([]store.Patient, error) {
	named := d.named[store.PatientKey{LocalID: localID}.Fit().LocalID]
	return d.list(named, limit, func(store.Patient) bool { return true }), nil
}

// Holders implements [store.Index].
func (d *derived) Holders(_ context.Context, nhsNumber string, limit int) ([]store.Patient, error) {
	return d.list(d.holders[nhsNumber], limit, func(p store.Patient) bool {
		return p.Told.NHSNumber == nhsNumber || p.Found.NHSNumber == nhsNumber
	}), nil
}

// list returns the first of the entries that fit, by key.
func (d *derived) list(keys []store.PatientKey, limit int, fits func(store.Patient) bool) []store.Patient {
	slices.SortFunc(keys, store.PatientKey.Compare)
	var all []store.Patient
	for _, key := range keys {
		if p := d.entries[key]; len(all) < limit && fits(p) {
			all = append(all, p)
		}
	}
	return all
}

// inOrder yields the events of all chains in the order of their times.
func inOrder(ctx context.Context, a store.Audit) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		heads, err := a.Heads(ctx)
		if err != nil {
			yield(store.Event{}, err)
			return
		}
		var chains []*pulled
		for _, head := range heads {
			next, stop := iter.Pull2(a.Events(ctx, store.Query{Chain: head.Chain}))
			defer stop()
			chains = append(chains, &pulled{next: next})
		}
		for {
			chains = slices.DeleteFunc(chains, func(p *pulled) bool { return !p.fill() })
			if len(chains) == 0 {
				return
			}
			first := slices.MinFunc(chains, func(a, b *pulled) int { return a.event.At.Compare(b.event.At) })
			if !yield(first.event, first.err) || first.err != nil {
				return
			}
			first.full = false
		}
	}
}

// pulled is a chain, read one event ahead.
type pulled struct {
	next  func() (store.Event, error, bool)
	event store.Event
	err   error
	full  bool
}

// fill reads the next event, and tells whether there is one.
func (p *pulled) fill() bool {
	if !p.full {
		p.event, p.err, p.full = p.next()
	}
	return p.full
}
