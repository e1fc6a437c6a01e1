package exchange_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"spinetrace/pds"
	"spinetrace/store"
)

// found returns the control ids of what is found by a search, in order.
func (s *site) found(t *testing.T, q store.Search) string {
	t.Helper()
	q.Limit = 99
	hits, err := s.disk.Search(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, x := range hits {
		ids = append(ids, x.ControlID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// TestFoundByWhatSpineNamed: a number that Spine named and that nobody may use finds the exchange.
func TestFoundByWhatSpineNamed(t *testing.T) {
	held := newIndexed(t).open(t)
	p := held.dial(t)
	p.wantAck(adt("A03", "H1", local("RXX7654321^^^RXX", numbered)), "MSA|AA|H1|Event not used")
	p.wantAck(adt("A28", "H2", unnumbered), "MSA|AA|H2|NHS number held by another record")
	if got := held.found(t, store.Search{NHSNumber: "9990000018"}); got != "H1 H2" {
		t.Errorf("by the number that is held: %q", got)
	}

	referred := newSite(newDisk(t))
	referred.handler.Results = referred.handler.Results.ReferSuperseded()
	referred.provider.say = says(superseding())
	p = referred.open(t).dial(t)
	p.wantAck(adt("A28", "S1", numbered), "MSA|AA|S1|NHS number superseded; tell the patient")
	p.ask(q22("S2", "@PID.3.1^9990000018~@PID.3.4^NHS~@PID.7^19620417"))
	for _, number := range []string{"9990000018", "9990000026"} {
		if got := referred.found(t, store.Search{NHSNumber: number}); got != "S1 S2" {
			t.Errorf("by %s: %q", number, got)
		}
	}
}

// TestFoundByNumbersAsTheyCame: numbers that are no NHS numbers, those of refused questions and those that
// a merge takes away find the message.
func TestFoundByNumbersAsTheyCame(t *testing.T) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	p.wantAck(adt("A03", "N1", numbered, "9990000018", "999 000 0019"), "MSA|AA|N1|Event not used")
	p.ask(adt("A03", "N2", numbered, "9990000018^^^NHS", "9990000018^^^NHS~9990000026^^^NHS"))
	p.ask(q22("N3", "@PID.3.1^9990000019~@PID.3.4^NHS~@PID.7^19620417"))
	p.ask(q22("N4", "@PID.3.1^9990000034~@PID.3.4^NHS"))
	p.ask(q22("N5", "@PID.3.1^RXX9999999~@PID.3.4^RXX"))
	p.ask(adt("A40", "N6", "PID|1||RXX1234567^^^RXX^MR\rMRG|RXX7654321^^^RXX^MR"))
	for name, tt := range map[string]struct {
		s    store.Search
		want string
	}{
		"a wrong check digit":    {store.Search{NHSNumber: "9990000019"}, "N1 N3"},
		"one of two":             {store.Search{NHSNumber: "9990000018"}, "N2"},
		"the other":              {store.Search{NHSNumber: "9990000026"}, "N2"},
		"of a refused question":  {store.Search{NHSNumber: "9990000034"}, "N4"},
		"a local number unknown": {store.Search{LocalID: "RXX9999999"}, "N5"},
		"merged away":            {store.Search{LocalID: "RXX7654321"}, "N6"},
		"merged into":            {store.Search{LocalID: "RXX1234567"}, "N1 N2 N6"},
	} {
		if got := s.found(t, tt.s); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// mentioning notes what the journal is to find exchanges by beside its columns.
type mentioning struct {
	*disk
	mu  sync.Mutex
	all []string
}

// Commit implements [store.Journal].
func (m *mentioning) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	m.mu.Lock()
	m.all = append(m.all, c.Mentions()...)
	m.mu.Unlock()
	return m.disk.Commit(ctx, c)
}

// TestMentionsOnlyWhatDiffers: what a column says, and a message without a number, cost no row.
func TestMentionsOnlyWhatDiffers(t *testing.T) {
	s := newIndexed(t)
	m := &mentioning{disk: s.disk}
	s.handler.Journal = m
	p := s.open(t).dial(t)
	p.wantAck(adt("A03", "O1", unnumbered), "MSA|AA|O1|Event not used")
	p.wantAck(adt("A28", "O2", unnumbered), "MSA|AA|O2|Traced")
	p.wantAck(adt("A28", "O3", numbered), "MSA|AA|O3|Verified")
	p.ask(q22("O4", "@PID.3.1^9990000018~@PID.3.4^NHS~@PID.7^19620417"))
	s.provider.say = says(pds.Result{Outcome: pds.NotVerified, NHSNumber: pds.MustNHSNumber("9990000018")})
	p.wantAck(adt("A28", "O5", numbered), "MSA|AA|O5|Not verified")
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.all) > 0 {
		t.Errorf("mentioned are %q", m.all)
	}
}
