package exchange

import (
	"slices"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// query is a question about one patient, whatever form it came in: how to build its answer
// and what it says of the patient.
type query struct {
	h          *Handler
	m          *hl7v2.Message
	known      *recall
	answerType string   // MSH-9 of the answer
	tag, name  string   // QAK-1 and QAK-3, raw
	echo       []string // the segments that the answer repeats byte for byte
	criteria   []criterion
	want       pds.Want
	ignored    []string    // criteria that nobody can be asked about
	where      hl7v2.Fault // where it says who is asked about, as a place for an ERR
	wanted     domains     // whose identifiers the answer may have
	visit      bool        // the answer's structure requires a PV1
	bare       bool        // a refusal is a plain ACK

	local   store.PatientKey // the local number that is asked about, if one is
	foreign bool             // its authority is none of our domains: it may be known all the same
	says    asked            // the numbers that it names
	asked   pds.NHSNumber    // the NHS number that is asked about, if one is
	subject subject          // the entry of the index that the question is about, if it is about nothing else
	record  subject          // the entry of the local number that is asked about, whatever else is said
	doubt   bool             // its number is with the back office
}

// criterion is one thing a question says of the patient, and where it says it.
type criterion struct {
	field string // as a Q22 names it: PID.3.1, PID.5.1, PID.7, …
	value string
	at    hl7v2.Fault // the place, for an ERR
}

// fault is a condition at a place in the message.
type fault struct {
	condition condition
	at        *hl7v2.Fault // nil: where the table says
}

// plan turns the question into the one for the back end, or into a refusal.
func (q *query) plan(name string) plan {
	req, known, bad := q.request()
	switch {
	case bad != nil:
		return q.refuse(name, *bad)
	case !known:
		return q.unknown(name)
	}
	q.want = req.Want
	return plan{name: name, query: true, request: &req, subject: q.subject, asks: q.says, nack: q.nack, reply: q.reply}
}

// unknown is the plan for a query about a local number that the index does not have.
func (q *query) unknown(name string) plan {
	return q.unasked(name, func() reply {
		r := q.notFound(decision{outcome: store.NotTraced}, textOf[store.NoMatch])
		r.reason = "number not in the index"
		return r
	})
}

// unasked is the plan for a query that is answered without asking anybody, unless nothing can be
// written down.
func (q *query) unasked(name string, answer func() reply) plan {
	return plan{name: name, query: true, asks: q.says, reply: func(_ pds.Result, err error) reply {
		if err != nil {
			return q.nack(fault{condition: unavailable})
		}
		return answer()
	}}
}

// refuse is the plan for a query that is at fault: the refusal has the shape of an answer.
func (q *query) refuse(name string, f fault) plan {
	p := q.unasked(name, func() reply { return q.nack(f) })
	p.unclaimed = nacks[f.condition].kind != content
	return p
}

// fields are the criteria by the names of a Q22. Both spellings of family name and date are
// in use.
var fields = map[string]string{
	"PID.3": "number", "PID.3.1": "number", "PID.3.4": "authority", "PID.3.4.1": "authority", "PID.3.4.2": "oid", "PID.3.5": "kind",
	"PID.5.1": "family", "PID.5.1.1": "family", "PID.5.2": "given",
	"PID.7": "born", "PID.7.1": "born", "PID.8": "sex", "PID.8.1": "sex", "PID.11.5": "postcode",
}

// description is what a question says of the patient, by what it means.
type description struct {
	values map[string]criterion
	ids    []map[string]criterion // the parts of each identifier
}

// description gathers the criteria. The parts of an identifier arrive one by one: a part that
// the last identifier has begins another. Any other field has one value.
func (q *query) description() (description, *fault) {
	s := description{values: make(map[string]criterion)}
	for _, c := range q.criteria {
		meaning, used := fields[c.field]
		switch {
		case !used || c.value == "":
			continue
		case strings.HasPrefix(c.field, "PID.3"):
			if n := len(s.ids); n == 0 || s.ids[n-1][meaning].value != "" {
				s.ids = append(s.ids, make(map[string]criterion))
			}
			s.ids[len(s.ids)-1][meaning] = c
		case s.values[meaning].value != "" && s.values[meaning].value != c.value:
			return s, &fault{twoValues, &c.at}
		default:
			s.values[meaning] = c
		}
	}
	return s, nil
}

// request reads the criteria as a question to the back end: by number and birth date, or
// by name, birth date and sex. The fault names the first field that is wrong or missing;
// known is false for a local number of nobody.
func (q *query) request() (req pds.Request, known bool, bad *fault) {
	for _, c := range q.criteria {
		if q.wild(c) {
			return req, true, &fault{wildcard, &c.at}
		}
	}
	s, bad := q.description()
	if bad == nil {
		req, bad = q.who(s)
	}
	if bad != nil {
		return req, true, bad
	}
	q.asked = req.NHSNumber
	if q.local.LocalID != "" {
		if entry, ok, _ := q.byLocal(q.local); ok {
			q.record = subject{keys: []store.PatientKey{entry.Key}, before: entry}
		}
	}
	q.doubt = q.inDoubt()
	if known, bad = q.complete(&req); bad != nil || !known {
		return req, known, bad
	}
	return q.operation(req, s)
}

// operation chooses the operation that the question can be put to, by number if there is one.
func (q *query) operation(req pds.Request, s description) (_ pds.Request, known bool, bad *fault) {
	born := req.Who.BirthDate
	switch {
	case born.IsZero():
		return req, true, &fault{noBirthDate, &q.where}
	case !req.NHSNumber.IsZero():
		if !born.Full() {
			return req, true, &fault{partialBirthDate, q.place(s, "born")}
		}
		req.Want = pds.DetailsByNumber
		return req, true, nil
	case req.Who.Family == "":
		return req, true, &fault{noFamily, &q.where}
	case req.Who.Sex == 0:
		return req, true, &fault{noSex, &q.where}
	case !born.Full() && !q.h.AllowPartialDOB:
		return req, true, &fault{partialBirthDate, q.place(s, "born")}
	}
	req.Want = pds.DetailsBySearch
	return req, true, nil
}

// who reads what the criteria say, each value on its own.
func (q *query) who(s description) (req pds.Request, bad *fault) {
	req.Who.Family, req.Who.Given = tidyName(s.values["family"].value), tidyGiven(s.values["given"].value)
	req.Who.Postcode = tidyPostcode(s.values["postcode"].value)
	if c, said := s.values["born"]; said {
		var ok bool
		if req.Who.BirthDate, ok = q.h.birthDate(hl7v2.ParseDate(c.value)); !ok {
			return req, &fault{badBirthDate, &c.at}
		}
	}
	if c, said := s.values["sex"]; said {
		if req.Who.Sex = parseSex(c.value); req.Who.Sex == 0 {
			return req, &fault{badSex, &c.at}
		}
	}
	for _, id := range s.ids {
		if bad := q.identifier(id, &req); bad != nil {
			return req, bad
		}
	}
	return req, nil
}

// identifier reads one identifier of the question: an NHS number by its type or authority,
// or the trust's own; without either, what passes Modulus 11 is an NHS number.
func (q *query) identifier(id map[string]criterion, req *pds.Request) *fault {
	c, said := id["number"]
	if !said {
		return nil
	}
	name, oid, kind := id["authority"].value, id["oid"].value, id["kind"].value
	anonymous := name == "" && oid == ""
	ours := q.h.local(name, oid)
	n, valid := q.h.nhsNumber(c.value)
	switch {
	case q.h.NHSNumbers.knows(name, oid), q.h.NHSNumbers.hasType(kind) && (anonymous || ours):
		q.mention(c.value)
		if !valid {
			return &fault{badNumber, &c.at}
		}
	case anonymous && kind == "" && valid:
		q.mention(c.value)
	case anonymous, ours, q.h.LocalID.matchParts(name, oid, kind):
		q.foreign = !anonymous && !ours
		req.Who.LocalID = strings.TrimSpace(c.value)
		q.says.local = req.Who.LocalID
		q.local = store.PatientKey{Authority: q.h.authority(name, oid), LocalID: store.Text(req.Who.LocalID)}
		return nil
	default:
		return &fault{otherDomain, authorityAt(id)}
	}
	if !req.NHSNumber.IsZero() && req.NHSNumber != n {
		return &fault{twoValues, &c.at}
	}
	req.NHSNumber = n
	return nil
}

// mention notes an NHS number that the question names, be it a wrong one.
func (q *query) mention(number string) {
	q.says.form = appendForm(q.says.form, number)
}

// authorityAt is where a question names an identifier's authority.
func authorityAt(id map[string]criterion) *hl7v2.Fault {
	for _, part := range []string{"authority", "oid", "number"} {
		if c, ok := id[part]; ok {
			return &c.at
		}
	}
	return nil
}

// wild tells whether a criterion holds a wildcard that may not be passed on.
func (q *query) wild(c criterion) bool {
	switch fields[c.field] {
	case "family", "given", "postcode":
	default:
		return false
	}
	if q.h.AllowWildcards {
		return strings.ContainsAny(c.value, "?%")
	}
	return strings.ContainsAny(c.value, wildcards)
}

// place is where a criterion stands, or should have stood.
func (q *query) place(s description, meaning string) *hl7v2.Fault {
	if c, ok := s.values[meaning]; ok {
		return &c.at
	}
	return &q.where
}

// reply answers a query whose trace ended, well or badly (the table of spec/hl7v2.md 5.6).
func (q *query) reply(res pds.Result, err error) reply {
	if err != nil {
		r := q.nack(fault{condition: unavailable})
		r.reason = reasonOf(err)
		return r
	}
	s := q.subject
	if len(s.keys) == 0 {
		s = q.record
	}
	d, _ := q.h.decide(s, q.known, q.want, res)
	r := q.outcome(res, d).learned(d, res)
	r.reason, r.says = res.Reason, textOf[d.outcome]
	return r
}

func (q *query) outcome(res pds.Result, d decision) reply {
	switch {
	case d.outcome == store.HeldElsewhere:
		return q.notFound(d, textOf[d.outcome])
	case d.verified() && res.Outcome == pds.Matched:
		return q.found(res, q.notUsed(), d.status, d.outcome)
	case d.verified():
		return q.found(res, textOf[d.outcome], d.status, d.outcome)
	case res.Outcome == pds.Stale:
		return q.stale(res)
	case res.Outcome == pds.ManyMatches:
		return q.several(res, d)
	case res.Outcome == pds.OldStyle:
		return q.nack(fault{badNumber, &q.where})
	case d.status != "":
		return q.notFound(d, textOf[d.outcome])
	}
	r := q.nack(fault{badQuestion, &q.where})
	r.outcome = store.Refused
	return r
}

// several answers that more than one patient fits. Who they are is never told.
func (q *query) several(res pds.Result, d decision) reply {
	if q.h.MultipleIsError {
		r := q.nack(fault{manyPatients, &q.where})
		r.outcome, r.status = d.outcome, d.status
		return r
	}
	warning := q.where
	warning.Code, warning.Severity, warning.AppCode, warning.Text = 204, "W", res.Code, textOf[d.outcome]
	return q.notFound(d, warning.Text, warning)
}

// localCopy warns of an answer that does not come from Spine itself.
const localCopy = "Local copy, Spine unavailable"

// notUsed names the criteria that played no part, which an asker should know of a match.
func (q *query) notUsed() string {
	if len(q.ignored) == 0 {
		return ""
	}
	return "Not used: " + strings.Join(q.ignored, ", ")
}

// stale answers from the provider's local store: with a warning, and never as verified.
func (q *query) stale(res pds.Result) reply {
	if q.h.RefuseStale {
		return q.nack(fault{condition: unavailable})
	}
	r := q.found(res, localCopy, "NSTS02", store.Stale)
	r.status = ""
	return r
}

// found answers with the one patient.
func (q *query) found(res pds.Result, text, status string, o store.Outcome) reply {
	n, locals := res.NHSNumber, q.locals(res.NHSNumber)
	if !q.wanted.wantsNumber() {
		n = pds.NHSNumber{}
	}
	if res.Patient == nil || n.IsZero() && len(locals) == 0 {
		return q.notFound(decision{outcome: o}, "")
	}
	b := q.begin(hl7v2.AA, text, nil, "OK", 1)
	q.writePatient(b, q.identifiersOf(b, n, locals), res.Patient, status)
	if q.visit {
		b.Segment("PV1").Raw(1, "1").Raw(2, "N")
	}
	return reply{bytes: b.Bytes(), ack: hl7v2.AA, outcome: o, found: res.NHSNumber, status: status}
}

// notFound answers that there is nobody to show.
func (q *query) notFound(d decision, text string, warnings ...hl7v2.Fault) reply {
	if !q.m.AtLeast("2.5") {
		warnings = nil // ERR says more than "error" from 2.5 on only
	}
	b := q.begin(hl7v2.AA, text, warnings, "NF", 0)
	return reply{bytes: b.Bytes(), ack: hl7v2.AA, outcome: d.outcome, status: d.status}
}

// nack refuses the query, in the shape of its answer.
func (q *query) nack(f fault) reply {
	n := nacks[f.condition]
	if f.at != nil {
		place := *f.at
		place.Code, place.Text = n.fault.Code, n.fault.Text
		n.fault = place
	}
	if q.bare {
		return q.h.nackPlain(q.m, f.condition)
	}
	code := q.h.Profile.code(n)
	r := n.reply(code)
	r.bytes = q.begin(code, n.fault.Text, []hl7v2.Fault{n.fault}, string(code), -1).Bytes()
	return r
}

// begin writes MSH, MSA, ERR, QAK and the echo. count is how many patients follow, -1 when
// the question was not dealt with.
func (q *query) begin(code hl7v2.AckCode, text string, faults []hl7v2.Fault, status string, count int) *hl7v2.Builder {
	b := hl7v2.Reply(q.m, q.h.header(q.answerType)).MSA(code, q.m.Raw(pathControlID), q.h.Results.say(q.say(code, text)))
	if len(faults) > 0 {
		b.ERR(faults...)
	}
	if q.m.AtLeast("2.3") && !q.h.NoQAK {
		b.Segment("QAK").Raw(1, b.Echo(q.tag)).Raw(2, status)
		if q.m.AtLeast("2.4") {
			b.Raw(3, b.Echo(q.name))
			if count >= 0 {
				n := []string{"0", "1"}[count]
				b.Raw(4, n).Raw(5, n).Raw(6, "0")
			}
		}
	}
	for _, segment := range q.echo {
		b.RawSegment(segment)
	}
	return b
}

// say returns the words for MSA-3. An answer about a number that is in doubt says so and nothing
// else; a refusal says what is wrong with the question.
func (q *query) say(code hl7v2.AckCode, text string) string {
	if q.doubt && code == hl7v2.AA {
		return numberInDoubt
	}
	return text
}

// inDoubt tells whether the number that is asked about, or that of the record that is, is with the
// back office.
func (q *query) inDoubt() bool {
	if q.known.backlog == nil {
		return false
	}
	if q.local.LocalID != "" {
		number, _ := q.record.before.Current()
		return q.known.inDoubt(q.record.before, number)
	}
	return !q.asked.IsZero() && slices.ContainsFunc(q.known.bearers(q.asked.Digits()), func(entry store.Patient) bool {
		return q.known.inDoubt(entry, q.asked.Digits())
	})
}

// identifiersOf returns the repetitions of PID-3: the NHS number unless it is zero, and local
// numbers.
func (q *query) identifiersOf(b *hl7v2.Builder, n pds.NHSNumber, locals []store.PatientKey) []string {
	var all []string
	if !n.IsZero() {
		all = append(all, nhsIdentifier(b, n.Digits()))
	}
	for _, key := range locals {
		all = append(all, q.h.localIdentifier(b, key))
	}
	return all
}

// writePatient writes PID and PD1 of a national record (spec/hl7v2.md 5.6). What the record
// does not say stays empty, never null.
func (q *query) writePatient(b *hl7v2.Builder, identifiers []string, p *pds.Patient, status string) {
	b.Segment("PID").Raw(1, "1").Join(3, identifiers)
	given, other := "", ""
	if len(p.Given) > 0 {
		given, other = p.Given[0], strings.Join(p.Given[1:], " ")
	}
	b.Composite(5, p.Family, given, other, "", p.Title, "", "L")
	b.Raw(7, p.BirthDate.Digits()).Raw(8, q.sex(p.Sex))
	if !p.Home.IsZero() {
		street, second, town, county := addressParts(p.Home)
		b.Composite(11, street, second, town, county, p.Home.Postcode, "", "H")
	}
	if q.h.Telephone && p.Phone != "" {
		b.Composite(13, p.Phone, "PRN", "PH")
	}
	if p.Deceased {
		b.Text(29, p.DeathTime).Raw(30, "Y")
	}
	b.Raw(32, status)
	if p.PracticeCode != "" || p.PracticeName != "" {
		b.Segment("PD1").Composite(3, p.PracticeName, "", p.PracticeCode)
	}
}

// sex writes PID-8 as the site's systems read it.
func (q *query) sex(s pds.Sex) string {
	if q.h.NHSSexCodes {
		return s.Code()
	}
	return sexLetters[s]
}

// addressParts puts five positional lines into four components: the premises, or else the
// street, lead; town and county keep their places.
func addressParts(a pds.Address) (street, second, town, county string) {
	lines := slices.DeleteFunc(slices.Clone(a.Lines[:3]), func(s string) bool { return s == "" })
	if len(lines) > 0 {
		street, second = lines[0], strings.Join(lines[1:], ", ")
	}
	return street, second, a.Lines[3], a.Lines[4]
}
