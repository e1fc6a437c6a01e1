package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

// storyWith makes the events of one exchange.
func storyWith(entries ...store.Entry) []store.Event {
	var events []store.Event
	head, id := store.Head{Chain: "main"}, store.NewID()
	for _, e := range entries {
		events = append(events, head.Append(time.Now(), id, e))
	}
	return events
}

// TestHeadlineIsTheResult: what became of letters does not hide what was found out.
func TestHeadlineIsTheResult(t *testing.T) {
	event := func(kind store.Kind, f store.Facts) store.Entry { return store.Entry{Kind: kind, Facts: f} }
	received := event(store.Received, store.Facts{Type: "ADT^A31", ControlID: "V2b", Application: "PAS"})
	pending := event(store.Replied, store.Facts{Outcome: "trace pending"})
	queued := event(store.Queued, store.Facts{Destination: "pas", ControlID: "ST1", Type: "update"})
	tried := func(outcome string) store.Entry {
		return event(store.Tried, store.Facts{Destination: "pas", ControlID: "ST1", Letter: 1, Outcome: outcome})
	}
	decided := event(store.Finished, store.Facts{Outcome: "verified", Decision: "NSTS01"})
	for name, tt := range map[string]struct {
		entries []store.Entry
		want    string
	}{
		"delivered": {[]store.Entry{received, event(store.Replied, store.Facts{Outcome: "superseded", Decision: "NSTS01"}), queued, tried("delivered")},
			"superseded\nLetters: update delivered to pas"},
		"delivered late":     {[]store.Entry{received, pending, decided, queued, tried("to be tried again"), tried("delivered")}, "verified\nLetters: update delivered to pas"},
		"waits":              {[]store.Entry{received, pending, decided, queued, tried("to be tried again")}, "verified\nLetters: update waits for pas"},
		"parked":             {[]store.Entry{received, pending, decided, queued, tried("parked")}, "verified\nLetters: update parked, refused by pas"},
		"sent again":         {[]store.Entry{received, pending, decided, queued, tried("parked"), event(store.Requeued, store.Facts{Destination: "pas", ControlID: "ST1"})}, "verified\nLetters: update waits for pas"},
		"withdrawn":          {[]store.Entry{received, pending, decided, queued, event(store.Withdrawn, store.Facts{Destination: "pas", ControlID: "ST1"})}, "verified\nLetters: update withdrawn, not sent to pas"},
		"a notice":           {[]store.Entry{received, decided, event(store.Tried, store.Facts{Destination: "webhook", ControlID: "item 3", Outcome: "delivered"})}, "verified\nLetters: item 3 delivered to webhook"},
		"still pending":      {[]store.Entry{received, pending, event(store.Finished, store.Facts{Outcome: "unfinished"})}, "trace pending"},
		"overtaken":          {[]store.Entry{received, pending, event(store.Finished, store.Facts{Outcome: "not traced"})}, "not traced"},
		"known already":      {[]store.Entry{received, pending, decided, event(store.Finished, store.Facts{Outcome: "not traced"})}, "verified"},
		"by the command":     {[]store.Entry{received, event(store.Finished, store.Facts{Outcome: "unfinished"})}, "unfinished"},
		"not answered":       {[]store.Entry{received}, "unfinished"},
		"answered and again": {[]store.Entry{received, event(store.Replied, store.Facts{Outcome: "no match", Decision: "NSTS04"}), event(store.Resent, store.Facts{})}, "no match"},
	} {
		t.Run(name, func(t *testing.T) {
			got := headline(storyWith(tt.entries...))
			if want := "ADT^A31 V2b from PAS: " + tt.want + "\nExchange "; !strings.HasPrefix(got, want) {
				t.Errorf("headline is %q, want %q...", got, want)
			}
		})
	}
}

func TestWrapCutsAtSpacesOnly(t *testing.T) {
	for text, want := range map[string][]string{
		"":                       {""},
		"ten chars!":             {"ten chars!"},
		"eleven chrs":            {"eleven", "chrs"},
		"/one/long/path":         {"/one/long/path"},
		"/one/long/path (here)":  {"/one/long/path", "(here)"},
		"ä ö ü ä ö ü ä":          {"ä ö ü ä ö", "ü ä"},
		" leading and trailing ": {" leading", "and", "trailing "},
	} {
		if diff := cmp.Diff(want, wrap(text, 10)); diff != "" {
			t.Errorf("wrap(%q) (-want +got):\n%s", text, diff)
		}
	}
}
