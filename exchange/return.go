package exchange

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// What follows from a reply beside the reply itself (spec/hl7v2.md 6): letters, which leave by the
// outbox, and items for people. It is committed together with what it follows from.

// sequel is what follows from one reply.
type sequel struct {
	entries     []store.Entry // one for each letter, with its bytes
	letters     []store.Letter
	items       []store.Item
	differences []string
}

// sequel says what follows from r. late tells that the message has been answered before. The error
// is that of the index or the outbox: then nothing may be concluded.
func (x *exchange) sequel(r reply, late bool) (sequel, error) {
	var f sequel
	if x.m == nil {
		return f, nil
	}
	known := x.recall()
	if r.fresh && r.record != nil && !x.plan.query {
		r.differences = x.h.person(x.m, person{}).differences(r.record)
	}
	f.differences, f.items = r.differences, x.items(r, known)
	if code, _, _ := x.m.Type(); code == "ADT" {
		x.forward(&f, r, late)
		x.acknowledge(&f, r, late)
		x.update(&f, r, late, known)
	}
	return f, known.err
}

// forward sends an ADT on that is just being answered: with what the answer brings home in it. What
// is found later follows as an update.
func (x *exchange) forward(f *sequel, r reply, late bool) {
	if !x.h.Forwards || late || x.h.own(x.m) || r.ack != hl7v2.AA && r.ack != hl7v2.CA {
		return
	}
	bytes := x.frame
	if r.status != "" {
		if m, err := x.h.enriched(x.m, r); err == nil { // else as it came: it must not be lost
			bytes = m.Bytes()
		}
	}
	x.post(f, store.Letter{Destination: ToForward, Kind: store.Forwarded, ControlID: x.m.Raw(pathControlID)}, bytes)
}

// acknowledge sends the application acknowledgement that a sender in enhanced mode asked for,
// once there is something to tell: a commit acknowledgement says nothing of it.
func (x *exchange) acknowledge(f *sequel, r reply, late bool) {
	h := x.h
	asked := strings.ToUpper(x.m.Get(pathApplicationAck))
	if !h.AppAcks || !h.accepts(x.m) || asked != "AL" && asked != "SU" || unended(store.Facts{Outcome: r.outcome.String()}) {
		return
	}
	if !late && r.ack != hl7v2.CA {
		return // it was refused
	}
	name := letterName(x.id, store.Acknowledgement, 0, 0)
	header := h.header(h.AckType.of(x.m))
	header.ControlID, header.AcceptAck, header.ApplicationAck = name, "AL", "NE"
	b := hl7v2.Reply(x.m, header).MSA(hl7v2.AA, x.m.Raw(pathControlID), h.Results.say(x.plan.subject.say(r.says)))
	if r.status != "" {
		h.patientBack(b, x.m, r.inAnswer(), false)
	}
	x.post(f, store.Letter{Destination: ToPAS, Kind: store.Acknowledgement, ControlID: name}, b.Bytes())
}

// mostUpdates is how many updates one patient may cause in an hour: more are a loop, or two
// systems that disagree (spec/hl7v2.md 6.4).
const mostUpdates = 3

// update sends a result home that changes the NHS number or its status.
func (x *exchange) update(f *sequel, r reply, late bool, known *recall) {
	if r.status == "" || r.echo || len(x.plan.subject.keys) == 0 || !x.changes(r) {
		return // without a local number the PAS could not tell whom it is about
	}
	tells := x.h.tells(x.m, x.plan.subject.ids)
	switch r.number {
	case numberFound:
		tells.number = r.found.Digits()
	case numberOmitted, numberNulled:
		tells.number = ""
	default:
	}
	now := x.h.Now()
	for _, destination := range x.h.updated(late) {
		recent := known.updates(destination, x.plan.subject.key(), now.Add(-echoTime))
		l := store.Letter{
			Destination: destination, Kind: store.Update, ControlID: x.updateName(r.outcome, recent),
			Basis: basis(x.plan.subject.told), Mark: tells.mark(strings.TrimPrefix(r.status, statusPrefix)),
		}
		switch x.before(l, recent, now) {
		case toldAlready:
			continue
		case toldTooOften:
			f.items = append(f.items, x.overrun(l, r))
			continue
		case toldNothing:
		}
		bytes, err := x.h.updateMessage(x.m, r, l.ControlID)
		if err != nil {
			x.h.Log.ErrorContext(x.ctx, "update cannot be written", "exchange", x.id, "err", err)
			continue
		}
		x.post(f, l, bytes)
	}
}

// updateName is the control id of an update. One that was withdrawn does not stand in the way of the
// same result, found again later.
func (x *exchange) updateName(o store.Outcome, recent []store.Letter) string {
	for generation := 0; ; generation++ {
		name := letterName(x.id, store.Update, o, generation)
		if !slices.ContainsFunc(recent, func(l store.Letter) bool { return l.ControlID == name && l.State == store.Dropped }) {
			return name
		}
	}
}

// updated are the destinations of an update. Those whom messages are forwarded to have the result
// in the message itself, unless it comes late.
func (h *Handler) updated(late bool) []string {
	var all []string
	if h.Updates {
		all = append(all, ToPAS)
	}
	if h.Forwards && late {
		all = append(all, ToForward)
	}
	return all
}

// changes tells whether the result is other than what the message says.
func (x *exchange) changes(r reply) bool {
	number := x.plan.subject.number()
	switch {
	case x.h.status(x.m) != strings.TrimPrefix(r.status, statusPrefix):
		return true
	case r.number == numberFound:
		return number != r.found.Digits()
	}
	return r.number != numberKept && len(x.plan.subject.ids.nhs) > 0
}

// What was told of a patient before.
type toldBefore uint8

const (
	toldNothing  toldBefore = iota
	toldAlready             // the same is on its way, or was sent after the message was written
	toldTooOften            // it would be one update too many
)

// before compares an update with the recent ones, of which the newest is the first.
func (x *exchange) before(l store.Letter, recent []store.Letter, now time.Time) toldBefore {
	if len(recent) > 0 {
		last := recent[0]
		// One that waits and rests on other fields is overtaken: it will not be delivered.
		unknowing := last.State == store.Waiting && last.Basis == l.Basis ||
			last.State == store.Delivered && last.At.After(x.plan.subject.told.At)
		if last.Mark == l.Mark && last.Exchange != x.id && unknowing {
			return toldAlready
		}
	}
	within := 0
	for _, past := range recent {
		if past.At.After(now.Add(-time.Hour)) && past.ControlID != l.ControlID && past.State != store.Dropped {
			within++
		}
	}
	if within >= mostUpdates {
		return toldTooOften
	}
	return toldNothing
}

// echoTime is for how long an update is known when it comes back.
const echoTime = 24 * time.Hour

// echo tells a message that repeats the last update under somebody else's name. One without a
// status may be the echo of a system that keeps none.
func (h *Handler) echo(m *hl7v2.Message, s subject, known *recall) bool {
	if !h.Updates || len(s.keys) == 0 {
		return false
	}
	recent := slices.DeleteFunc(known.updates(ToPAS, s.key(), h.Now().Add(-echoTime)), func(l store.Letter) bool {
		return l.State != store.Delivered && (l.State != store.Waiting || l.Attempt == 0) // it cannot come back
	})
	if len(recent) == 0 {
		return false
	}
	tells, status := h.tells(m, s.ids), h.status(m)
	for n := '1'; n <= '8'; n++ {
		if each := "0" + string(n); (status == "" || status == each) && tells.mark(each) == recent[0].Mark {
			return true
		}
	}
	return false
}

// overrun is the item about an update that was not made.
func (x *exchange) overrun(l store.Letter, r reply) store.Item {
	s := x.plan.subject
	d := x.itemDoc(r)
	d.Destination = l.Destination
	d.Reason = fmt.Sprintf("more than %d updates in an hour: the destination does not keep them, or another system changes them back", mostUpdates)
	return store.Item{
		Kind: store.Overrun, Subject: x.subject(), Patient: s.key(), Exchange: x.id, NHSNumber: s.number(),
		Doc: d.JSON(), Notify: x.h.Notify[store.Overrun],
	}
}

// post puts a letter into the outbox, and its bytes into the journal.
func (x *exchange) post(f *sequel, l store.Letter, bytes []byte) {
	l.Exchange, l.Patient = x.id, x.plan.subject.key()
	f.letters = append(f.letters, l)
	facts := store.Facts{Destination: l.Destination, ControlID: l.Fit().ControlID, Type: l.Kind.String()}
	f.entries = append(f.entries, store.Entry{
		Kind: store.Queued, Facts: facts, Parts: []store.Part{{Kind: store.Sent, Data: bytes}},
	})
}

// note puts into the facts of the event that tells the result what follows from it.
func (f sequel) note(facts *store.Facts) {
	var kinds []string
	for _, i := range f.items {
		kinds = append(kinds, i.Kind.String())
	}
	facts.Items, facts.Differences = strings.Join(kinds, ", "), fieldsOf(f.differences)
}

// posted tells the relays that there is something in the outbox.
func (x *exchange) posted(f sequel) {
	if len(f.letters) > 0 || len(f.items) > 0 {
		x.h.Posted()
	}
}

// Overtaken says why an update is not to be sent any more, "" if it is: the patient was merged
// away, or has changed since the result was found, or a newer update was delivered. again is the
// trace to be made instead. It is for [Relay.Overtaken].
func (h *Handler) Overtaken(ctx context.Context, l store.Letter) (reason string, again *store.Work, err error) {
	h.defaults()
	if l.Kind != store.Update || l.Patient == (store.PatientKey{}) {
		return "", nil, nil
	}
	known := &recall{index: h.Index, outbox: h.Outbox, ctx: ctx, timeout: h.CommitTimeout, exchange: l.Exchange}
	p, ok := known.patient(l.Patient)
	held := len(known.heldBeside(p, l)) > 0
	newer := slices.ContainsFunc(known.updates(l.Destination, l.Patient, l.At), func(other store.Letter) bool {
		return other.Position > l.Position && other.State == store.Delivered
	})
	switch {
	case known.err != nil:
		return "", nil, known.err
	case ok && p.Gone():
		return "the patient was merged away", nil, nil
	case newer:
		return "a newer update was delivered", nil, nil
	case held:
		return "another record has the number since", h.traceAgain(p, "another record has the number since"), nil
	case ok && basis(p.Told) != l.Basis:
		return "the patient has changed since", h.traceAgain(p, "changed while a result was on its way"), nil
	}
	return "", nil, nil
}

// traceAgain is the trace of a patient as it is told of now.
func (h *Handler) traceAgain(p store.Patient, reason string) *store.Work {
	return &store.Work{Exchange: p.Told.Exchange, Patient: p.Key, Kind: store.Changed, Due: h.Now().Add(h.Budget), Reason: reason}
}

// heldBeside returns the other records that hold the number that a letter tells, but for those of the
// same message.
func (k *recall) heldBeside(p store.Patient, l store.Letter) []store.Patient {
	n, err := pds.ParseNHSNumber(p.Found.NHSNumber)
	if err != nil || p.Found.Exchange != l.Exchange {
		return nil
	}
	others := subject{keys: []store.PatientKey{l.Patient}}.others(k, n)
	return slices.DeleteFunc(others, func(other store.Patient) bool {
		return other.Found.Exchange == l.Exchange || other.Told.Exchange == p.Told.Exchange
	})
}
