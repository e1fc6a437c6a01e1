package exchange

import (
	"slices"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// planQ23 answers QBP^Q23, IHE's PIX query, with RSP^K23: which other identifiers has the
// patient with this one (spec/hl7v2.md 5.5)? Only a verified NHS number is told; one that is
// not is traced first.
func (h *Handler) planQ23(m *hl7v2.Message, known *recall) plan {
	const name = "QBP^Q23"
	q := h.queryByParameters(m, known, "RSP^K23^RSP_K23")
	return q.planIdentifier(name, func() plan {
		s, bad := q.description()
		if bad == nil {
			bad = q.source(s)
		}
		if bad != nil {
			return q.refuse(name, *bad)
		}
		return q.planPIX(name)
	})
}

// source reads whose other identifiers are wanted.
func (q *query) source(s description) *fault {
	var req pds.Request
	for _, id := range s.ids {
		if bad := q.identifier(id, &req); bad != nil {
			return bad
		}
	}
	q.asked = req.NHSNumber
	entry, _, bad := q.entry(req)
	found := entry.Key.LocalID != ""
	switch {
	case bad != nil:
		return bad
	case !found && q.foreign:
		return &fault{otherDomain, inSource(4)}
	case !found:
		return &fault{unknownNumber, inSource(1)}
	}
	q.subject = subject{keys: []store.PatientKey{entry.Key}, before: entry, told: entry.Told}
	q.record = q.subject
	q.doubt = q.inDoubt()
	return nil
}

// inSource is the place of a component of the source identifier: number or authority.
func inSource(component int) *hl7v2.Fault {
	return &hl7v2.Fault{Segment: "QPD", Sequence: 1, Field: 3, Repetition: 1, Component: component}
}

// planPIX answers from the index if the number there is verified, and else asks.
func (q *query) planPIX(name string) plan {
	number, status := q.subject.before.Current()
	n, _ := pds.ParseNHSNumber(number)
	verified := status == "01" && !n.IsZero()
	if verified && q.fresh() {
		p := q.unasked(name, func() reply { return q.indexed(n) })
		p.subject = q.subject
		return p
	}
	req := pds.Request{}
	fill(&req, q.subject.before)
	switch {
	case !answerable(req) || !req.Who.BirthDate.Full():
		p := q.unasked(name, func() reply { return q.notFound(decision{outcome: store.NotTraced}, "") })
		p.subject = q.subject
		return p
	case req.NHSNumber.IsZero():
		req.Want = pds.Number
	default:
		req.Want = pds.Verify
	}
	q.want = req.Want
	if !verified {
		n = pds.NHSNumber{}
	}
	return plan{name: name, query: true, subject: q.subject, request: &req, asks: q.says, nack: q.nack,
		reply: func(res pds.Result, err error) reply { return q.replyPIX(res, err, n) }}
}

// indexed answers with a number that is verified in the index.
func (q *query) indexed(n pds.NHSNumber) reply {
	text := ""
	if !q.asked.IsZero() && q.asked != n {
		text = textOf[store.Superseded]
	}
	r := q.corresponding(n, text)
	r.outcome, r.reason = store.NotTraced, "verified in the index"
	return r
}

// fresh tells whether a verified number need not be asked about again.
func (q *query) fresh() bool {
	f := q.subject.before.Found
	return f.At.IsZero() || q.h.RetraceAfter == 0 || q.known.arrived.Sub(f.At) < q.h.RetraceAfter
}

// replyPIX answers a PIX query whose trace ended (the last column of the table of 5.6). verified
// is the number that was verified before, if one was.
func (q *query) replyPIX(res pds.Result, err error, verified pds.NHSNumber) reply {
	if err != nil {
		r := q.nack(fault{condition: unavailable})
		r.reason = reasonOf(err)
		return r
	}
	d, _ := q.h.decide(q.subject, q.known, q.want, res)
	r := q.pixOutcome(res, d, verified).learned(d, res)
	r.reason, r.says = res.Reason, textOf[d.outcome]
	return r
}

func (q *query) pixOutcome(res pds.Result, d decision, verified pds.NHSNumber) reply {
	switch {
	case d.verified():
		text := ""
		if d.outcome == store.Superseded {
			text = textOf[d.outcome]
		}
		r := q.corresponding(res.NHSNumber, text)
		r.outcome, r.status, r.found = d.outcome, d.status, res.NHSNumber
		return r
	case res.Outcome == pds.Stale && q.h.RefuseStale:
		return q.nack(fault{condition: unavailable})
	case res.Outcome == pds.Stale && !verified.IsZero() && (res.NHSNumber.IsZero() || res.NHSNumber == verified):
		r := q.corresponding(verified, localCopy)
		r.outcome = store.Stale
		return r
	case res.Outcome == pds.ManyMatches:
		return q.several(res, d)
	case res.Outcome == pds.Stale:
		return q.notFound(decision{outcome: store.Stale}, localCopy)
	case res.Outcome == pds.Invalidated && !q.asked.IsZero(), res.Outcome == pds.OldStyle:
		r := q.nack(fault{unknownNumber, inSource(1)})
		r.outcome, r.status = d.outcome, d.status
		return r
	case d.status != "":
		return q.notFound(d, textOf[d.outcome])
	}
	r := q.nack(fault{condition: notAnswered})
	r.outcome = store.Refused
	return r
}

// corresponding answers with the patient's other identifiers, and nothing else of the patient.
func (q *query) corresponding(n pds.NHSNumber, text string) reply {
	source := q.asked.IsZero()
	ids := slices.DeleteFunc(q.locals(n), func(key store.PatientKey) bool {
		return source && (key == q.subject.keys[0] || key == q.local)
	})
	if n == q.asked || !q.wanted.wantsNumber() {
		n = pds.NHSNumber{}
	}
	if n.IsZero() && len(ids) == 0 {
		return q.notFound(decision{}, text)
	}
	b := q.begin(hl7v2.AA, text, nil, "OK", 1)
	b.Segment("PID").Join(3, q.identifiersOf(b, n, ids)).Join(5, noName(b))
	return reply{bytes: b.Bytes(), ack: hl7v2.AA, found: n}
}

// noName is a name that is withheld: an empty one, and one of type S (pseudonym) to say so.
func noName(b *hl7v2.Builder) []string {
	return []string{"", strings.Repeat(string(rune(b.Delimiters().Component)), 6) + "S"}
}
