package exchange

import (
	"strings"

	"spinetrace/hl7v2"
)

// planQ22 answers QBP^Q22, IHE's Patient Demographics Query and ITK's "Find Candidates",
// with RSP^K22 (spec/hl7v2.md 5.4).
func (h *Handler) planQ22(m *hl7v2.Message) plan {
	const name = "QBP^Q22"
	q := &query{h: h, m: m, answerType: typeK22(m), tag: m.Raw(pathQueryTag), name: m.Raw(pathQueryName), where: at(0, "", "QPD", 3)}
	if s, ok := m.Segment("QPD"); ok {
		q.echo = []string{s.Raw()}
	}
	if f := q.faultQ22(); f != nil {
		return q.refuse(name, *f)
	}
	if f := q.readDomains(); f != nil {
		return q.refuse(name, *f)
	}
	if f := q.readFilters(m.Repetitions(pathParameters), "QPD", 3); f != nil {
		return q.refuse(name, *f)
	}
	return q.plan(name)
}

// typeK22 is MSH-9 of the answer: 2.4 names the structure after the event, later versions
// after the first of its kind.
func typeK22(m *hl7v2.Message) string {
	if m.AtLeast("2.5") {
		return "RSP^K22^RSP_K21"
	}
	return "RSP^K22^RSP_K22"
}

// faultQ22 checks what is not about the patient.
func (q *query) faultQ22() *fault {
	units := q.m.Get(pathRCPUnits)
	switch {
	case q.m.Count("QPD") == 0:
		return &fault{condition: noQPD}
	case q.name == "":
		return &fault{condition: noQueryName}
	case !servedQ22(q.m):
		return &fault{condition: otherQuery}
	case q.tag == "":
		return &fault{condition: noTag}
	case q.m.Raw(pathParameters) == "":
		return &fault{noSubject, &q.where}
	case strings.EqualFold(q.m.Get(pathRCPPrio), "D"):
		return &fault{condition: deferred}
	case units != "" && !strings.EqualFold(units, "RD"):
		return &fault{condition: otherQuantity}
	case q.m.Count("DSC") > 0:
		return &fault{condition: continued}
	}
	return nil
}

// servedQ22 accepts the spellings in use of the names of this query: IHE's, ITK's and
// those that only give the event.
func servedQ22(m *hl7v2.Message) bool {
	name := strings.ToUpper(m.Raw(pathQueryName))
	for _, part := range []string{"PDQ", "Q22", "CANDIDATE", "DEMOGRAPHIC"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// readDomains reads the domains whose identifiers the asker wants, a list of CX. We know
// the NHS number's and the trust's own; of the latter a traced patient has no number here.
func (q *query) readDomains() *fault {
	wantsNHS, wants := false, false
	for i, cx := range q.m.Repetitions(pathDomains) {
		name, oid := cx.Component(4), cx.Sub(4, 2)
		if name == "" && oid == "" {
			continue
		}
		wants = true
		switch {
		case q.h.NHSNumbers.knows(name, oid):
			wantsNHS = true
		case !q.h.local(name, oid):
			return &fault{otherDomain, &hl7v2.Fault{Segment: "QPD", Sequence: 1, Field: 8, Repetition: i + 1}}
		}
	}
	q.hideNumber = wants && !wantsNHS
	return nil
}
