package exchange

import (
	"context"
	"errors"
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
	r := &reindexing{h: h, audit: a, progress: progress, index: newDerived(), open: make(map[store.ID]inHand)}
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
	open     map[store.ID]inHand // exchanges that are still to be traced
	messages int
}

// inHand is an exchange about a patient whose trace has not ended.
type inHand struct {
	subject subject
	asked   bool // the back end was, since the last attempt ended
}

// take learns what one event has to tell.
func (r *reindexing) take(ctx context.Context, e store.Event) error {
	switch e.Kind {
	case store.Received, store.Exchanged:
		return r.message(ctx, e)
	case store.Asked:
		if x, ok := r.open[e.Exchange]; ok {
			r.open[e.Exchange] = inHand{x.subject, true}
		}
	case store.Replied, store.Finished:
		return r.end(e)
	default:
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
	switch {
	case errors.Is(err, store.ErrParts): // one that is damaged must not keep all the others from being read
		r.h.Log.WarnContext(ctx, "a damaged message is left out", "chain", e.Chain, "seq", e.Seq)
		return nil
	case err != nil:
		return fmt.Errorf("message %s:%d: %w", e.Chain, e.Seq, err)
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
	if len(p.subject.keys) > 0 && (e.Kind == store.Received || unended(facts)) {
		r.open[e.Exchange] = inHand{subject: p.subject}
	}
	return nil
}

// unended tells whether an exchange, or an attempt at it, ended in a way that lets another follow.
func unended(facts store.Facts) bool {
	switch o, known := store.ParseOutcome(facts.Outcome); {
	case !known: // "unfinished"
		return true
	case o == store.NotTraced:
		return strings.Contains(facts.Reason, underSixWeeks)
	default:
		return o == store.Pending || o == store.Deferred || o == store.Stale
	}
}

// end learns what was decided, if the event decides something. What was decided without asking
// is an earlier result, and known.
func (r *reindexing) end(e store.Event) error {
	x, ok := r.open[e.Exchange]
	if !ok {
		return nil
	}
	facts, err := e.Facts()
	if err != nil {
		return err
	}
	if x.asked && facts.Decision != "" {
		o, _ := store.ParseOutcome(facts.Outcome)
		f := store.Found{At: e.At, Exchange: e.Exchange, Outcome: o, Status: strings.TrimPrefix(facts.Decision, "NSTS")}
		if f.Status == "01" { // else it may be the number that another record holds
			f.NHSNumber = facts.NHSFound
		}
		r.index.learn(x.subject.found(f))
	}
	switch {
	case !unended(facts):
		delete(r.open, e.Exchange)
	case e.Kind == store.Finished: // of a pending answer the call goes on
		r.open[e.Exchange] = inHand{subject: x.subject}
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
	heads, err := a.Heads(ctx)
	if err != nil {
		return func(yield func(store.Event, error) bool) { yield(store.Event{}, err) }
	}
	var all []store.Query
	for _, head := range heads {
		all = append(all, store.Query{Chain: head.Chain})
	}
	return store.InOrder(ctx, a, all...)
}
