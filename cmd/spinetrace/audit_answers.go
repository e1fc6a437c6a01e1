package main

import (
	"bytes"
	"fmt"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/store"
)

// givenAnswer is what one answer told, and whom: what an auditor has to be able to rebuild (MSCA-AUD-02,
// 3.9.2).
type givenAnswer struct {
	To       recipient     `json:"to"`
	Ack      string        `json:"ack,omitempty"`      // MSA-1
	Text     string        `json:"text,omitempty"`     // MSA-3
	Patients []givenRecord `json:"patients,omitempty"` // of its PID segments
	Missing  string        `json:"missing,omitempty"`  // why the values are not here
	Wrong    []string      `json:"does_not_hold,omitempty"`

	event store.Event
}

// recipient is who got an answer.
type recipient struct {
	Peer        string `json:"peer,omitempty"`
	Application string `json:"application,omitempty"`
	Facility    string `json:"facility,omitempty"`
	Subject     string `json:"tls_subject,omitempty"`
	User        string `json:"user,omitempty"`
}

// givenRecord is a patient as an answer has it.
type givenRecord struct {
	Identifiers []identifier `json:"identifiers,omitempty"`
	Name        string       `json:"name,omitempty"`
	BirthDate   string       `json:"birth_date,omitempty"`
	Status      string       `json:"nhs_number_status,omitempty"`
}

// identifier is one repetition of PID-3.
type identifier struct {
	ID        string `json:"id"`
	Authority string `json:"authority,omitempty"`
	Type      string `json:"type,omitempty"`
}

// listener follows a story, and notes who was told what.
type listener struct {
	asked    recipient            // who asked last
	heard    map[string]recipient // the same by chain: an instance answers whom it has heard itself
	answered bool                 // there is a reply that a resend can have been given
	answers  []givenAnswer
}

// hear takes the next event of the story, and returns the answer that went out with it, if one
// did.
func (l *listener) hear(e toldEvent) *givenAnswer {
	a := givenAnswer{To: l.recipient(e), Ack: e.facts.Ack, Wrong: e.wrong, event: e.Event}
	switch e.Kind {
	case store.Replied, store.Exchanged:
		if !a.read(e) {
			return nil
		}
		l.answered = true
	case store.Resent:
		a.Ack, a.Missing = "", "came again; there was no answer yet"
		if l.answered {
			a.Missing = "the stored answer, once more"
		}
	case store.Finished:
		if a.To.Peer != "" || a.To.User == "" || a.To.User == store.System {
			return nil // a trace that nobody waited for
		}
		a.Text = e.facts.Outcome
		a.Patients = onlyNumbered(e.facts)
	default:
		return nil
	}
	l.answers = append(l.answers, a)
	return &l.answers[len(l.answers)-1]
}

// recipient returns whom an event is about, and notes who asks: whoever sent the message first, or
// had it taken up again. A resend is about who sent it, but the answer that may still come is not.
func (l *listener) recipient(e toldEvent) recipient {
	from, known := l.heard[e.Chain]
	if !known {
		from = l.asked
	}
	to := from.with(e.facts)
	switch e.Kind {
	case store.Received, store.Exchanged, store.Resumed:
		if l.heard == nil {
			l.heard = make(map[string]recipient)
		}
		l.asked, l.heard[e.Chain] = to, to
	default:
	}
	return to
}

// with returns who the next answer goes to. Most events do not repeat it; one that names a
// connection without a sender is about a resend, whose sender is the same.
func (r recipient) with(f store.Facts) recipient {
	if f.Peer != "" {
		r.Peer, r.Subject = f.Peer, f.Subject
	}
	if f.Application != "" || f.Facility != "" {
		r.Application, r.Facility = f.Application, f.Facility
	}
	if r.User == "" || f.User != "" && f.User != store.System { // what the service does in it is not for somebody else
		r.User = f.User
	}
	return r
}

// onlyNumbered is what a command showed, as far as the facts tell: the rest of it is in the answer
// of the back end.
func onlyNumbered(f store.Facts) []givenRecord {
	if f.NHSFound == "" {
		return nil
	}
	return []givenRecord{{Identifiers: []identifier{{ID: f.NHSFound, Type: "NH"}}}}
}

// read takes the values from the stored bytes of a reply. It returns false if there was none.
func (a *givenAnswer) read(e toldEvent) bool {
	reply, ok := store.FindPart(e.parts, store.Reply)
	if !ok {
		a.Missing = e.why
		return e.why != "" && strings.Contains(e.Doc, `"`+store.Reply.String()+`"`)
	}
	m, err := hl7v2.Parse(reply)
	if err != nil {
		a.Missing = "the answer cannot be read as a message"
		return true
	}
	a.Ack, a.Text = m.Get(msa1), m.Get(msa3)
	for s := range m.Segments() {
		if s.Name() == "PID" {
			a.Patients = append(a.Patients, recordOf(s))
		}
	}
	return true
}

// recordOf reads a PID segment.
func recordOf(pid hl7v2.Segment) givenRecord {
	r := givenRecord{Name: nameOf(pid.Field(5)), BirthDate: firstOf(pid.Field(7)), Status: statusOf(pid.Field(32))}
	for _, cx := range pid.Field(3) {
		if !cx.IsEmpty() {
			r.Identifiers = append(r.Identifiers, identifier{cx.Component(1), cx.Sub(4, 1), cx.Component(5)})
		}
	}
	return r
}

// nameParts is how many components of a name are shown: family, given, further, suffix, prefix.
const nameParts = 5

// nameOf returns the first name of PID-5.
func nameOf(field []hl7v2.Repetition) string {
	if len(field) == 0 {
		return ""
	}
	var parts []string
	for n := 1; n <= nameParts; n++ {
		parts = append(parts, field[0].Component(n))
	}
	return strings.TrimRight(strings.Join(parts, "^"), "^")
}

func firstOf(field []hl7v2.Repetition) string {
	if len(field) == 0 {
		return ""
	}
	return field[0].Component(1)
}

// statusOf returns the repetition of PID-32 that is the NHS number's status.
func statusOf(field []hl7v2.Repetition) string {
	for _, r := range field {
		if s := r.Component(1); strings.HasPrefix(s, "NSTS") {
			return s
		}
	}
	return ""
}

// tell writes what was answered, to whom, at the end of a story.
func (l *listener) tell(page *bytes.Buffer) {
	if len(l.answers) == 0 {
		return
	}
	fmt.Fprint(page, "\nWhat was answered, to whom\n")
	for _, a := range l.answers {
		fmt.Fprintf(page, "\n%s  %s\n", place{a.event.Chain, a.event.Seq}, a.event.At.Format(timeText))
		writeRows(page, a.rows(true))
	}
}

func (a givenAnswer) rows(screen bool) []factRow {
	rows := append(wrongRows(a.Wrong), []factRow{
		{"who", a.To.User}, {"peer", a.To.Peer}, {"sender", strings.Trim(a.To.Application+"^"+a.To.Facility, "^")},
		{"TLS subject", a.To.Subject}, {"answered", strings.Trim(a.Ack+", "+a.Text, ", ")},
	}...)
	if a.Missing != "" {
		rows = append(rows, factRow{"values", a.Missing})
	}
	for _, p := range a.Patients {
		for _, id := range p.Identifiers {
			rows = append(rows, factRow{"identifier", id.text(screen)})
		}
		rows = append(rows, factRow{"name", p.Name}, factRow{"birth date", p.BirthDate}, factRow{"NHS number status", p.Status})
	}
	return rows
}

// text writes an identifier. On screen an NHS number is written 3-3-4.
func (id identifier) text(screen bool) string {
	digits := id.ID
	if id.Type == "NH" || id.Authority == "NHS" {
		digits = onScreen(digits, screen)
	}
	if of := strings.Trim(id.Authority+" "+id.Type, " "); of != "" {
		return digits + " (" + of + ")"
	}
	return digits
}
