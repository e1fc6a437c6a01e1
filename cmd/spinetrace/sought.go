package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"spinetrace/store"
)

// sought is the patient whom a search is about, and the numbers that are searched for unasked.
type sought struct {
	number  string // ten digits, whether they are an NHS number or not; "": any
	localID string // the same
	exact   bool   // nothing is searched for unasked

	// Made by widen:
	tied       []string // numbers that Spine has tied to number
	tiedLocals []string // local numbers that were merged with localID
}

// is tells whether a patient is meant.
func (s *sought) is() bool { return s.number != "" || s.localID != "" }

// flag adds the one that keeps to the numbers as they are.
func (s *sought) flag(fs *flag.FlagSet) {
	fs.BoolVar(&s.exact, "exact", false, "only these numbers, none that is tied to them")
}

func (s *sought) check() error {
	if s.exact && !s.is() {
		return usageError("--exact goes with --nhs-number or --local-id")
	}
	return nil
}

// widen looks for what is tied to what was asked for.
func (s *sought) widen(ctx context.Context, db store.Store) (err error) {
	if s.number != "" && !s.exact {
		if s.tied, err = tiedTo(ctx, db, s.number); err != nil {
			return err
		}
	}
	if s.localID != "" && !s.exact {
		s.tiedLocals, err = mergedWith(ctx, db, s.localID)
	}
	return err
}

// each calls do for the search of every number.
func (s *sought) each(search store.Search, do func(store.Search) error) error {
	for _, search.NHSNumber = range append([]string{s.number}, s.tied...) {
		for _, search.LocalID = range append([]string{s.localID}, s.tiedLocals...) {
			if err := do(search); err != nil {
				return err
			}
		}
	}
	return nil
}

// exchanges returns the ids of all exchanges that are about the patient and fit, oldest first.
func (s *sought) exchanges(ctx context.Context, db store.Audit, search store.Search) ([]store.ID, error) {
	var ids []store.ID
	err := s.each(search, func(search store.Search) error {
		return eachFound(ctx, db, search, func(x store.Exchange) { ids = append(ids, x.ID) })
	})
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids), err
}

// compareIDs orders ids as stores do: by the time they were made.
func compareIDs(a, b store.ID) int { return bytes.Compare(a[:], b[:]) }

// filters adds to what the record says was looked for.
func (s *sought) filters(more map[string]string) map[string]string {
	more["nhs_number"], more["tied_to"] = s.number, strings.Join(s.tied, " ")
	more["local_id"], more["merged_with"] = s.localID, strings.Join(s.tiedLocals, " ")
	if s.exact {
		more["exact"] = "yes"
	}
	return onlyKnown(more)
}

// notes say which numbers were searched for unasked.
func (s *sought) notes() []string {
	var notes []string
	if len(s.tied) > 0 {
		var words []string
		for _, digits := range s.tied {
			words = append(words, spaced(digits))
		}
		notes = append(notes, fmt.Sprintf("Messages about %s are here, too: Spine has said that one of these numbers and %s\nsuperseded the other (--exact leaves them out).",
			strings.Join(words, ", "), spaced(s.number)))
	}
	if len(s.tiedLocals) > 0 {
		notes = append(notes, fmt.Sprintf("Messages about %s are here, too: one of these numbers and %s was merged into the other\n(--exact leaves them out).",
			strings.Join(s.tiedLocals, ", "), s.localID))
	}
	return notes
}

// tiedTo returns the numbers that superseded one, or that it superseded, as far as a trace has
// said so: one step in either direction, no further. All about the number is read, and the outcomes
// are looked at here: a search for them as well would be planned over twice as many tables, and the
// plan of this one is that of the page, too.
func tiedTo(ctx context.Context, db store.Store, digits string) ([]string, error) {
	tied := make(map[string]bool)
	var about []store.Exchange
	err := eachFound(ctx, db, store.Search{NHSNumber: digits}, func(x store.Exchange) {
		if replaces(x.Outcome) {
			about = append(about, x)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, x := range about {
		if err := tieExchange(ctx, db, tied, digits, x); err != nil {
			return nil, err
		}
	}
	holders, err := db.Holders(ctx, digits, pageSize)
	if err != nil {
		return nil, err
	}
	for _, p := range holders {
		// What was found for somebody else than the entry now tells of ties nothing to it.
		if replaces(p.Found.Outcome) && p.Found.Print == p.Told.Print {
			tie(tied, digits, p.Told.NHSNumber, p.Found.NHSNumber)
		}
	}
	return sortedKeys(tied), nil
}

// tieExchange adds what an exchange ties to a number. What Spine named and nobody used is told by its
// calls alone.
func tieExchange(ctx context.Context, db store.Audit, tied map[string]bool, digits string, x store.Exchange) error {
	if x.NHSNumber != "" && x.NHSFound != "" {
		tie(tied, digits, x.NHSNumber, x.NHSFound)
		return nil
	}
	asked := ""
	for e, err := range db.Events(ctx, store.Query{Exchange: x.ID}) {
		if err != nil {
			return err
		}
		f, _ := e.Facts() // none, if the document is damaged: that is for verify to tell
		switch e.Kind {
		case store.Asked:
			asked = f.NHSSent
		case store.Answered:
			tie(tied, digits, asked, f.NHSFound)
		default:
		}
	}
	return nil
}

// replaces tells the outcomes in which Spine gives another number than it was asked about: the
// second is the first for a number that is taken here.
func replaces(o store.Outcome) bool { return o == store.Superseded || o == store.HeldElsewhere }

// tie adds the other one of two numbers.
func tie(tied map[string]bool, digits, sent, found string) {
	switch {
	case sent == "" || found == "" || sent == found:
	case sent == digits:
		tied[found] = true
	case found == digits:
		tied[sent] = true
	}
}

// mergedWith returns the local numbers that one was merged into, or that were merged into it, whoever gave
// them out: one step in either direction, as the index of patients has it.
func mergedWith(ctx context.Context, db store.Index, localID string) ([]string, error) {
	away, err := db.Named(ctx, localID, pageSize)
	if err != nil {
		return nil, err
	}
	into, err := db.MergedInto(ctx, localID, pageSize)
	if err != nil {
		return nil, err
	}
	tied := make(map[string]bool)
	for _, p := range slices.Concat(away, into) {
		if p.Moved.Into.LocalID == "" { // it never was, or was deleted
			continue
		}
		tied[p.Key.LocalID], tied[p.Moved.Into.LocalID] = true, true
	}
	delete(tied, localID)
	return sortedKeys(tied), nil
}
