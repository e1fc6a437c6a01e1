package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// chainOf makes a chain of events without exchanges.
func chainOf(name string, at time.Time, entries ...Entry) (events []Event) {
	head := Head{Chain: name}
	for _, e := range entries {
		events = append(events, head.Append(at, ID{}, e))
	}
	return events
}

func TestDroppedBefore(t *testing.T) {
	now := someTime.AddDate(1, 0, 0)
	drop := func(ago time.Duration) Entry { return DropEntry("clerk", now.Add(-ago), 7) }
	unreadable := drop(LeastAge)
	unreadable.Facts.Details = nil
	m := newMemory()
	m.others = map[string][]Event{
		"main.cli":  chainOf("main.cli", now, drop(3*LeastAge), drop(2*LeastAge), drop(LeastAge-time.Second), unreadable, Entry{Kind: Looked}),
		"other.cli": chainOf("other.cli", now, drop(4*LeastAge)),
		"other":     chainOf("other", now, drop(LeastAge)),
	}
	got, err := DroppedBefore(t.Context(), m)
	if want := now.Add(-2 * LeastAge); err != nil || !got.Equal(want) {
		t.Errorf("DroppedBefore() = %v, error %v; want %v", got, err, want)
	}
	m.others = nil
	if got, err := DroppedBefore(t.Context(), m); err != nil || !got.IsZero() {
		t.Errorf("DroppedBefore() = %v, error %v; want none", got, err)
	}
	m.dark = ErrUnavailable
	if _, err := DroppedBefore(t.Context(), m); !errors.Is(err, ErrUnavailable) {
		t.Errorf("DroppedBefore() error = %v, want ErrUnavailable", err)
	}
	delete(m.bodies, 3)
	if _, err := Verify(t.Context(), m, "main", true, nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Verify() error = %v, want ErrUnavailable", err)
	}
}

func TestVerifyCountsWhatWasDropped(t *testing.T) {
	m := newMemory()
	began := Began(someID)
	recorded := began.Add(2 * LeastAge)
	delete(m.bodies, 3)
	for _, tt := range []struct {
		before time.Time
		broken bool
	}{{began, true}, {began.Add(time.Millisecond), false}} {
		m.others = map[string][]Event{"main.cli": chainOf("main.cli", recorded, DropEntry("clerk", tt.before, 1))}
		w, err := Verify(t.Context(), m, "main", true, nil)
		var b *Break
		if errors.As(err, &b) != tt.broken || !tt.broken && (w.Dropped != 2 || w.Bodies != 4) {
			t.Errorf("dropped before %v: Verify() = %+v, error %v; want a break: %t", tt.before, w, err, tt.broken)
		}
	}
}

func TestVerifyMissesNoHiddenEvent(t *testing.T) {
	m := newMemory()
	m.hidden = 2
	w, err := Verify(t.Context(), m, "main", false, nil)
	var b *Break
	if !errors.As(err, &b) || b.Seq != w.Head.Seq || !strings.HasPrefix(b.What, "2 more events") {
		t.Errorf("Verify() error = %v, want a break at the head %d that tells of 2 events", err, w.Head.Seq)
	}
}

// TestVerifyAsksAgainWhatWasDropped: bodies that are dropped while a chain is walked are no break.
func TestVerifyAsksAgainWhatWasDropped(t *testing.T) {
	m := newMemory()
	began := Began(someID)
	delete(m.bodies, 3)
	c := bodyCheck{audit: m, since: FirstID(began.Add(-time.Hour))} // as of an earlier drop
	m.others = map[string][]Event{"main.cli": chainOf("main.cli", began.Add(2*LeastAge), DropEntry("clerk", began.Add(time.Millisecond), 1))}
	var w Walk
	for e := range m.Events(t.Context(), Query{Chain: "main"}) {
		if err := c.event(t.Context(), e, &w); err != nil {
			t.Errorf("event %d: %v", e.Seq, err)
		}
	}
	if w.Dropped != 2 {
		t.Errorf("%d dropped bodies, want 2", w.Dropped)
	}
}

func TestVerifyCollectsAnchors(t *testing.T) {
	a, b := Hash{1}, Hash{2}
	heads := func(of ...Head) Entry { return AnchorEntry(of, "main") }
	m := &memory{events: chainOf("main", someTime,
		heads(Head{Chain: "main", Seq: 5, Hash: a}, Head{Chain: "new"}),
		heads(Head{Chain: "two", Seq: 1, Hash: a}, Head{Chain: "one", Seq: 9, Hash: a}),
		heads(Head{Chain: "two", Seq: 3, Hash: b}, Head{Chain: "one", Seq: 8, Hash: b}),
		heads(Head{Chain: "two", Seq: 3, Hash: b}, Head{Chain: "one", Seq: 8, Hash: b}),
	)}
	w, err := Verify(t.Context(), m, "main", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Head{
		{Chain: "one", Seq: 9, Hash: a}, {Chain: "two", Seq: 1, Hash: a}, {Chain: "one", Seq: 8, Hash: b}, {Chain: "two", Seq: 3, Hash: b},
	}
	if diff := cmp.Diff(want, w.Anchored); diff != "" {
		t.Errorf("Anchored (-want +got):\n%s", diff)
	}
	for name, text := range map[string]string{
		"empty": "", "no hash": "1", "no number": a.String(), "short hash": "1 00", "zero": "0 " + a.String(), "negative": "-1 " + a.String(),
	} {
		m.events = chainOf("main", someTime, Entry{Kind: Anchored, Facts: Facts{Heads: map[string]string{"one": text}}})
		var b *Break
		if _, err := Verify(t.Context(), m, "main", false, nil); !errors.As(err, &b) || !strings.Contains(b.What, "head") {
			t.Errorf("%s: Verify() error = %v, want a break", name, err)
		}
	}
}

func TestCheckHeads(t *testing.T) {
	m := newMemory()
	last := m.events[3]
	good := Head{"main", 4, time.Time{}, last.Hash}
	got, err := CheckHeads(t.Context(), m, []Head{
		good, {Chain: "main", Seq: 4}, {Chain: "main", Seq: 5, Hash: last.Hash}, {Chain: "gone", Seq: 1},
	})
	want := []Break{
		{"gone", 1, "missing: the chain was longer once"},
		{"main", 4, "hash is not the one it had as the head"}, {"main", 5, "missing: the chain was longer once"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("CheckHeads() error %v (-want +got):\n%s", err, diff)
	}
	// A chain that was cut off and went on has its newest head; an older one tells.
	regrown := []Head{{"main", 3, time.Time{}, Hash{1}}, good}
	if got, err := CheckHeads(t.Context(), m, regrown); err != nil || len(got) != 1 || got[0].Seq != 3 {
		t.Errorf("CheckHeads() = %v, error %v; want a break at 3", got, err)
	}
	m.events = m.events[3:]
	if got, err := CheckHeads(t.Context(), m, []Head{{Chain: "main", Seq: 2}}); err != nil || len(got) != 1 || got[0].Seq != 2 {
		t.Errorf("CheckHeads() = %v, error %v; want a break at 2", got, err)
	}
}

func TestMentions(t *testing.T) {
	long := strings.Repeat("x", 300)
	c := Commit{Exchange: someID, Entries: []Entry{
		{Kind: Received, Facts: Facts{MessageID: "of no call"}},
		{Kind: Asked, Facts: Facts{MessageID: "m", TrackingID: "t", PayloadID: "p"}},
		{Kind: Answered, Facts: Facts{MessageID: "m", AnswerID: long}},
		{Kind: Answered, Facts: Facts{AnswerID: "\x00"}},
		{Kind: Queued, Facts: Facts{ControlID: "a31", Type: Update.String()}},
		{Kind: Queued, Facts: Facts{ControlID: "as it came", Type: Forwarded.String()}},
	}}
	if diff := cmp.Diff([]string{"m", "t", "p", long[:200], "a31"}, c.Mentions()); diff != "" {
		t.Errorf("Mentions() (-want +got):\n%s", diff)
	}
	c.Exchange = ID{}
	if got := c.Mentions(); got != nil {
		t.Errorf("Mentions() of no exchange = %q", got)
	}
}

func TestSearchFitStaysAFilter(t *testing.T) {
	s := Search{ControlID: "\x00", LocalID: "caf\xe9", Limit: -1}.Fit()
	if s.ControlID == "" || s.LocalID != "caf\uFFFD" || s.Limit != 0 {
		t.Errorf("Fit() = %+v", s)
	}
}
