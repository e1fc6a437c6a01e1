package exchange

import (
	"errors"
	"slices"
	"strings"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// adtEvents are the trigger events of table 0003 that an ADT may carry.
var adtEvents = func() map[string]bool {
	events := make(map[string]bool)
	for n := 1; n <= 62; n++ {
		if n != 19 && (n < 56 || n > 59) {
			events["A"+string(rune('0'+n/10))+string(rune('0'+n%10))] = true
		}
	}
	return events
}()

// What MSA-3 says when an ADT was not traced (product.md 4.6 d).
const (
	eventNotUsed      = "Event not used"
	ownMessage        = "Not traced: own message"
	statusSettled     = "Not traced: status"
	identityUnknown   = "Not traced: identity unknown"
	conflictingIDs    = "Not traced: conflicting NHS numbers"
	underSixWeeks     = store.UnderSixWeeks
	birthDateUnusable = "Not traced: birth date"
	nameUnusable      = "Not traced: name"
	sexUnusable       = "Not traced: sex"
	questionRefused   = "Not traced: refused"
	olderMessage      = "Not traced: older message"
	heldByAnother     = "NHS number held by another record"
	tracePending      = "trace pending"
)

// planADT decides whether an ADT is traced, and answers AA either way: AA means stored.
func (h *Handler) planADT(m *hl7v2.Message, known *recall) plan {
	_, event, _ := m.Type()
	if !adtEvents[event] {
		return h.refuse(m, otherEvent)
	}
	if c, bad := pidFault(m); bad {
		return h.refuse(m, c)
	}
	s := h.subject(m, event, known)
	p := plan{name: "ADT^" + event, subject: s}
	var (
		req   pds.Request
		found store.Found
		again bool
	)
	reason := h.barred(m, event, s, known)
	echo := reason == "" && h.echo(m, s, known)
	if reason == "" {
		found, again = h.reusable(s, known)
	}
	switch {
	case reason != "", again:
	case echo:
		reason = ownMessage
	case known.whatever:
		req, reason = h.questionOf(s)
	default:
		req, reason = h.question(m, s.ids)
	}
	switch {
	case reason != "":
		p.reply = func(pds.Result, error) reply {
			r := h.adtPlain(m, store.NotTraced, s.say(reason), reason)
			r.says = reason
			if reason == underSixWeeks {
				r.work = &store.Work{Kind: store.SixWeeks, Due: h.sixWeeks(m)}
			}
			return r
		}
	case again:
		p.reply = func(pds.Result, error) reply {
			r := h.adtAgain(m, s, found)
			r.echo = echo
			return r
		}
	default:
		p.request = &req
		p.reply = func(res pds.Result, err error) reply { return h.adtReply(m, s, known, req.Want, res, err) }
	}
	return p
}

// reusable returns what the last trace of the subject found, if that is still as good as asking.
// Whether another record holds the number may have changed since, and is never reused.
func (h *Handler) reusable(s subject, known *recall) (store.Found, bool) {
	f := s.before.Found
	switch {
	case known.whatever && f.Exchange == known.exchange && textOf[f.Outcome] != "": // traced as it is now
	case h.RetraceAfter <= 0, f.At.IsZero(), f.Print != s.told.Print, known.arrived.Sub(f.At) >= h.RetraceAfter:
		return f, false
	case textOf[f.Outcome] == "", f.Outcome == store.HeldElsewhere:
		return f, false
	case f.Outcome == store.Traced && s.number() != "" && s.number() != f.NHSNumber: // a search: of the number nobody has been asked
		return f, false
	case f.Status != "01":
		return f, true
	}
	n, err := pds.ParseNHSNumber(f.NHSNumber)
	return f, err == nil && !s.heldElsewhere(known, n)
}

// pidFault checks what an ADT needs to be worth storing under a patient.
func pidFault(m *hl7v2.Message) (condition, bool) {
	switch n := m.Count("PID"); {
	case n == 0:
		return noPID, true
	case n > 1 && !repeatsPID(m):
		return twoPIDs, true
	}
	for _, field := range []hl7v2.Path{pathIdentifiers, pathNames} {
		for _, r := range m.Repetitions(field) {
			if strings.Trim(r.Raw(), "^&~\" ") != "" {
				return 0, false
			}
		}
	}
	return emptyPID, true
}

// repeatsPID tells the events whose structure holds more than one PID: merges, links, moves
// and swaps.
func repeatsPID(m *hl7v2.Message) bool {
	_, event, _ := m.Type()
	switch event {
	case "A17", "A18", "A24", "A30", "A34", "A35", "A36", "A37", "A39", "A40", "A41", "A42", "A43":
		return true
	}
	return false
}

// sixWeeks is when a baby is six weeks old: until then its number may not have been issued.
func (h *Handler) sixWeeks(m *hl7v2.Message) time.Time {
	born, known := h.birthDate(m.Date(pathBirthDate))
	if !known || !born.Full() {
		return h.Now()
	}
	return time.Date(born.Year, time.Month(born.Month), born.Day+42, 0, 0, 0, 0, h.Location)
}

// settled are the statuses that end the question until a person reopens it; 04, which says that
// nobody was found, until the identity fields change (spec/hl7v2.md 4.5).
var settled = map[string]string{
	"01": statusSettled, "04": statusSettled, "05": statusSettled,
	"06": statusSettled, "07": statusSettled,
}

// Whom an ADT may ask about is decided in the order of spec/hl7v2.md 4.2, and the first hit
// decides: barred, reusable, question.

// barred makes the checks that no earlier result gets round: 1 to 5. The reason is "" when
// none hits.
func (h *Handler) barred(m *hl7v2.Message, event string, s subject, known *recall) (reason string) {
	switch {
	case h.own(m):
		return ownMessage
	case !known.whatever && !slices.Contains(h.TraceEvents, event):
		return eventNotUsed
	case s.older():
		return olderMessage
	}
	family, _ := name(m)
	status := h.status(m)
	switch {
	case h.unidentified(m, family):
		return identityUnknown
	case settled[status] != "" && !(status == "04" && s.changed()) && !(status == "06" && s.stuck(known)):
		return settled[status]
	case len(s.ids.valid) > 1:
		return conflictingIDs
	}
	return ""
}

// own tells a message that we sent and that came back: by its sender, or by the operator whom
// we name in EVN-5 (spec/hl7v2.md 6.4).
func (h *Handler) own(m *hl7v2.Message) bool {
	return strings.EqualFold(m.Get(pathSender), h.Application) || strings.EqualFold(m.Get(pathOperator), h.Application)
}

var (
	pathSender   = hl7v2.MustPath("MSH-3.1")
	pathOperator = hl7v2.MustPath("EVN-5.1")
)

// question is what an ADT asks, checks 7 to 11: reason is "" when the patient is to be traced.
func (h *Handler) question(m *hl7v2.Message, ids identifiers) (req pds.Request, reason string) {
	number, one := ids.number()
	family, given := name(m)
	born, known := h.birthDate(m.Date(pathBirthDate))
	sex := parseSex(m.Get(pathSex))
	home := postcode(m)
	switch {
	case !one && known && born.Full() && h.Now().Before(h.sixWeeks(m)):
		return req, underSixWeeks
	case !known, !born.Full() && (one || !h.AllowPartialDOB):
		return req, birthDateUnusable
	case m.Truncated(pathNames), !h.AllowWildcards && strings.ContainsAny(family+given, wildcards):
		return req, nameUnusable
	case !h.AllowWildcards && strings.ContainsAny(home, wildcards):
		return req, questionRefused
	case !one && family == "":
		return req, nameUnusable
	case !one && sex == 0:
		return req, sexUnusable
	}
	return pds.Request{
		Want:      h.adtWant(one),
		NHSNumber: number,
		Who: pds.Demographics{
			Family: family, Given: given, BirthDate: born, Sex: sex, Postcode: home, LocalID: ids.local,
		},
	}, ""
}

// questionOf asks about the patient as the index knows it now, which may be more than the message
// says: the last one told may be of a kind that is not traced, and say little.
func (h *Handler) questionOf(s subject) (req pds.Request, reason string) {
	who := readPerson(s.told.Doc).who(s.ids.local)
	number, err := pds.ParseNHSNumber(s.told.NHSNumber)
	switch {
	case who.BirthDate.IsZero(), !who.BirthDate.Full() && (err == nil || !h.AllowPartialDOB):
		return req, birthDateUnusable
	case err != nil && who.Family == "":
		return req, nameUnusable
	case err != nil && who.Sex == 0:
		return req, sexUnusable
	}
	return pds.Request{Want: h.adtWant(err == nil), NHSNumber: number, Who: who}, ""
}

// adtWant chooses the operation: the one that tells least.
func (h *Handler) adtWant(hasNumber bool) pds.Want {
	switch {
	case hasNumber && h.Details:
		return pds.DetailsByNumber
	case hasNumber:
		return pds.Verify
	case h.Details:
		return pds.DetailsBySearch
	}
	return pds.Number
}

// heldElsewhere tells whether another record of the same authority, which was not merged away,
// holds an NHS number (product.md 4.6 b).
func (s subject) heldElsewhere(known *recall, n pds.NHSNumber) bool {
	return len(s.others(known, n)) > 0
}

// others are those records.
func (s subject) others(known *recall, n pds.NHSNumber) []store.Patient {
	if len(s.keys) == 0 || n.IsZero() {
		return nil
	}
	return slices.DeleteFunc(known.holders(n.Digits()), func(p store.Patient) bool {
		ours := slices.ContainsFunc(s.keys, func(key store.PatientKey) bool { return key.Authority == p.Key.Authority })
		return !ours || slices.Contains(s.keys, p.Key)
	})
}

// adtReply answers an ADT whose trace ended, well or badly. Whatever happened, the message
// is stored, so the code is AA.
func (h *Handler) adtReply(m *hl7v2.Message, s subject, known *recall, want pds.Want, res pds.Result, err error) reply {
	if err != nil {
		r := h.adtPlain(m, store.Pending, s.say(tracePending), reasonOf(err))
		r.work = &store.Work{Kind: store.Unfinished, Due: h.Now().Add(max(backoff[0], askedFor(err)))}
		if errors.Is(err, errPending) { // it goes on, and ends the item itself
			r.work.Due = h.Now().Add(lease)
		}
		return r
	}
	d, ok := h.decide(s, known, want, res)
	switch {
	case res.Outcome == pds.Stale:
		r := h.adtPlain(m, store.Pending, s.say(tracePending), "answered from the provider's local store")
		r.work = &store.Work{Kind: store.LocalCopy, Due: h.Now().Add(backoff[1])}
		return r
	case !ok:
		r := h.adtPlain(m, store.Refused, s.say(questionRefused), res.Reason)
		r.says = questionRefused
		return r
	}
	return h.adtResult(m, s, d, foundBy(d, res), res.Reason).learned(d, res)
}

// adtAgain answers an ADT with what an earlier trace of the same patient found.
func (h *Handler) adtAgain(m *hl7v2.Message, s subject, f store.Found) reply {
	n, _ := pds.ParseNHSNumber(f.NHSNumber) // the zero value when nothing was found
	d := decision{f.Outcome, statusPrefix + f.Status, h.Results.of(textOf[f.Outcome]).number}
	switch {
	case !n.IsZero():
		d.number = numberFound
	case d.number == numberFound:
		d.number = numberKept
	}
	r := h.adtResult(m, s, d, n, "unchanged since exchange "+f.Exchange.String())
	if h.accepts(m) || h.Plain { // the answer brings no result home
		plain := h.adtPlain(m, f.Outcome, s.say(textOf[f.Outcome]), r.reason)
		r.bytes, r.ack = plain.bytes, plain.ack
	}
	return r
}

// adtResult is an AA that brings a result home.
func (h *Handler) adtResult(m *hl7v2.Message, s subject, d decision, found pds.NHSNumber, reason string) reply {
	r := reply{
		ack: hl7v2.AA, outcome: d.outcome, status: d.status, number: d.number, found: found, reason: reason,
		says: textOf[d.outcome],
	}
	b := h.acknowledge(m, hl7v2.AA, s.say(r.says))
	h.patientBack(b, m, r.inAnswer(), false)
	r.bytes = b.Bytes()
	return r
}

// adtPlain is an AA without a result.
func (h *Handler) adtPlain(m *hl7v2.Message, o store.Outcome, text, reason string) reply {
	code := h.level(m, hl7v2.AA)
	return reply{bytes: h.acknowledge(m, code, text).Bytes(), ack: code, outcome: o, reason: reason, says: text}
}
