package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"spinetrace/store"
)

// toldEvent is an event with what can be read of it, and what is wrong with it.
type toldEvent struct {
	store.Event
	facts store.Facts
	parts []store.Part
	why   string   // why there are no parts, of an event that names some
	gone  bool     // because nothing is stored
	wrong []string // what does not hold
}

// readStory reads the facts and bodies of a story, and checks all of it. Why bodies are gone is looked at
// last: they may be dropped while the others are read.
func readStory(ctx context.Context, db store.Audit, story []store.Event) ([]toldEvent, error) {
	links, err := store.Check(ctx, db, story)
	if err != nil {
		return nil, err
	}
	told := make([]toldEvent, len(story))
	for i, e := range story {
		if told[i], err = readEvent(ctx, db, e); err != nil {
			return nil, err
		}
		if links[i] != "" {
			told[i].wrong = slices.Insert(told[i].wrong, 0, links[i])
		}
	}
	return told, tellGone(ctx, db, told)
}

// readEvent reads an event's facts and bodies, as far as they can be read.
func readEvent(ctx context.Context, db store.Audit, e store.Event) (toldEvent, error) {
	t := toldEvent{Event: e}
	t.facts, _ = e.Facts() // none, if the document is damaged: that is told of the event
	parts, kept, err := db.Parts(ctx, e)
	switch {
	case errors.Is(err, store.ErrParts):
		t.spoil("body damaged")
		t.why = "damaged"
	case err != nil:
		t.why, err = unread(e, err)
		return t, err
	case kept:
		t.spoil(store.CheckParts(e, parts))
	default:
		t.gone = e.HasBodies()
	}
	t.parts = parts
	return t, nil
}

// unread says why the bodies of an event are not for this login, or not without a key. Of an event that
// has none there is nothing to say.
func unread(e store.Event, err error) (why string, failed error) {
	var lacking *store.MissingKeyError
	switch {
	case errors.As(err, &lacking):
		why = fmt.Sprintf("encrypted, and %sBODY_KEY lacks its key, number %d", prefix, lacking.Number)
	case errors.Is(err, store.ErrBodiesDenied):
		why = "this login may not read bodies" + needsReader
	default:
		return "", err
	}
	if !e.HasBodies() {
		why = ""
	}
	return why, nil
}

// spoil notes what does not hold; "" is nothing.
func (t *toldEvent) spoil(what string) {
	if what != "" {
		t.wrong = append(t.wrong, what)
	}
}

// neverDropped says that bodies are gone which no command has taken away.
const neverDropped = "missing: it was never dropped by audit drop-bodies"

// tellGone says of bodies that are gone whether they were dropped, which the chains of the commands are
// read for.
func tellGone(ctx context.Context, db store.Audit, told []toldEvent) error {
	if !slices.ContainsFunc(told, func(t toldEvent) bool { return t.gone }) {
		return nil
	}
	before, err := store.DroppedBefore(ctx, db)
	if err != nil {
		return err
	}
	for i := range told {
		switch t := &told[i]; {
		case !t.gone:
		case compareIDs(t.Exchange, store.FirstID(before)) < 0:
			t.why = "dropped"
		default:
			t.why = neverDropped
			t.spoil("body " + neverDropped)
		}
	}
	return nil
}

// doubt says that events of a story do not hold, nil if all do.
func doubt(told []toldEvent) error {
	n, first := 0, ""
	for _, t := range told {
		if len(t.wrong) == 0 {
			continue
		}
		if n++; n == 1 {
			first = place{t.Chain, t.Seq}.String()
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%s, the first at %s: run spinetrace audit verify --bodies", count(n, "event does not hold", "events do not hold"), first)
}

// wrongRows are the marks of what does not hold.
func wrongRows(wrong []string) (rows []factRow) {
	for _, what := range wrong {
		rows = append(rows, factRow{"!! does not hold", what})
	}
	return rows
}
