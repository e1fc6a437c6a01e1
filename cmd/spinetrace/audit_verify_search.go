package main

import (
	"context"
	"fmt"
	"io"

	"spinetrace/store"
)

// mostMismatches is how many are told one by one; the others are counted.
const mostMismatches = 1000

// compared is what came of comparing what messages are found by with the journal.
type compared struct {
	Exchanges  int64      `json:"exchanges"`
	Wrong      int64      `json:"wrong"`
	Mismatches []mismatch `json:"mismatches,omitempty"` // the first of them
}

// mismatch is a store.Mismatch as it is printed.
type mismatch struct {
	Chain    string   `json:"chain,omitempty"`
	Seq      int64    `json:"seq,omitempty"`
	Exchange store.ID `json:"exchange"`
	Column   string   `json:"column"`
	What     string   `json:"what"`
}

// seek compares what messages are found by with the journal, if that is wanted; nil if not.
func (v verifying) seek(ctx context.Context, db store.Audit) (*compared, error) {
	if !v.search {
		return nil, nil
	}
	s := new(compared)
	found := func(m store.Mismatch) {
		if v.chain != "" && m.Chain != v.chain {
			return
		}
		if s.Wrong++; s.Wrong <= mostMismatches {
			s.Mismatches = append(s.Mismatches, mismatch{m.Chain, m.Seq, m.Exchange, m.Column, m.What})
		}
	}
	var err error
	s.Exchanges, err = store.VerifyRows(ctx, db, found, func(n int64) {
		v.say("%d exchanges compared", n)
	})
	return s, err
}

func (v verifying) printCompared(w io.Writer, s *compared) error {
	switch {
	case s == nil:
		return nil
	case v.json:
		return encodeJSON(w, map[string]any{"search": s})
	}
	line := fmt.Sprintf("search     %6d exchanges", s.Exchanges)
	if s.Wrong > 0 {
		line += fmt.Sprintf(", WRONG in %s:", count(int(s.Wrong), "place", "places"))
	}
	if _, err := fmt.Fprintln(w, line); err != nil {
		return err
	}
	for _, m := range s.Mismatches {
		if _, err := fmt.Fprintf(w, "%11s%s\n", "", m); err != nil {
			return err
		}
	}
	if more := s.Wrong - int64(len(s.Mismatches)); more > 0 {
		_, err := fmt.Fprintf(w, "%11sand %d more\n", "", more)
		return err
	}
	return nil
}

// mismatchText says in words what is wrong with a row.
var mismatchText = map[string]string{
	store.Differs: "DIFFERS from the event",
	store.Missing: "is MISSING, though the event tells of it",
	store.Forged:  "is FORGED, no event tells of it",
	store.Damaged: "CANNOT BE READ",
}

// String names the event, the column, and what is wrong with it.
func (m mismatch) String() string {
	at := "nowhere"
	if m.Chain != "" {
		at = place{m.Chain, m.Seq}.String()
	}
	return fmt.Sprintf("%s  %s %s (exchange %s)", printable(at), m.Column, mismatchText[m.What], m.Exchange)
}
