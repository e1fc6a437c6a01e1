package store

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Row is what an exchange is found by, and the events that this repeats, all as of one moment.
type Row struct {
	ID
	Events   []Event   // in the order they happened
	Opened   *Exchange // without how it ended; nil: there is no such row
	Ends     []End
	Mentions []string // those that there are of [Row.Mentioned]

	story *story
}

// The tables whose rows are compared with the journal.
const (
	tableExchange = "exchange"
	tableReply    = "reply"
	tableEnding   = "ending"
	tableMention  = "mention"
)

// An End is a row that tells how an exchange ended, or a trace whose sender had been answered before.
type End struct {
	Table    string // reply, or ending; or exchange, where a store keeps the first there if it came at once
	At       time.Time
	Outcome  Outcome
	NHSFound string
	Placed   bool   // the store keeps where the event of the end is:
	Chain    string // "" for a chain that is not there
	Seq      int64
}

// What is wrong with a row.
const (
	Differs = "differs" // from what the event says
	Missing = "missing" // although the event tells of it
	Forged  = "forged"  // no event tells of it
	Damaged = "damaged" // the document itself, so that nothing can be compared
)

// A Mismatch is a place where messages are not found by what the journal says of them.
type Mismatch struct {
	Exchange ID
	Chain    string // of the event that is contradicted, or of the place that a forged row names; "": there is none
	Seq      int64
	Column   string // such as exchange.nhs_sent; the table alone if all of a row is meant
	What     string // one of the constants
}

// VerifyRows compares what messages are found by with the journal, which is taken for true: [Verify]
// checks that. found is called for whatever differs, and progress, if not nil, now and then with the
// number of exchanges so far. It returns how many there were.
//
// Not compared is what events do not tell: numbers and ids that stand in a message beside those of its
// patient, and mentions that are too many.
func VerifyRows(ctx context.Context, a Audit, found func(Mismatch), progress func(exchanges int64)) (exchanges int64, err error) {
	for r, err := range a.Rows(ctx) {
		if err != nil {
			return exchanges, fmt.Errorf("store: verify rows: %w", err)
		}
		for _, m := range r.Compare() {
			found(m)
		}
		if exchanges++; progress != nil && exchanges%100_000 == 0 {
			progress(exchanges)
		}
	}
	return exchanges, nil
}

// Compare returns what is wrong with the rows of an exchange.
func (r *Row) Compare() []Mismatch {
	s := r.read()
	switch {
	case s.damaged != nil:
		return []Mismatch{s.damaged.mismatch("event.doc", Damaged)}
	case len(r.Events) == 0:
		return r.homeless()
	}
	return slices.Concat(s.opening(r), s.ends(r, tableReply), s.ends(r, tableEnding), s.mentions(r))
}

// homeless are the rows of an exchange that has no events.
func (r *Row) homeless() (all []Mismatch) {
	at := Mismatch{Exchange: r.ID, What: Forged}
	forged := func(table string) {
		at.Column = table
		all = append(all, at)
	}
	if r.Opened != nil {
		at.Chain, at.Seq = r.Opened.Chain, r.Opened.Seq
		forged(tableExchange)
	}
	for _, end := range r.Ends {
		if end.Table != tableExchange { // that is the row above
			forged(end.Table)
		}
	}
	return all
}

// told is an event and what its document says.
type told struct {
	Event
	Facts
}

func (t told) mismatch(column, what string) Mismatch {
	return Mismatch{Exchange: t.Event.Exchange, Chain: t.Chain, Seq: t.Seq, Column: column, What: what}
}

// story is what the events of an exchange tell of its rows.
type story struct {
	events []told // those that tell something
	opened *told  // the one that opened it; nil: there is none
	legacy bool   // a program wrote of it that named no user for itself, nor kept all that is searched by

	damaged *told // cannot be read
}

// telling are the kinds of events that say something of what their exchange is found by.
var telling = map[Kind]bool{
	Received: true, Exchanged: true, Broken: true, Replied: true, Finished: true, Resent: true,
	Asked: true, Answered: true, Queued: true,
}

// opening are those whose event is the first of its exchange, and says what it is found by.
var opening = map[Kind]bool{Received: true, Exchanged: true, Broken: true}

// read reads the events that matter, once, as far as the first that cannot be read.
func (r *Row) read() *story {
	if r.story != nil {
		return r.story
	}
	s := &story{events: make([]told, 0, len(r.Events))}
	r.story = s
	for _, e := range r.Events {
		if !telling[e.Kind] {
			continue
		}
		t := told{Event: e}
		var err error
		if t.Facts, err = e.Facts(); err != nil {
			s.damaged = &t
			return s
		}
		s.legacy = s.legacy || t.User == ""
		s.events = append(s.events, t)
	}
	if i := slices.IndexFunc(s.events, func(t told) bool { return opening[t.Event.Kind] }); i >= 0 {
		s.opened = &s.events[i]
	}
	return s
}

// place is the event that a row is measured by if none tells of it.
func (s *story) place(r *Row) told {
	if s.opened != nil {
		return *s.opened
	}
	return told{Event: r.Events[0]}
}

// columns are those of the table exchange, and what the opening event says of each.
var columns = []struct {
	name string
	kept func(*Exchange) string
	told func(*told) string
}{
	{"at", func(x *Exchange) string { return x.At.UTC().Format(timeLayout) }, func(t *told) string { return t.Stamp() }},
	{"application", func(x *Exchange) string { return x.Application }, func(t *told) string { return t.Application }},
	{"facility", func(x *Exchange) string { return x.Facility }, func(t *told) string { return t.Facility }},
	{"control_id", func(x *Exchange) string { return x.ControlID }, func(t *told) string { return t.ControlID }},
	{"type", func(x *Exchange) string { return x.Type }, func(t *told) string { return t.Type }},
	{"local_id", func(x *Exchange) string { return x.LocalID }, func(t *told) string { return t.LocalID }},
	{"nhs_sent", func(x *Exchange) string { return x.NHSNumber }, func(t *told) string { return t.NHSSent }},
	{"asker", func(x *Exchange) string { return x.User }, (*told).asker},
	{"chain", func(x *Exchange) string { return x.Chain }, func(t *told) string { return t.Chain }},
	{"seq", func(x *Exchange) string { return strconv.FormatInt(x.Seq, 10) }, func(t *told) string { return strconv.FormatInt(t.Seq, 10) }},
}

// asker is the user as the column has it: empty for nobody in particular.
func (t *told) asker() string {
	if IsSystem(t.User) {
		return ""
	}
	return t.User
}

// opening compares the row in the table exchange.
func (s *story) opening(r *Row) (all []Mismatch) {
	at := s.place(r)
	switch {
	case r.Opened == nil:
		return []Mismatch{at.mismatch(tableExchange, Missing)}
	case s.opened == nil:
		return []Mismatch{at.mismatch(tableExchange, Forged)}
	}
	for _, c := range columns {
		kept := c.kept(r.Opened)
		if s.legacy && c.name == "asker" && kept == "" {
			continue // before there was that column
		}
		if !sameText(kept, c.told(s.opened)) {
			all = append(all, at.mismatch(tableExchange+"."+c.name, Differs))
		}
	}
	return all
}

// sameText tells whether a column is what is kept of a text of an event. Where a message had bytes that
// are no text, the event has a U+FFFD for each, the column one for several: what such a text becomes
// is known but for where it was cut.
func sameText(kept, text string) bool {
	if kept == Text(text) {
		return true
	}
	return kept != "" && strings.Contains(text, "\uFFFD") && strings.HasPrefix(squeezed(text), squeezed(kept))
}

func squeezed(s string) string {
	s = legible(s)
	for strings.Contains(s, "\uFFFD\uFFFD") {
		s = strings.ReplaceAll(s, "\uFFFD\uFFFD", "\uFFFD")
	}
	return s
}

// toldEnd is how an exchange ended, as an event tells it.
type toldEnd struct {
	told
	table   string
	outcome Outcome // 0: in words that nobody knows
	found   []string
	may     bool // there need not be a row of it
}

// UnderSixWeeks is the reason of an attempt at a trace that decided nothing, not even that there is
// nothing to decide: it is made again when the baby is old enough.
const UnderSixWeeks = "Not traced: under 6 weeks"

// verified is the decision that makes a number the patient's. With any other the number that Spine named
// is not how the exchange ended.
const verified = "NSTS01"

// end is what an event says of how its exchange ended, or a trace that came later.
func (s *story) end(t told) (end toldEnd, ok bool) {
	outcome, known := ParseOutcome(t.Outcome)
	end = toldEnd{told: t, table: tableReply, outcome: outcome, found: []string{t.NHSFound}}
	switch t.Event.Kind {
	case Exchanged, Replied:
		return end, true
	case Broken:
		end.outcome, end.found = Unanswered, []string{""}
		return end, true
	case Finished:
		return s.finished(end, known)
	default:
		return end, false
	}
}

// finished tells the end of a trace on the command line, which is that of its exchange, from that of a
// trace whose sender had been answered before, and from an attempt that is made again.
func (s *story) finished(end toldEnd, known bool) (toldEnd, bool) {
	switch {
	case s.opened != nil && s.opened.Facts.Type == "trace" && s.opened.Peer == "":
		if !known {
			end.outcome, end.found = Failed, []string{""}
		}
		return end, true
	case !known || end.outcome == Stale || end.Reason == UnderSixWeeks:
		return end, false
	case s.legacy: // a migration made the row, of what the event says, or there is none
		end.found, end.may = []string{"", end.NHSFound}, true
	case end.Decision != verified:
		end.found = []string{""}
	}
	end.table = tableEnding
	return end, true
}

// toldEnds returns the ends of which one is kept: the first. Of several chains nobody can tell which
// was first, so it may be the first of each.
func (s *story) toldEnds(table string) (all []toldEnd) {
	decided := make(map[string]bool) // by chain
	for _, t := range s.events {
		end, ok := s.end(t)
		if !ok || end.table != table || decided[t.Chain] {
			continue
		}
		decided[t.Chain] = !end.may
		all = append(all, end)
	}
	return all
}

// ends compares the rows that say how the exchange ended, or a later trace.
func (s *story) ends(r *Row, table string) (all []Mismatch) {
	ends := s.toldEnds(table)
	must := slices.IndexFunc(ends, func(e toldEnd) bool { return !e.may })
	kept := 0
	for _, row := range r.Ends {
		switch late := row.Table == tableEnding; {
		case late != (table == tableEnding):
			continue
		case kept > 0 || len(ends) == 0:
			all = append(all, s.place(r).mismatch(row.Table, Forged))
		default:
			all = append(all, nearest(ends, row)...)
		}
		kept++
	}
	// Where a store keeps the end in the row of the exchange itself, both are missing as one.
	gone := r.Opened == nil && table == tableReply
	if kept == 0 && must >= 0 && !gone {
		all = append(all, ends[must].mismatch(table, Missing))
	}
	return all
}

// nearest compares a row with the event that it differs from least.
func nearest(ends []toldEnd, row End) []Mismatch {
	least := ends[0].compare(row)
	for _, end := range ends[1:] {
		if m := end.compare(row); len(m) < len(least) {
			least = m
		}
	}
	return least
}

func (e toldEnd) compare(row End) (all []Mismatch) {
	for _, c := range []struct {
		name string
		same bool
	}{
		{"at", row.Table == tableExchange || row.At.Equal(e.Event.At)},
		{"outcome", e.outcome == 0 || row.Outcome == e.outcome},
		{"nhs_found", slices.ContainsFunc(e.found, func(digits string) bool { return sameText(row.NHSFound, digits) })},
		{"chain", !row.Placed || row.Chain == e.Chain},
		{"seq", !row.Placed || row.Seq == e.Seq},
	} {
		if !c.same {
			all = append(all, e.mismatch(row.Table+"."+c.name, Differs))
		}
	}
	return all
}

// Mentioned returns the mentions that the events tell of, as stores keep them: the ids of calls and
// letters, and the numbers that Spine was asked about or named and no column has. What else a message
// mentions is in no event.
func (r *Row) Mentioned() (all []string) {
	s := r.read()
	if s.legacy || s.damaged != nil {
		return nil
	}
	known := s.numbers()
	for _, t := range s.events {
		all = append(all, t.mentioned(known)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// mentions looks for what each event mentions.
func (s *story) mentions(r *Row) (all []Mismatch) {
	if s.legacy {
		return nil
	}
	known := s.numbers()
	for _, t := range s.events {
		if slices.ContainsFunc(t.mentioned(known), func(text string) bool { return !slices.Contains(r.Mentions, text) }) {
			all = append(all, t.mismatch(tableMention, Missing))
		}
	}
	return all
}

// mentioned returns what an event mentions.
func (t told) mentioned(known []string) (all []string) {
	for _, id := range (Entry{Kind: t.Event.Kind, Facts: t.Facts}).calls() {
		// Of one that was no text it is not known what was kept.
		if Text(id) != "" && !strings.Contains(id, "\uFFFD") {
			all = append(all, MentionOfCall(id))
		}
	}
	if k := t.Event.Kind; k != Asked && k != Answered && k != Finished {
		return all
	}
	for _, digits := range []string{t.NHSSent, t.NHSFound} {
		if digits != "" && isNumber(digits) && !slices.Contains(known, digits) {
			all = append(all, MentionOfNumber(digits))
		}
	}
	return all
}

// numbers are those that need no mention: the exchange is found by them anyway. An end that came second
// has no row, nor a mention of its number: which of several counts is not known here, so none is
// asked for.
func (s *story) numbers() (known []string) {
	if s.opened != nil {
		known = append(known, s.opened.NHSSent)
	}
	for _, end := range slices.Concat(s.toldEnds(tableReply), s.toldEnds(tableEnding)) {
		known = append(known, end.found...)
	}
	var late []string
	for _, t := range s.events {
		switch t.Event.Kind {
		case Resent:
			known = append(known, t.NHSFound)
		case Finished:
			late = append(late, t.NHSFound)
		default:
		}
	}
	if len(late) > 1 {
		known = append(known, late...)
	}
	return known
}

// RowPage collects what a store reads of the exchanges between two ids.
type RowPage map[ID]*Row

// Mentioned returns the mentions that the events tell of, each with its row.
func (p RowPage) Mentioned() iter.Seq2[*Row, string] {
	return func(yield func(*Row, string) bool) {
		for _, r := range p {
			for _, text := range r.Mentioned() {
				if !yield(r, text) {
					return
				}
			}
		}
	}
}

// Of returns the row of an exchange, which is made if it is not there.
func (p RowPage) Of(id ID) *Row {
	r := p[id]
	if r == nil {
		r = &Row{ID: id}
		p[id] = r
	}
	return r
}

// Sorted returns the rows in the order of their ids.
func (p RowPage) Sorted() []*Row {
	return slices.SortedFunc(maps.Values(p), func(a, b *Row) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}

// LastID is the greatest there can be.
var LastID = ID(bytes.Repeat([]byte{0xFF}, len(ID{})))

// NextID returns the ID behind one that is not the last.
func NextID(id ID) ID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}
