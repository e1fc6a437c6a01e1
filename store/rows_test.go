package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"spinetrace/store"
)

// entryAt is an event of one exchange, in a chain.
type entryAt struct {
	chain string
	kind  store.Kind
	facts store.Facts
}

// rowOf is the row of an exchange with these events, and what it is found by as given.
func rowOf(entries []entryAt, ends ...store.End) store.Row {
	at, heads := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC), make(map[string]*store.Head)
	r := store.Row{ID: store.FirstID(at), Ends: ends}
	for i, e := range entries {
		if heads[e.chain] == nil {
			heads[e.chain] = &store.Head{Chain: e.chain}
		}
		r.Events = append(r.Events, heads[e.chain].Append(at.Add(time.Duration(i)*time.Second), r.ID, store.Entry{Kind: e.kind, Facts: e.facts}))
	}
	f, first := entries[0].facts, r.Events[0]
	r.Opened = &store.Exchange{
		ID: r.ID, At: first.At, Application: store.Text(f.Application), Type: f.Type, LocalID: store.Text(f.LocalID),
		NHSNumber: f.NHSSent, Chain: first.Chain, Seq: first.Seq,
	}
	for i, end := range r.Ends {
		if end.At.IsZero() { // of the event whose place it has in the list
			r.Ends[i].At = r.Events[end.Seq].At
		}
	}
	r.Mentions = r.Mentioned()
	return r
}

func wantWrong(t *testing.T, r store.Row, want ...string) {
	t.Helper()
	var got []string
	for _, m := range r.Compare() {
		got = append(got, fmt.Sprintf("%s:%d %s %s", m.Chain, m.Seq, m.Column, m.What))
	}
	if !slices.Equal(got, want) {
		t.Errorf("Compare() = %q, want %q", got, want)
	}
}

// ended is an end that the nth event tells of.
func ended(n int64, table string, o store.Outcome, found string) store.End {
	return store.End{Table: table, Outcome: o, NHSFound: found, Seq: n}
}

// TestRowFollowsFromEvents: how every kind of exchange ends, as a program writes it down.
func TestRowFollowsFromEvents(t *testing.T) {
	const number, other = "9990000018", "9990000026"
	var (
		received = entryAt{"main", store.Received, store.Facts{Peer: "192.0.2.7:1", Type: "ADT^A28"}}
		asked    = entryAt{"main", store.Asked, store.Facts{}}
		pending  = entryAt{"main", store.Replied, store.Facts{Outcome: "trace pending"}}
		command  = entryAt{"cli", store.Received, store.Facts{Type: "trace", User: "clerk"}}
	)
	finished := func(f store.Facts) entryAt { return entryAt{"main", store.Finished, f} }
	replied := ended(2, "reply", store.Pending, "")
	for name, tt := range map[string]struct {
		events []entryAt
		ends   []store.End
	}{
		"answered at once":        {[]entryAt{{"main", store.Exchanged, store.Facts{Outcome: "not traced"}}}, []store.End{ended(0, "exchange", store.NotTraced, "")}},
		"answered with letters":   {[]entryAt{received, {"main", store.Queued, store.Facts{}}, {"main", store.Replied, store.Facts{Outcome: "verified", NHSFound: number}}}, []store.End{ended(0, "exchange", store.Verified, number)}},
		"broken bytes":            {[]entryAt{{"main", store.Broken, store.Facts{Reason: "junk"}}}, []store.End{ended(0, "reply", store.Unanswered, "")}},
		"left by a crash":         {[]entryAt{received, asked, {"main", store.Interrupted, store.Facts{}}}, nil},
		"taken over":              {[]entryAt{received, asked, {"two", store.Resent, store.Facts{}}, {"two", store.Resumed, store.Facts{}}, {"two", store.Replied, store.Facts{Outcome: "traced", NHSFound: number}}}, []store.End{ended(4, "reply", store.Traced, number)}},
		"answered twice":          {[]entryAt{received, {"two", store.Replied, store.Facts{Outcome: "traced", NHSFound: number}}, {"main", store.Answered, store.Facts{NHSFound: other}}, {"main", store.Resent, store.Facts{Outcome: "traced", NHSFound: other}}}, []store.End{ended(1, "reply", store.Traced, number)}},
		"traced late":             {[]entryAt{received, asked, pending, finished(store.Facts{Outcome: "traced", Decision: "NSTS01", NHSFound: number})}, []store.End{replied, ended(3, "ending", store.Traced, number)}},
		"held elsewhere":          {[]entryAt{received, asked, pending, finished(store.Facts{Outcome: "held by another record", Decision: "NSTS05", NHSFound: number})}, []store.End{replied, ended(3, "ending", store.HeldElsewhere, "")}},
		"refused late":            {[]entryAt{received, asked, pending, finished(store.Facts{Outcome: "refused"})}, []store.End{replied, ended(3, "ending", store.Refused, "")}},
		"tried again":             {[]entryAt{received, asked, pending, finished(store.Facts{Outcome: "unfinished"})}, []store.End{replied}},
		"from a local copy":       {[]entryAt{received, asked, pending, finished(store.Facts{Outcome: "stale", NHSFound: number})}, []store.End{replied}},
		"too young as yet":        {[]entryAt{received, asked, pending, finished(store.Facts{Outcome: "not traced", Reason: store.UnderSixWeeks})}, []store.End{replied}},
		"not to be traced":        {[]entryAt{received, asked, pending, finished(store.Facts{Outcome: "not traced", Reason: "Not traced: older message"})}, []store.End{replied, ended(3, "ending", store.NotTraced, "")}},
		"of two results, first":   {[]entryAt{received, asked, pending, finished(store.Facts{Outcome: "no match", Decision: "NSTS04"}), finished(store.Facts{Outcome: "traced", Decision: "NSTS01", NHSFound: number})}, []store.End{replied, ended(3, "ending", store.NoMatch, "")}},
		"of two chains, one":      {[]entryAt{received, asked, pending, finished(store.Facts{Outcome: "no match", Decision: "NSTS04"}), {"two", store.Finished, store.Facts{Outcome: "traced", Decision: "NSTS01", NHSFound: number}}}, []store.End{replied, ended(4, "ending", store.Traced, number)}},
		"by command":              {[]entryAt{command, {"cli", store.Finished, store.Facts{Outcome: "traced", NHSFound: number}}}, []store.End{ended(1, "reply", store.Traced, number)}},
		"by command, and failed":  {[]entryAt{command, {"cli", store.Finished, store.Facts{Outcome: "unfinished"}}}, []store.End{ended(1, "reply", store.Failed, "")}},
		"by command, interrupted": {[]entryAt{command, {"cli", store.Asked, store.Facts{}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := rowOf(tt.events, tt.ends...)
			if tt.events[0].chain == "cli" {
				r.Opened.User = "clerk"
			}
			wantWrong(t, r)
			if len(r.Ends) == 0 {
				r.Ends = []store.End{{Table: "ending", At: r.Events[0].At, Outcome: store.Traced}}
				wantWrong(t, r, r.Events[0].Chain+":1 ending forged")
				return
			}
			last := &r.Ends[len(r.Ends)-1]
			last.Outcome = store.OldStyle
			if got := r.Compare(); len(got) != 1 || got[0].Column != last.Table+".outcome" {
				t.Errorf("with another outcome: Compare() = %+v", got)
			}
		})
	}
}

// TestRowKeepsTexts: what is kept of a text is told from a text that was changed, whatever was in it.
func TestRowKeepsTexts(t *testing.T) {
	for name, text := range map[string]string{
		"plain": "PAS", "long": strings.Repeat("é", 150), "a NUL": "P\x00S", "no text": "caf\xe9\xe8 bar",
		"long and no text": strings.Repeat("\xff", 30) + "\x00" + strings.Repeat("a\xff\xfe", 90), "nothing else": strings.Repeat("\xff", 300),
	} {
		r := rowOf([]entryAt{{"main", store.Received, store.Facts{Application: text, LocalID: text}}})
		wantWrong(t, r)
		r.Opened.LocalID = "X" + r.Opened.LocalID
		r.Opened.Application = ""
		if got := r.Compare(); len(got) != 2 {
			t.Errorf("%s: changed, Compare() = %+v; want both columns", name, got)
		}
	}
}

// TestRowsOfOlderPrograms: a migration made the rows that came later, of what the events say, and not
// the column of users.
func TestRowsOfOlderPrograms(t *testing.T) {
	r := rowOf([]entryAt{
		{"main", store.Received, store.Facts{Type: "ADT^A28", User: "clerk"}},
		{"main", store.Asked, store.Facts{MessageID: "urn:uuid:1"}},
		{"main", store.Finished, store.Facts{Outcome: "held by another record", Decision: "NSTS05", NHSFound: "9990000018"}},
	}, ended(2, "ending", store.HeldElsewhere, "9990000018"))
	r.Mentions = nil
	wantWrong(t, r, "main:1 exchange.asker differs", "main:3 ending.nhs_found differs", "main:2 mention missing", "main:3 mention missing")
	events := withoutUser(t, r.Events)
	wantWrong(t, store.Row{ID: r.ID, Events: events, Opened: r.Opened, Ends: r.Ends})
	wantWrong(t, store.Row{ID: r.ID, Events: events, Opened: r.Opened})
}

// withoutUser takes the user out of the events that the system made.
func withoutUser(t *testing.T, events []store.Event) []store.Event {
	t.Helper()
	events = slices.Clone(events)
	for i := range events {
		events[i].Doc = strings.Replace(events[i].Doc, `,"user":"system"`, "", 1)
		if !json.Valid([]byte(events[i].Doc)) {
			t.Fatal("not a document")
		}
	}
	return events
}

// TestRowWithoutEvents: it names its own place.
func TestRowWithoutEvents(t *testing.T) {
	r := store.Row{ID: store.NewID(), Opened: &store.Exchange{Chain: "main", Seq: 7}, Ends: []store.End{{Table: "reply"}}}
	wantWrong(t, r, "main:7 exchange forged", "main:7 reply forged")
	r.Opened = nil
	wantWrong(t, r, ":0 reply forged")
}
