package exchange

import (
	"regexp"
	"slices"
	"strings"

	"spinetrace/hl7v2"
)

var (
	pathFormat     = hl7v2.MustPath("QRD-2.1")
	pathPriority   = hl7v2.MustPath("QRD-3.1")
	pathUnits      = hl7v2.MustPath("QRD-7.2")
	pathQueryID    = hl7v2.MustPath("QRD-4")
	pathWho        = hl7v2.MustPath("QRD-8")
	pathWhat       = hl7v2.MustPath("QRD-9.1")
	pathWhoFilter  = hl7v2.MustPath("QRF-5")
	pathRCPPrio    = hl7v2.MustPath("RCP-1.1")
	pathRCPUnits   = hl7v2.MustPath("RCP-2.2")
	pathQueryName  = hl7v2.MustPath("QPD-1")
	pathQueryTag   = hl7v2.MustPath("QPD-2")
	pathParameters = hl7v2.MustPath("QPD-3")
	pathDomains    = hl7v2.MustPath("QPD-8")
)

// planA19 answers QRY^A19, and QRY^Q01 that asks for demographics, with ADR^A19
// (spec/hl7v2.md 5.2).
func (h *Handler) planA19(m *hl7v2.Message, known *recall) plan {
	const name = "QRY^A19"
	q := &query{h: h, m: m, known: known, answerType: "ADR^A19", visit: true, tag: m.Raw(pathQueryID), where: at(0, "", "QRD", 8), bare: h.PlainNACK && m.Count("QRD") == 0}
	if m.AtLeast("2.4") {
		q.answerType = "ADR^A19^ADR_A19"
	}
	for _, segment := range []string{"QRD", "QRF"} {
		if s, ok := m.Segment(segment); ok {
			q.echo = append(q.echo, s.Raw())
		}
	}
	if f := q.faultA19(); f != nil {
		return q.refuse(name, *f)
	}
	if f := q.readA19(); f != nil {
		return q.refuse(name, *f)
	}
	return q.plan(name)
}

// faultA19 checks what is not about the patient.
func (q *query) faultA19() *fault {
	who := q.m.Repetitions(pathWho)
	format, units := q.m.Get(pathFormat), q.m.Get(pathUnits)
	place := at(0, "", "QRD")
	switch {
	case q.m.Count("QRD") == 0:
		return &fault{condition: noQRD}
	case format != "" && !strings.EqualFold(format, "R"):
		place.Field = 2
		return &fault{otherFormat, &place}
	case strings.EqualFold(q.m.Get(pathPriority), "D"):
		place.Field = 3
		return &fault{deferred, &place}
	case units != "" && !strings.EqualFold(units, "RD"):
		place.Field = 7
		return &fault{otherQuantity, &place}
	case !strings.EqualFold(q.m.Get(pathWhat), "DEM"):
		return &fault{condition: otherSubject}
	case q.m.Raw(pathWho) == "":
		return &fault{condition: noSubject}
	case len(who) > 1:
		return &fault{condition: manySubjects}
	case q.m.Count("DSC") > 0:
		return &fault{condition: continued}
	}
	return nil
}

// readA19 reads QRD-8, an XCN: number, family and given name, authority, type; and the
// filters of QRF-5: a bare date is the birth date, the rest is as in a Q22.
func (q *query) readA19() *fault {
	who := q.m.Repetitions(pathWho)[0]
	q.criteria = []criterion{
		{"PID.3.1", who.Component(1), q.where},
		{"PID.3.4.1", who.Component(9), q.where},
		{"PID.3.4.2", who.Sub(9, 2), q.where},
		{"PID.3.5", who.Component(13), q.where},
		{"PID.5.1", who.Component(2), q.where},
		{"PID.5.2", who.Component(3), q.where},
	}
	filters := q.m.Repetitions(pathWhoFilter)
	if len(filters) == 1 && filters[0].Component(1) == "" {
		return nil
	}
	return q.readFilters(filters, "QRF", 5)
}

// parameter is the form of a Q22's parameter names.
var parameter = regexp.MustCompile(`^@PID(\.[0-9]{1,2}){1,3}$`)

// readFilters reads @PID.f.c^value pairs. A bare date is the birth date in a QRF only.
func (q *query) readFilters(filters []hl7v2.Repetition, segment string, field int) *fault {
	for i, f := range filters {
		at := hl7v2.Fault{Segment: segment, Sequence: 1, Field: field, Repetition: i + 1}
		name, value := f.Component(1), f.Joined(2)
		switch {
		case parameter.MatchString(name):
			q.criteria = append(q.criteria, criterion{name[1:], value, at})
			if fields[name[1:]] == "" && !slices.Contains(q.ignored, name[1:]) {
				q.ignored = append(q.ignored, name[1:])
			}
		case segment == "QRF" && len(name) == 8 && strings.Trim(name, "0123456789") == "":
			q.criteria = append(q.criteria, criterion{"PID.7", name, at})
		case f.Raw() != "":
			return &fault{badFilter, &at}
		}
	}
	return nil
}
