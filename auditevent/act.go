package auditevent

import (
	"context"
	"errors"

	"spinetrace/store"
)

// act is what one AuditEvent tells of: an event, and what it is to be understood by.
type act struct {
	store.Event
	facts store.Facts

	first store.Facts  // of the first event of its exchange; its own if it is that or has none
	end   *store.Event // what ended it; nil if nothing did, or nothing can
	ended store.Facts  // of end; of the event itself where that is the end, too

	question []byte // as it was asked
	missing  string // why the question is not there, if it should be
}

// gather reads what belongs to e. Of an exchange it keeps two events at most, however long its
// story is, and reads no further than it must.
func (x *Exporter) gather(ctx context.Context, e store.Event) (*act, error) {
	a := &act{Event: e}
	var err error
	if a.facts, err = e.Facts(); err != nil {
		return nil, errDocument
	}
	a.first, a.ended = a.facts, a.facts
	if e.Exchange != (store.ID{}) && e.Kind != store.Exchanged {
		if err := x.story(ctx, a); err != nil {
			return nil, err
		}
	}
	if x.Bodies && a.asks() {
		return a, x.readQuestion(ctx, a)
	}
	return a, nil
}

// story reads the exchange's events until it has the first, and the one that ended the act.
func (x *Exporter) story(ctx context.Context, a *act) error {
	first, passed := true, false
	for e, err := range x.Journal.Events(ctx, store.Query{Exchange: a.Exchange}) {
		if err != nil {
			return err
		}
		if first {
			if a.first, err = e.Facts(); err != nil {
				return errDocument
			}
			first = false
		}
		if e.Chain == a.Chain && e.Seq == a.Seq {
			passed = true
		}
		done, err := a.take(e, passed)
		if done || err != nil {
			return err
		}
	}
	return nil
}

// take looks at an event of the story, and tells whether any further one is needed.
func (a *act) take(e store.Event, passed bool) (done bool, err error) {
	switch a.Kind {
	case store.Received, store.Resumed:
		done = passed && e.Kind == store.Replied
	case store.Asked:
		// Calls of one exchange are made one after another.
		if passed && e.Kind == store.Asked && e.Seq != a.Seq {
			return true, nil
		}
		done = passed && e.Kind == store.Answered
	case store.Tried:
		return passed, a.letter(e)
	default:
		return true, nil
	}
	if !done {
		return false, nil
	}
	a.end = &e
	if a.ended, err = e.Facts(); err != nil {
		return true, errDocument
	}
	return true, nil
}

// letter takes what an attempt at a letter does not repeat: the kind of the letter from where it was
// queued, the number from where it was found.
func (a *act) letter(e store.Event) error {
	f, err := e.Facts()
	switch {
	case err != nil:
		return errDocument
	case e.Kind == store.Queued && f.Destination == a.facts.Destination && f.ControlID == a.facts.ControlID:
		a.facts.Type = f.Type
	case e.Kind == store.Replied || e.Kind == store.Finished:
		a.ended.NHSFound = f.NHSFound
	}
	return nil
}

// asks tells whether the event has a question among its bodies.
func (a *act) asks() bool {
	switch a.Kind {
	case store.Asked:
		return a.facts.Operation != tokenCall // that one's body is a credential
	case store.Received, store.Exchanged:
		return isQuery(a.facts.Type)
	default:
		return false
	}
}

func (x *Exporter) readQuestion(ctx context.Context, a *act) error {
	kind := store.Frame
	if a.Kind == store.Asked {
		kind = store.Request
	}
	parts, kept, err := x.Journal.Parts(ctx, a.Event)
	switch {
	case errors.Is(err, store.ErrParts):
		a.missing = "damaged"
		return nil
	case err != nil:
		return err
	}
	if a.question, _ = store.FindPart(parts, kind); len(a.question) == 0 && !kept {
		a.missing = "not kept"
	}
	return nil
}
