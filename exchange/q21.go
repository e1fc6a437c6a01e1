package exchange

import (
	"strings"

	"spinetrace/hl7v2"
)

// planQ21 answers QBP^Q21, ITK's "Get Person Demographics", with RSP^K21 (spec/hl7v2.md 5.3).
// ITK's own samples say Q22 in QPD-1 and have RCP-1 in the wrong place: both are accepted. A
// QPD-3 of @PID filters makes it a Q22 in all but the answer's name.
func (h *Handler) planQ21(m *hl7v2.Message, known *recall) plan {
	q := h.queryByParameters(m, known, "RSP^K21^RSP_K21")
	if strings.HasPrefix(m.Raw(pathParameters), "@") {
		return q.planFilters("QBP^Q21", 8)
	}
	return q.planIdentifier("QBP^Q21", func() plan { return q.plan("QBP^Q21") })
}

// queryByParameters begins a query that a QPD segment asks.
func (h *Handler) queryByParameters(m *hl7v2.Message, known *recall, answerType string) *query {
	q := &query{
		h: h, m: m, known: known, answerType: answerType, bare: h.PlainNACK && m.Count("QPD") == 0,
		tag: m.Raw(pathQueryTag), name: m.Raw(pathQueryName), where: at(0, "", "QPD", 3),
	}
	if s, ok := m.Segment("QPD"); ok {
		q.echo = []string{s.Raw()}
	}
	return q
}

// planIdentifier plans a query whose QPD-3 is one identifier, a CX, and whose QPD-4 lists the
// domains that are wanted.
func (q *query) planIdentifier(name string, plan func() plan) plan {
	f := q.faultParameters()
	if f == nil {
		f = q.readDomains(pathIdentifierDomains, 4)
	}
	if f == nil {
		f = q.readIdentifier()
	}
	if f != nil {
		return q.refuse(name, *f)
	}
	return plan()
}

// readIdentifier reads QPD-3 as a CX.
func (q *query) readIdentifier() *fault {
	ids := q.m.Repetitions(pathParameters)
	if len(ids) > 1 {
		second := hl7v2.Fault{Segment: "QPD", Sequence: 1, Field: 3, Repetition: 2}
		return &fault{manySubjects, &second}
	}
	cx := ids[0]
	number, authority := q.where, q.where
	number.Repetition, number.Component = 1, 1
	authority.Repetition, authority.Component = 1, 4
	switch {
	case strings.TrimSpace(cx.Component(1)) == "" || cx.IsNull():
		return &fault{noSubject, &number}
	case cx.Component(4) == "" && cx.Sub(4, 2) == "":
		return &fault{noDomain, &authority}
	}
	q.criteria = []criterion{
		{"PID.3.1", cx.Component(1), number},
		{"PID.3.4.1", cx.Component(4), authority},
		{"PID.3.4.2", cx.Sub(4, 2), authority},
		{"PID.3.5", cx.Component(5), q.where},
	}
	return nil
}

var pathIdentifierDomains = hl7v2.MustPath("QPD-4")
