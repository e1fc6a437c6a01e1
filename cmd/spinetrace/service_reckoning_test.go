package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/store"
)

// reckoning compares, after [TestCrashes], what the journal holds with what is kept beside it and
// what the neighbours saw.
type reckoning struct {
	*crashing
	stories map[store.ID]*story
	letters []store.Letter // by position
	items   []store.Item
	merged  map[string]bool             // local numbers that were merged away
	changed map[string]bool             // local numbers that were told of twice, or whose NHS number was
	told    map[int64][]saying          // of each letter, in order
	frames  map[string][]delivered      // by MSH-10
	posted  map[store.ID][]store.Letter // the updates of each exchange
}

// saying is an event about a letter.
type saying struct {
	store.Event
	store.Facts
}

var mrg1 = hl7v2.MustPath("MRG-1.1")

func newReckoning(t *testing.T, db store.Store, stories map[store.ID]*story, c *crashing) *reckoning {
	t.Helper()
	r := &reckoning{
		crashing: c, stories: stories, letters: allLetters(t, db),
		merged: make(map[string]bool), changed: make(map[string]bool), told: make(map[int64][]saying),
		frames: make(map[string][]delivered), posted: make(map[store.ID][]store.Letter),
	}
	var err error
	if r.items, err = db.Items(t.Context(), store.ItemQuery{Limit: math.MaxInt32}); err != nil {
		t.Fatal(err)
	}
	for _, s := range stories {
		if strings.HasPrefix(s.facts[0].Type, "ADT^A40") {
			m, err := hl7v2.Parse(s.frame)
			if err != nil {
				t.Fatal(err)
			}
			r.merged[m.Get(mrg1)] = true
		}
		for n, f := range s.facts {
			if f.Letter != 0 {
				r.told[f.Letter] = append(r.told[f.Letter], saying{s.events[n], f})
			}
		}
	}
	for _, a := range c.seen.all {
		if id := localID(a.person); a.kind == changed || a.kind == twin {
			r.changed[id], r.changed["M"+id[1:]] = true, true
		}
	}
	for _, d := range c.pas.got {
		r.frames[d.id] = append(r.frames[d.id], d)
	}
	for _, l := range r.letters {
		if l.Kind == store.Update {
			r.posted[l.Exchange] = append(r.posted[l.Exchange], l)
		}
	}
	return r
}

func allLetters(t *testing.T, db store.Outbox) (all []store.Letter) {
	t.Helper()
	for _, state := range []store.LetterState{store.Waiting, store.Parked, store.Delivered, store.Dropped} {
		some, err := db.Letters(t.Context(), state, math.MaxInt32)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b store.Letter) int { return cmp.Compare(a.Position, b.Position) })
	return all
}

func (r *reckoning) String() string {
	updates, notices, ended, resumed, interrupted, repeated, forgotten := 0, 0, 0, 0, 0, 0, 0
	states := make(map[string]int)
	for _, l := range r.letters {
		if l.Kind == store.Update {
			updates++
			states[l.State.String()]++
		} else {
			notices++
		}
	}
	for _, s := range r.stories {
		resumed += s.count(store.Resumed)
		interrupted += s.count(store.Interrupted)
		ended += s.count(store.Finished)
		if len(s.replies) == 0 && s.count(store.Interrupted) > 0 {
			forgotten++
		}
	}
	for _, f := range r.frames {
		repeated += len(f) - 1
	}
	posts := 0
	for _, keys := range r.board.keys {
		posts += len(keys)
	}
	return fmt.Sprintf("%d answers, %d exchanges, %d interrupted, %d of them never sent again, %d resumed; %d updates, %v; %d frames at the PAS, %d of them repeated, %d refused for now or left unanswered; %d items, %d notices, %d posts; %d traces ended in the background",
		len(r.seen.all), len(r.stories), interrupted, forgotten, resumed, updates, states, len(r.pas.got), repeated, r.pas.upsets, len(r.items), notices, posts, ended)
}

// decided returns what was decided of the message's patient, in order, each outcome once: a trace that
// was cut short is made again, and may find the same.
func (s *story) decided() (all []store.Facts) {
	for n, e := range s.events {
		f := s.facts[n]
		if e.Kind != store.Exchanged && e.Kind != store.Replied && e.Kind != store.Finished || f.Decision == "" {
			continue
		}
		all = slices.DeleteFunc(all, func(past store.Facts) bool { return past.Outcome == f.Outcome })
		all = append(all, f)
	}
	return all
}

func (s *story) isADT() bool { return strings.HasPrefix(s.facts[0].Type, "ADT^") }

// checkUpdates checks that every result that changes something made one update, and nothing else
// did (I4). Every message that is traced has another status than a trace decides on.
func (r *reckoning) checkUpdates(t *testing.T, left []store.Work) {
	t.Helper()
	newest := make(map[string]store.ID) // of those who are in r.changed, the last message about which there is a decision
	for id, s := range r.stories {
		local, updates, decided := s.facts[0].LocalID, r.posted[id], s.decided()
		switch {
		case !s.isADT() || len(decided) == 0:
			if len(updates) > 0 {
				t.Errorf("I4: %d updates without a result: %s", len(updates), s.told())
			}
		case r.changed[local]:
			// What was dropped may have been decided anew, under another name.
			kept := slices.DeleteFunc(slices.Clone(updates), func(l store.Letter) bool { return l.State == store.Dropped })
			if len(kept) > len(decided) {
				t.Errorf("I4: %d updates for %d results of a patient who changed: %s", len(kept), len(decided), s.told())
			}
			if id.String() > newest[local].String() {
				newest[local] = id
			}
		case len(updates) != 1 || len(decided) != 1:
			t.Errorf("I4: %d updates for %d results: %s", len(updates), len(decided), s.told())
		}
	}
	for _, w := range left {
		delete(newest, w.Patient.LocalID) // who is to be asked about again
	}
	for local, id := range newest {
		r.checkHome(t, local, id)
	}
}

// checkHome checks that the last that the PAS was told of a patient is what was found last.
func (r *reckoning) checkHome(t *testing.T, local string, id store.ID) {
	t.Helper()
	decided, last := r.stories[id].decided(), delivered{}
	status := decided[len(decided)-1].Decision
	for _, l := range r.letters {
		if l.Kind == store.Update && l.Patient.LocalID == local && l.State == store.Delivered {
			last = r.frames[l.ControlID][0]
		}
	}
	if _, told := resultOf([]byte(last.bytes)); told != status {
		t.Errorf("the PAS was told %q last of a patient who changed, and %q was found: %s", told, status, r.stories[id].told())
		for other, s := range r.stories {
			if s.facts[0].LocalID == local && other != id {
				t.Logf("of the same patient: %s", s.told())
			}
		}
	}
}

// overtaken are the reasons for which an update is not delivered.
var overtaken = map[string]func(*reckoning, store.Letter) bool{
	"the patient was merged away":   func(r *reckoning, l store.Letter) bool { return r.merged[l.Patient.LocalID] },
	"the patient has changed since": func(r *reckoning, l store.Letter) bool { return r.changed[l.Patient.LocalID] },
	"a newer update was delivered":  func(r *reckoning, l store.Letter) bool { return r.changed[l.Patient.LocalID] },

	"another record has the number since": func(r *reckoning, l store.Letter) bool { return r.changed[l.Patient.LocalID] },
}

// checkLetters checks what became of each update, and that the PAS got what is in the journal.
func (r *reckoning) checkLetters(t *testing.T, db store.Store) {
	t.Helper()
	sent := make(map[string]bool)
	for _, l := range r.letters {
		if l.Kind != store.Update {
			continue
		}
		if sent[l.ControlID] {
			t.Errorf("I4: two letters have the name %s", l.ControlID)
		}
		sent[l.ControlID] = true
		if err := r.fate(l); err != nil {
			t.Errorf("letter %d, %s: %v", l.Position, l.State, err)
		}
		if n := len(r.frames[l.ControlID]); n > l.Attempt {
			t.Errorf("letter %d: %d frames in %d attempts", l.Position, n, l.Attempt)
		}
		queued := r.sentBytes(t, db, l)
		for _, d := range r.frames[l.ControlID] {
			if d.bytes != queued {
				t.Errorf("I4: letter %d: the PAS got other bytes than the journal has", l.Position)
			}
		}
	}
	repeated := 0
	for id, frames := range r.frames {
		repeated += len(frames) - 1
		if !sent[id] {
			t.Errorf("the PAS got %s, which is no letter's name", id)
		}
	}
	total := 0
	for _, n := range r.ends {
		total += n
	}
	if repeated > total+r.pas.upsets {
		t.Errorf("%d frames were repeated in %d runs, %d of them after the PAS was upset", repeated, total, r.pas.upsets)
	}
}

// sentBytes returns what the journal has of a letter.
func (r *reckoning) sentBytes(t *testing.T, db store.Audit, l store.Letter) string {
	t.Helper()
	s := r.stories[l.Exchange]
	for n, e := range s.events {
		if e.Kind != store.Queued || s.facts[n].ControlID != l.ControlID {
			continue
		}
		parts, _, err := db.Parts(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := store.FindPart(parts, store.Sent)
		return string(body)
	}
	t.Errorf("letter %d: nothing in the journal put it into the outbox", l.Position)
	return ""
}

// fate says what is wrong with how a letter ended.
func (r *reckoning) fate(l store.Letter) error {
	// What a store that died did not confirm is written down again.
	story := slices.CompactFunc(slices.Clone(r.told[l.Position]), func(a, b saying) bool {
		return a.Kind == b.Kind && a.Attempt == b.Attempt && a.TookMicros == b.TookMicros
	})
	if len(story) == 0 {
		return fmt.Errorf("nothing in the journal tells how it ended")
	}
	end := story[len(story)-1]
	answered := func(code string) bool {
		return slices.ContainsFunc(r.frames[l.ControlID], func(d delivered) bool { return d.code == code })
	}
	for _, e := range story[:len(story)-1] {
		if e.Outcome != "to be tried again" {
			return fmt.Errorf("it went on after it was %q", e.Outcome)
		}
	}
	switch l.State {
	case store.Delivered:
		if end.Kind != store.Tried || end.Ack != "AA" || end.Outcome != "delivered" || !answered("AA") {
			return fmt.Errorf("the end is %q %q, and the PAS answered AA: %t", end.Outcome, end.Ack, answered("AA"))
		}
	case store.Parked:
		if end.Kind != store.Tried || end.Ack != "AE" || end.Outcome != "parked" || !answered("AE") {
			return fmt.Errorf("the end is %q %q, and the PAS answered AE: %t", end.Outcome, end.Ack, answered("AE"))
		}
	case store.Dropped:
		mayBe := overtaken[end.Reason]
		if end.Kind != store.Withdrawn || mayBe == nil || !mayBe(r, l) {
			return fmt.Errorf("the reason is %q", end.Reason)
		}
		for _, d := range r.frames[l.ControlID] {
			if d.at.After(end.At) {
				return fmt.Errorf("it was sent %v after it was dropped", d.at.Sub(end.At))
			}
		}
	default:
		return fmt.Errorf("it is not settled")
	}
	return nil
}

// checkOrder checks that updates came to the PAS for the first time in the order of their positions.
func (r *reckoning) checkOrder(t *testing.T) {
	t.Helper()
	places := make(map[string]int64)
	for _, l := range r.letters {
		places[l.ControlID] = l.Position
	}
	seen, last := make(map[string]bool), int64(0)
	for _, d := range r.pas.got {
		if seen[d.id] {
			continue
		}
		seen[d.id] = true
		if places[d.id] <= last {
			t.Errorf("letter %d came to the PAS behind letter %d", places[d.id], last)
		}
		last = max(last, places[d.id])
	}
}

// an itemName is what there is one open item of.
type itemName struct {
	kind    store.ItemKind
	subject string
}

// raised counts how often the journal says that each item was raised.
func (r *reckoning) raised(t *testing.T) map[itemName]int {
	t.Helper()
	all := make(map[itemName]int)
	for _, s := range r.stories {
		for _, f := range s.facts {
			if f.Items == "" {
				continue
			}
			for words := range strings.SplitSeq(f.Items, ", ") {
				kind, ok := store.ParseItemKind(words)
				if !ok {
					t.Errorf("the journal tells of an item %q", words)
				}
				all[itemName{kind, "RXX^" + s.facts[0].LocalID}]++
			}
		}
	}
	for _, l := range r.letters {
		for _, e := range r.told[l.Position] {
			if e.Outcome == store.Parked.String() {
				all[itemName{store.Undelivered, "RXX^" + l.Patient.LocalID}]++
			}
		}
	}
	return all
}

// checkItems checks that what was raised is open, once, and that its receiver was told of it.
func (r *reckoning) checkItems(t *testing.T) {
	t.Helper()
	raised := r.raised(t)
	notices := make(map[string][]store.Letter)
	for _, l := range r.letters {
		if l.Kind == store.Notice {
			notices[l.ControlID] = append(notices[l.ControlID], l)
		}
	}
	keys, posts := make(map[string]bool), 0
	for _, i := range r.items {
		name := itemName{i.Kind, i.Subject}
		if i.Times != raised[name] || i.Times == 0 {
			t.Errorf("item %d, %s: raised %d times, and %d times by the journal", i.Number, i.Kind, i.Times, raised[name])
		}
		delete(raised, name)
		if n := notices[fmt.Sprintf("item %d", i.Number)]; len(n) != 1 || n[0].State != store.Delivered {
			t.Errorf("item %d, %s: its notices are %+v, want one that is delivered", i.Number, i.Kind, n)
		}
		posted := r.board.keys[i.Number]
		posts += len(posted)
		if n := len(slices.Compact(slices.Clone(posted))); n != 1 || keys[posted[0]] {
			t.Errorf("item %d, %s: %d keys for %d notices, want one of its own", i.Number, i.Kind, n, len(posted))
			continue
		}
		keys[posted[0]] = true
	}
	for name, n := range raised {
		t.Errorf("an item that was raised %d times is not there: %s", n, name.kind)
	}
	if len(r.items) < 10 || len(notices) != len(r.items) || len(r.board.keys) != len(r.items) {
		t.Errorf("%d items, %d told of, %d heard of", len(r.items), len(notices), len(r.board.keys))
	}
}

// checkWork checks that every trace that was to follow its answer has ended, and that of every
// message that was written down and never answered, unless it is among those that are left (I11).
func (r *reckoning) checkWork(t *testing.T, left []store.Work) {
	t.Helper()
	waits := make(map[store.ID]bool)
	for _, w := range left {
		waits[w.Exchange] = true
	}
	put := 0
	for id, s := range r.stories {
		if !s.isADT() {
			continue
		}
		due, ended, heard := false, false, false
		for n, e := range s.events {
			switch o := s.facts[n].Outcome; e.Kind {
			case store.Replied, store.Exchanged:
				later := o == store.Pending.String() || o == store.Deferred.String()
				heard, due, ended = true, due || later, ended || !later
			case store.Interrupted:
				heard, due = true, true
			case store.Finished:
				ended = ended || o != "unfinished" && o != store.Stale.String()
			default:
			}
		}
		if due {
			put++
		}
		if !heard || due && !ended && !waits[id] {
			t.Errorf("I11: a trace is forgotten: %s", s.told())
		}
	}
	if put < 20 {
		t.Errorf("only %d traces were to follow their answers: too few to prove anything", put)
	}
}

// atRest is how long nothing may be due before a service is said to be idle: what becomes due while it
// is being stopped would end half-way.
const atRest = 30 * time.Second

// awaitIdle waits until nothing is on its way, in the queue or in the outbox, of what can be tried
// within a time, or soon. It returns what is left: parked traces, and those whose next attempt is later.
func awaitIdle(t *testing.T, db store.Store, d time.Duration) (left []store.Work) {
	t.Helper()
	late := time.Now().Add(d)
	var busy []store.Work
	var letters []store.Letter
	work := func() {
		all, err := db.Pending(t.Context(), false, math.MaxInt32)
		if err != nil {
			t.Fatal(err)
		}
		busy, left = nil, nil
		for _, w := range all {
			// Of one that is claimed it does not matter until when: somebody is at it, or was killed.
			if w.Due.Before(late) || time.Until(w.Due) < atRest {
				busy = append(busy, w)
			} else {
				left = append(left, w)
			}
		}
	}
	within(t, d+atRest+patience, func() bool {
		if work(); len(busy) > 0 {
			return false
		}
		var err error
		if letters, err = db.Letters(t.Context(), store.Waiting, 1000); err != nil {
			t.Fatal(err)
		}
		work() // a letter that is dropped may leave some behind
		return len(busy)+len(letters) == 0
	}, func() string {
		return fmt.Sprintf("never idle: %d traces and %d letters are still to come", len(busy), len(letters))
	})
	parked, err := db.Pending(t.Context(), true, math.MaxInt32)
	if err != nil {
		t.Fatal(err)
	}
	return append(left, parked...)
}

// checkUnnamed checks that a text for operators holds nothing that identifies one of the cast (I10).
func checkUnnamed(t *testing.T, what, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("I10: the %s is empty: nothing is proved", what)
	}
	if found := crashWords.FindString(chance.ReplaceAllString(text, "")); found != "" {
		t.Errorf("I10: the %s holds %q, which is somebody's", what, found)
	}
}
