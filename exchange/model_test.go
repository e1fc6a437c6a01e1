package exchange_test

import (
	"slices"
	"strings"
	"time"

	"spinetrace/store"
)

// model is the index of patients written down plainly, from the specification alone: a map, and
// what each message does to it.
type model struct {
	entries map[store.PatientKey]*modelEntry
	retrace time.Duration
	now     time.Time
	serial  int // of the message in hand; later messages have higher ones
}

// stamp orders what messages said: by when it was recorded, then by when it came.
type stamp struct {
	at     time.Time
	serial int
}

func (s stamp) after(o stamp) bool {
	return s.at.After(o.at) || s.at.Equal(o.at) && s.serial > o.serial
}

// identity is what a trace depends on.
type identity struct{ number, family, given, born, sex, postcode string }

type modelEntry struct {
	told   stamp
	who    identity
	status string

	found        stamp
	foundFor     identity
	foundNumber  string
	foundStatus  string
	foundOutcome store.Outcome

	moved stamp
	into  store.PatientKey
}

func (e *modelEntry) gone() bool { return !e.moved.at.IsZero() && !e.told.after(e.moved) }

// current is the number to be used, and its status.
func (e *modelEntry) current() (number, status string) {
	if e.foundStatus == "" || e.foundFor != e.who {
		return e.who.number, e.status
	}
	if e.foundNumber == "" {
		return e.who.number, e.foundStatus
	}
	return e.foundNumber, e.foundStatus
}

// said is one message as the model reads it.
type said struct {
	event     string
	recorded  time.Time
	keys      []store.PatientKey // of the first PID
	numbers   []string           // the valid ones of the first PID, each once
	anyNumber bool               // PID-3 says something of NHS numbers, be it null or not valid
	status    string
	name      *[2]string // nil: not valued
	born      *string
	sex       *string
	postcode  *string
	unknown   bool   // nobody knows who it is
	merges    []move // in the order of the message
	wildName  bool
}

type move struct{ from, into store.PatientKey }

// question is what a message has the back end asked; the zero one if nothing.
type question struct {
	verify bool
	who    identity
}

// answerTo is what the back end of these tests says: a pure function.
func answerTo(q question) (outcome store.Outcome, number string) {
	switch {
	case q.who.family == "EIDERSEN":
		return store.Pending, "" // it is down
	case q.verify && q.who.number == "9990000018":
		return store.Superseded, "9990000026"
	case q.verify && q.who.family == "BIRKSEN":
		return store.NotVerified, ""
	case q.verify:
		return store.Verified, q.who.number
	case q.who.family == "ALDERSEN" && q.who.born == "19620417":
		return store.Traced, "9990000026"
	case q.who.family == "ALDERSEN":
		return store.Traced, "9990000034"
	case q.who.family == "BIRKSEN":
		return store.ManyMatches, ""
	}
	return store.NoMatch, ""
}

// statuses are what an outcome makes of a number.
var statuses = map[store.Outcome]string{
	store.Verified: "01", store.Traced: "01", store.Superseded: "01", store.NoMatch: "04",
	store.ManyMatches: "04", store.NotVerified: "05", store.HeldElsewhere: "05",
}

// takes is what the index does with a message; it returns what must have been asked.
func (md *model) takes(m said) question {
	md.serial++
	if len(m.keys) == 0 {
		return md.asks(m, &modelEntry{}, modelEntry{})
	}
	before := md.before(m)
	e := md.tells(m, before)
	q := md.asks(m, e, before)
	if m.event != "A29" {
		for _, key := range m.keys {
			k := md.entry(key)
			if e.told.after(k.told) {
				k.told, k.who, k.status = e.told, e.who, e.status
			}
			if before.found.after(k.found) {
				k.takeFound(before)
			}
		}
	}
	for _, mv := range m.merges {
		if k := md.entry(mv.from); e.told.after(k.moved) {
			k.moved, k.into = e.told, mv.into
		}
	}
	if q == (question{}) {
		return q
	}
	outcome, number := answerTo(q)
	if statuses[outcome] == "01" && md.held(number, m.keys) {
		outcome, number = store.HeldElsewhere, ""
	}
	if statuses[outcome] != "" {
		for _, key := range m.keys {
			md.entry(key).takeFound(modelEntry{
				found: stamp{md.now, md.serial}, foundFor: e.who, foundNumber: number,
				foundStatus: statuses[outcome], foundOutcome: outcome,
			})
		}
	}
	return q
}

func (e *modelEntry) takeFound(f modelEntry) {
	e.found, e.foundFor, e.foundNumber, e.foundStatus, e.foundOutcome = f.found, f.foundFor, f.foundNumber, f.foundStatus, f.foundOutcome
}

func (md *model) entry(key store.PatientKey) *modelEntry {
	if md.entries[key] == nil {
		md.entries[key] = &modelEntry{}
	}
	return md.entries[key]
}

// before is what was known of the patient: by one of the numbers, or by the one that a rename
// replaces.
func (md *model) before(m said) modelEntry {
	keys := slices.Clone(m.keys)
	if m.event == "A46" || m.event == "A47" {
		for _, mv := range m.merges[:min(1, len(m.merges))] {
			keys = append(keys, mv.from)
		}
	}
	for _, key := range keys {
		if e := md.entries[key]; e != nil {
			return *e
		}
	}
	return modelEntry{}
}

// tells is what a message says, with what it is silent about as it was.
func (md *model) tells(m said, before modelEntry) *modelEntry {
	e := &modelEntry{told: stamp{m.recorded, md.serial}}
	if !before.gone() {
		e.who, e.status = before.who, before.status
	}
	if m.anyNumber {
		number := ""
		if len(m.numbers) == 1 {
			number = m.numbers[0]
		}
		if number == "" || number != e.who.number {
			e.who.number, e.status = number, ""
		}
	}
	if m.status != "" && (m.status != "01" || m.anyNumber) { // "verified" is said of a number that is there
		e.status = m.status
	}
	if m.name != nil {
		e.who.family, e.who.given = m.name[0], m.name[1]
	}
	if m.unknown {
		e.who.family, e.who.given = "", ""
	}
	for value, field := range map[*string]*string{m.born: &e.who.born, m.sex: &e.who.sex, m.postcode: &e.who.postcode} {
		if value != nil {
			*field = *value
		}
	}
	return e
}

// asks is whether the message is traced: the rules of the specification, in its order.
func (md *model) asks(m said, e *modelEntry, before modelEntry) question {
	said := identity{}
	if m.name != nil {
		said.family, said.given = m.name[0], m.name[1]
	}
	for value, field := range map[*string]*string{m.born: &said.born, m.sex: &said.sex, m.postcode: &said.postcode} {
		if value != nil {
			*field = *value
		}
	}
	if len(m.numbers) == 1 {
		said.number = m.numbers[0]
	}
	last := before.found.at
	changed := !before.told.at.IsZero() && before.who != e.who
	if !last.IsZero() {
		changed = before.foundFor != e.who
	}
	switch {
	case m.event != "A28" && m.event != "A31" && m.event != "A08":
	case m.recorded.Before(before.told.at), m.recorded.Before(before.moved.at):
	case m.unknown:
	case slices.Contains([]string{"01", "05", "06", "07", "08"}, m.status), m.status == "04" && !changed:
	case len(m.numbers) > 1, said.born == "", m.wildName:
	case said.number == "" && (said.family == "" || said.sex == ""):
	case md.reused(m, e, before):
	default:
		return question{said.number != "", said}
	}
	return question{}
}

// reused tells whether an earlier result will do.
func (md *model) reused(m said, e *modelEntry, before modelEntry) bool {
	return md.retrace > 0 && before.foundStatus != "" && before.foundFor == e.who && md.now.Sub(before.found.at) < md.retrace &&
		before.foundOutcome != store.HeldElsewhere && !(before.foundOutcome == store.Traced && len(m.numbers) == 1 && m.numbers[0] != before.foundNumber) &&
		!(before.foundStatus == "01" && md.held(before.foundNumber, m.keys))
}

// held tells whether another live record of the same authority has a number.
func (md *model) held(number string, keys []store.PatientKey) bool {
	for key, e := range md.entries {
		n, _ := e.current()
		ours := slices.ContainsFunc(keys, func(k store.PatientKey) bool { return k.Authority == key.Authority })
		if n == number && !e.gone() && ours && !slices.Contains(keys, key) {
			return true
		}
	}
	return false
}

// leadsTo is the live entry that a number leads to.
func (md *model) leadsTo(key store.PatientKey) *modelEntry {
	for range len(md.entries) + 1 {
		e := md.entries[key]
		if e == nil || !e.gone() {
			return e
		}
		key = e.into
	}
	return nil
}

func upper(who identity) identity {
	who.family, who.given = strings.ToUpper(who.family), strings.ToUpper(who.given)
	return who
}
