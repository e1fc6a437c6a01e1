package exchange

import (
	"slices"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// planQ22 answers QBP^Q22, IHE's Patient Demographics Query and ITK's "Find Candidates",
// with RSP^K22 (spec/hl7v2.md 5.4).
func (h *Handler) planQ22(m *hl7v2.Message, known *recall) plan {
	return h.queryByParameters(m, known, typeK22(m)).planFilters("QBP^Q22", 8)
}

// planFilters plans a query whose QPD-3 holds @PID.f.c^value pairs.
func (q *query) planFilters(name string, domainsField int) plan {
	f := q.faultParameters()
	if f == nil {
		f = q.readDomains(pathDomains, domainsField)
	}
	if f == nil {
		f = q.readFilters(q.m.Repetitions(pathParameters), "QPD", 3)
	}
	if f != nil {
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

// faultParameters checks what is not about the patient.
func (q *query) faultParameters() *fault {
	units := q.m.Get(pathRCPUnits)
	switch {
	case q.m.Count("QPD") == 0:
		return &fault{condition: noQPD}
	case q.name == "":
		return &fault{condition: noQueryName}
	case !served(q.m):
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

// queryNames are parts of the names in use, in capitals, of the queries that are served:
// IHE's, ITK's, and those that only give an event. Which event a message has, MSH-9 says:
// ITK's own samples disagree with themselves in QPD-1.
var queryNames = map[string][]string{
	"Q21": {"Q21", "Q22", "PDQ", "DEMOGRAPHIC", "CANDIDATE"},
	"Q22": {"Q22", "PDQ", "DEMOGRAPHIC", "CANDIDATE"},
	"Q23": {"Q23", "PIX", "CORRESPONDING"},
}

// served tells whether QPD-1 names the query that MSH-9 asks.
func served(m *hl7v2.Message) bool {
	_, event, _ := m.Type()
	name := strings.ToUpper(m.Raw(pathQueryName))
	return slices.ContainsFunc(queryNames[event], func(part string) bool { return strings.Contains(name, part) })
}

// readDomains reads the domains whose identifiers the asker wants, a list of CX.
func (q *query) readDomains(path hl7v2.Path, field int) *fault {
	for i, cx := range q.m.Repetitions(path) {
		name, oid := cx.Component(4), cx.Sub(4, 2)
		switch {
		case name == "" && oid == "":
		case q.h.NHSNumbers.knows(name, oid):
			q.wanted.nhs = true
		case q.h.local(name, oid):
			q.wanted.local = append(q.wanted.local, q.h.authority(name, oid))
		default:
			return &fault{otherDomain, &hl7v2.Fault{Segment: "QPD", Sequence: 1, Field: field, Repetition: i + 1}}
		}
	}
	return nil
}

// planCancel answers QCN^J01, which cancels a query: always with AA, because every query has
// been answered by the time this can come (spec/hl7v2.md 5.4).
func (h *Handler) planCancel(m *hl7v2.Message, _ *recall) plan {
	return plan{name: "QCN^J01", query: true, reply: func(_ pds.Result, err error) reply {
		if err != nil {
			return h.nackPlain(m, unavailable)
		}
		return h.adtPlain(m, store.NotTraced, "", "query cancelled")
	}}
}
