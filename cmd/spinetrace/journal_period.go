package main

import (
	"context"
	"flag"
	"iter"
	"sort"
	"time"

	"spinetrace/store"
)

// period is a span of time of the journal: what happened at from or later, and before until. A
// zero bound is none. It is how reports and exports read: chain by chain, each in order, one event
// in hand at a time.
type period struct{ from, until time.Time }

// periodFlags are a period as it is written on a command line.
type periodFlags struct{ from, until whenFlag }

// flags adds --from and --until for what is in the period; fallback is the --from of who gives none.
func (f *periodFlags) flags(fs *flag.FlagSet, now time.Time, fallback, what string) {
	f.from, f.until = whenFlag{now: now}, whenFlag{now: now, wholeDay: true}
	_ = f.from.Set(fallback) // what is wrong with it check would say
	fs.Var(&f.from, "from", what+" at this `time` or later")
	fs.Var(&f.until, "until", what+" before this `time`; a date includes its day. Default now")
}

// period reads the flags.
func (f *periodFlags) period() (period, error) {
	p := period{f.from.at, f.until.at}
	if !p.until.IsZero() && !p.from.Before(p.until) {
		return p, usageError("--from is not before --until")
	}
	return p, nil
}

// untilNow reads the flags of a period that ends now at the latest, so that a journal that is being
// written has an end.
func (f *periodFlags) untilNow() (period, error) {
	p, err := f.period()
	if now := f.until.now; p.until.IsZero() || p.until.After(now) {
		p.until = now
	}
	if err == nil && !p.from.Before(p.until) {
		err = usageError("--from is not before now")
	}
	return p, err
}

// filters are what the record of a look says of the period.
func (p period) filters(more map[string]string) map[string]string {
	more["from"], more["until"] = toSecond(p.from), toSecond(p.until)
	return onlyKnown(more)
}

func (p period) String() string {
	return "from " + toSecond(p.from) + " to " + toSecond(p.until)
}

// toSecond writes a time in UTC, without what is less than a second.
func toSecond(t time.Time) string { return stamp(t.UTC().Truncate(time.Second)) }

// events returns the events of the period, chain by chain. Each chain is read up to where it is
// when the reading begins.
func (p period) events(ctx context.Context, db store.Audit) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		heads, err := db.Heads(ctx)
		if err != nil {
			yield(store.Event{}, err)
			return
		}
		for _, head := range heads {
			if !p.chain(ctx, db, head, yield) {
				return
			}
		}
	}
}

// chain yields the events of one chain until somebody has had enough.
func (p period) chain(ctx context.Context, db store.Audit, head store.Head, yield func(store.Event, error) bool) bool {
	from, err := firstSince(ctx, db, head, p.from)
	if err != nil {
		return yield(store.Event{}, err)
	}
	for e, err := range db.Events(ctx, store.Query{Chain: head.Chain, From: from}) {
		switch {
		case err != nil:
			return yield(e, err)
		case e.Seq > head.Seq, !p.until.IsZero() && !e.At.Before(p.until):
			return true
		case !yield(e, nil):
			return false
		}
	}
	return true
}

// firstSince returns where a chain's events since a time begin. Time never runs backwards along a
// chain, and there is no index by time.
func firstSince(ctx context.Context, db store.Audit, head store.Head, since time.Time) (int64, error) {
	var failed error
	before := sort.Search(int(head.Seq), func(n int) bool {
		if failed != nil {
			return true
		}
		found, err := collect(ctx, db, store.Query{Chain: head.Chain, From: int64(n) + 1}, 1)
		failed = err
		return err != nil || len(found) == 0 || !found[0].At.Before(since)
	})
	return int64(before) + 1, failed
}

// gist is what the story of a message has told so far.
type gist struct {
	at        time.Time // when it was recorded
	sender    string    // APPLICATION^FACILITY
	kind      string    // MSH-9
	operation string    // of the newest call
}

// mostInHand is how many messages without an end are remembered while a period is read. What is
// not remembered is looked up again.
const mostInHand = 1 << 15

// stories ties the events of a message together while a period is read: only its first one says
// who sent it.
type stories struct {
	db     store.Audit
	inHand map[store.ID]*gist
}

// each calls do for the events of a period that tell of a message.
func (s *stories) each(ctx context.Context, p period, do func(e store.Event, f store.Facts, m gist)) error {
	s.inHand = make(map[store.ID]*gist)
	for e, err := range p.events(ctx, s.db) {
		if err != nil {
			return err
		}
		if !tells(e) {
			continue
		}
		f, err := e.Facts()
		if err != nil {
			continue // a damaged event is for audit verify to tell of
		}
		m, err := s.of(ctx, e, f)
		if err != nil {
			return err
		}
		do(e, f, *m)
		if closes(e, f) {
			delete(s.inHand, e.Exchange)
		}
	}
	return nil
}

// tells tells whether an event says something of a message itself.
func tells(e store.Event) bool {
	if e.Exchange == (store.ID{}) {
		return false
	}
	switch e.Kind {
	case store.Received, store.Exchanged, store.Asked, store.Answered, store.Replied, store.Finished, store.Resent, store.Broken:
		return true
	default:
		return false
	}
}

// closes tells whether nothing more is expected of a message: what was answered before its trace goes
// on.
func closes(e store.Event, f store.Facts) bool {
	switch e.Kind {
	case store.Finished, store.Exchanged, store.Broken, store.Resent:
		return true
	case store.Replied:
		return !goesOn(f)
	default:
		return false
	}
}

// goesOn tells whether a trace follows an answer.
func goesOn(f store.Facts) bool {
	return f.Outcome == store.Pending.String() || f.Outcome == store.Deferred.String()
}

// of returns what is known of an event's message, that event included.
func (s *stories) of(ctx context.Context, e store.Event, f store.Facts) (*gist, error) {
	m := s.inHand[e.Exchange]
	if m == nil {
		m = new(gist)
		if err := s.recall(ctx, e, m); err != nil {
			return nil, err
		}
		if len(s.inHand) < mostInHand {
			s.inHand[e.Exchange] = m
		}
	}
	m.hear(e, f)
	return m, nil
}

// recall reads what the story told before an event. A message that begins with it has told
// nothing.
func (s *stories) recall(ctx context.Context, until store.Event, m *gist) error {
	if until.Kind == store.Received || until.Kind == store.Exchanged || until.Kind == store.Broken {
		return nil
	}
	for e, err := range s.db.Events(ctx, store.Query{Exchange: until.Exchange}) {
		if err != nil {
			return err
		}
		if e.Chain == until.Chain && e.Seq == until.Seq {
			return nil
		}
		if f, err := e.Facts(); err == nil {
			m.hear(e, f)
		}
	}
	return nil
}

// hear adds what an event says.
func (m *gist) hear(e store.Event, f store.Facts) {
	switch e.Kind {
	case store.Received, store.Exchanged:
		m.at, m.sender, m.kind = e.At, senderOf(f), f.Type
	case store.Asked:
		m.operation = f.Operation
	default:
	}
}
