package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"spinetrace/pds"
	"spinetrace/store"
)

// tracedAnswer is a question, what was done to answer it, and its answer.
type tracedAnswer struct {
	backend string
	id      store.ID
	req     pds.Request
	calls   []heardCall
	res     pds.Result
	err     error // nobody could find out
	took    time.Duration
}

// outcome is the word that the journal and the metrics have for the answer.
func (a tracedAnswer) outcome() string {
	switch {
	case a.err != nil:
		return "unfinished"
	case a.res.Outcome != pds.Matched:
		return a.res.Outcome.String()
	case a.req.Want == pds.Verify:
		return store.Verified.String()
	}
	return store.Traced.String()
}

// accepted tells whether the answer says who the patient is, for certain.
func (a tracedAnswer) accepted() bool {
	return a.err == nil && (a.res.Outcome == pds.Matched || a.res.Outcome == pds.Superseded)
}

// wants are the questions in words.
var wants = map[pds.Want]string{
	pds.Verify:          "does this number belong to this person?",
	pds.Number:          "what is this person's number?",
	pds.DetailsByNumber: "what is held under this number?",
	pds.DetailsBySearch: "what is held about this person?",
	pds.Details:         "what is held about this person?",
}

// outcomesInWords are what an outcome means for whoever asked (smsp.md section 8).
var outcomesInWords = map[pds.Outcome]string{
	pds.Matched:     "Accepted: this is the patient.",
	pds.Superseded:  "Accepted: the number was replaced by another. Use the new one and tell the patient.",
	pds.NoMatch:     "Not accepted: nobody agrees with all that was asked. That does not mean that the patient has no number; fuller or corrected data may find it.",
	pds.ManyMatches: "Not accepted: more than one patient fits, and nobody guesses. A given name or a postcode may tell them apart.",
	pds.Invalidated: "Not accepted: the number was withdrawn and has no successor. Do not use it.",
	pds.NotVerified: "Not accepted: the number is in use, but what was asked does not agree with its record.",
	pds.OldStyle:    "Not accepted: this is not a number of ten digits. Search by name instead.",
	pds.Stale:       "Not confirmed: Spine is unavailable, and this is a copy of the provider's. It may be out of date.",
	pds.Refused:     "Not accepted: the question was refused. Asked again unchanged it will be refused again.",
}

// classesInWords are why nobody could find out, and who can do something about it.
var classesInWords = map[pds.Class]string{
	pds.ResponseInvalid:  "The answer cannot be read, or cannot be true; it may be about somebody else. It was not used.",
	pds.SpineError:       "Spine itself reports an error. Ask again later.",
	pds.SpineUnavailable: "Spine, or the way to it, gives no answer. Ask again later.",
	pds.AccessDenied:     "We are not let in. An operator must see to credentials, certificates and addresses.",
	pds.ProviderError:    "The service reports an error of its own. Ask again later.",
	pds.InputInvalid:     "The service does not take the question as it was put, or we do not trust the service. An operator must see to the settings.",
	pds.UnknownCode:      "The service answers with a code that no list has. An operator must see whether it is the right service.",
	pds.Busy:             "The service has too much to do. Ask again later.",
	pds.NoSlot:           "Too many questions are waiting here. Ask again later.",
	pds.BreakerOpen:      "The service failed too often just now, and is left alone for a moment. Ask again later.",
}

// meaning is the end in one or two sentences.
func (a tracedAnswer) meaning() string {
	if a.err != nil {
		return "Not answered: " + classesInWords[pds.ClassOf(a.err)]
	}
	return outcomesInWords[a.res.Outcome]
}

// rule says which rule decided. The client of PDS says so itself. Of a mini service it is the
// provider that compares, and what is left to check here follows from the question (smsp.md
// section 10).
func (a tracedAnswer) rule() string {
	notes, coded := strings.CutPrefix(a.res.Reason, "response code")
	if !coded {
		return a.res.Reason
	}
	rule := "the provider's response code"
	if a.accepted() {
		rule += "; checked here: a valid number came back"
		switch {
		case a.req.NHSNumber.IsZero():
		case a.res.NHSNumber == a.req.NHSNumber:
			rule += ", the one that was asked about"
		default:
			rule += ", not the one that was asked about"
		}
		if a.res.Patient != nil && !a.res.Patient.BirthDate.IsZero() {
			rule += ", and the birth date is the one that was asked about"
		}
	}
	return rule + notes
}

// print writes the answer for a person, NHS numbers 3-3-4.
func (a tracedAnswer) print(w io.Writer) error {
	var page bytes.Buffer
	fmt.Fprintf(&page, "%s\n\nAsked %s: %s (%s)\n", confidential, a.backend, a.req.Want, wants[a.req.Want])
	writeRows(&page, []factRow{
		{"NHS number", a.req.NHSNumber.Spaced()},
		{"family name", a.req.Who.Family},
		{"given name", a.req.Who.Given},
		{"born", birthday(a.req.Who.BirthDate)},
		{"sex", sexWord(a.req.Who.Sex)},
		{"postcode", a.req.Who.Postcode},
	})
	for i, c := range a.calls {
		fmt.Fprintf(&page, "\nCall %d of %d: %s\n", i+1, len(a.calls), c.what())
		writeRows(&page, c.rows())
	}
	fmt.Fprintf(&page, "\nAnswered: %s\n", a.outcome())
	writeRows(&page, []factRow{
		{"which means", a.meaning()},
		{"code", a.code()},
		{"decided by", a.rule()},
		{"NHS number", a.res.NHSNumber.Spaced()},
	})
	if p := a.res.Patient; p != nil {
		writeRows(&page, patientRows(p))
	}
	fmt.Fprintf(&page, "\nTook %s; recorded as %s\n", a.took.Round(time.Millisecond), a.id)
	_, err := w.Write(page.Bytes())
	return err
}

// code is what the answer, or the failure, is called in the lists of codes.
func (a tracedAnswer) code() string {
	if e, ok := errors.AsType[*pds.Error](a.err); ok {
		return e.Code
	}
	return a.res.Code
}

// what is the operation, and of PDS, where one may take two calls, which of them this is.
func (c heardCall) what() string {
	line, get := bytes.CutPrefix(c.call.Body, []byte("GET "))
	switch {
	case !get:
		return c.call.Operation
	case bytes.ContainsRune(line, '?'):
		return c.call.Operation + ", the search"
	}
	return c.call.Operation + ", the record"
}

// rows are a call for a person.
func (c heardCall) rows() []factRow {
	return []factRow{
		{"asked of", c.call.Endpoint},
		{"message id", c.call.MessageID},
		{"tracking id", c.call.TrackingID},
		{"payload id", c.call.PayloadID},
		{"came back", c.cameBack()},
		{"reason", c.answer.Reason},
	}
}

// cameBack is how a call ended, in a line.
func (c heardCall) cameBack() string {
	status := "no response"
	if c.answer.Status != 0 {
		status = "HTTP " + strconv.Itoa(c.answer.Status)
	}
	if c.answer.Code != "" {
		status += ", " + c.answer.Code
	}
	return fmt.Sprintf("%s, after %s", status, c.answer.Took.Round(time.Millisecond/10))
}

// patientRows are the demographics of a national record.
func patientRows(p *pds.Patient) []factRow {
	restricted := ""
	if p.RestrictedPossible {
		restricted = "no address, telephone or practice: the record may be restricted"
	}
	return []factRow{
		{"family name", p.Family},
		{"given names", strings.Join(p.Given, " ")},
		{"title", p.Title},
		{"born", birthday(p.BirthDate)},
		{"sex", sexWord(p.Sex)},
		{"died", deathText(p)},
		{"address", addressText(p.Home)},
		{"temporary address", addressText(p.Temporary)},
		{"postal address", addressText(p.Postal)},
		{"telephone", p.Phone},
		{"mobile", p.Mobile},
		{"email", p.Email},
		{"practice", strings.TrimSpace(p.PracticeCode + " " + p.PracticeName)},
		{"note", restricted},
	}
}

// deathText says that a patient has died, and when as far as it is known.
func deathText(p *pds.Patient) string {
	if p.Deceased {
		return cmp.Or(p.DeathTime, "at a time not known")
	}
	return ""
}

// addressText writes an address on one line.
func addressText(a pds.Address) string {
	var list []string
	for _, line := range append(a.Lines[:len(a.Lines):len(a.Lines)], a.Postcode) {
		if line != "" {
			list = append(list, line)
		}
	}
	return strings.Join(list, ", ")
}

// birthday writes a date as NHS systems show it, as far as it is known.
func birthday(d pds.Date) string {
	layout := map[bool]string{true: "02-Jan-2006", false: "Jan-2006"}[d.Full()]
	if d.Month == 0 {
		return d.Digits()
	}
	return time.Date(d.Year, time.Month(d.Month), max(d.Day, 1), 0, 0, 0, 0, time.UTC).Format(layout)
}

func sexWord(s pds.Sex) string {
	return map[pds.Sex]string{
		pds.SexMale: "male", pds.SexFemale: "female", pds.SexNotSpecified: "not specified", pds.SexNotKnown: "not known",
	}[s]
}

// json is the answer for a program: NHS numbers are ten digits, dates YYYYMMDD.
func (a tracedAnswer) json() any {
	out := map[string]any{
		"backend": a.backend, "operation": a.req.Want.String(), "exchange": a.id.String(),
		"outcome": a.outcome(), "accepted": a.accepted(), "meaning": a.meaning(), "code": a.code(), "rule": a.rule(),
		"took_ms": millis(a.took), "calls": callsJSON(a.calls),
		"asked": onlyKnown(map[string]string{
			"nhs_number": a.req.NHSNumber.Digits(), "family": a.req.Who.Family, "given": a.req.Who.Given,
			"birth_date": a.req.Who.BirthDate.Digits(), "sex": a.req.Who.Sex.Code(), "postcode": a.req.Who.Postcode,
		}),
	}
	if a.err != nil {
		out["failure"] = pds.ClassOf(a.err).String()
	}
	if !a.res.NHSNumber.IsZero() {
		out["nhs_number"] = a.res.NHSNumber.Digits()
	}
	if p := a.res.Patient; p != nil {
		out["patient"] = onlyKnown(map[string]string{
			"family": p.Family, "given": strings.Join(p.Given, " "), "title": p.Title,
			"birth_date": p.BirthDate.Digits(), "sex": p.Sex.Code(), "died": deathText(p),
			"address": addressText(p.Home), "postcode": p.Home.Postcode, "telephone": p.Phone, "mobile": p.Mobile,
			"email": p.Email, "practice": p.PracticeCode, "practice_name": p.PracticeName,
		})
	}
	return out
}

// callsJSON are the calls for a program. A status of 0 says that nothing came back.
func callsJSON(calls []heardCall) []any {
	list := []any{}
	for _, c := range calls {
		list = append(list, map[string]any{
			"operation": c.call.Operation, "endpoint": c.call.Endpoint,
			"message_id": c.call.MessageID, "tracking_id": c.call.TrackingID, "payload_id": c.call.PayloadID,
			"status": c.answer.Status, "code": c.answer.Code, "reason": c.answer.Reason, "took_ms": millis(c.answer.Took),
		})
	}
	return list
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// onlyKnown leaves out what is not known.
func onlyKnown(m map[string]string) map[string]string {
	for key, value := range m {
		if value == "" {
			delete(m, key)
		}
	}
	return m
}
