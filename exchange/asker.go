package exchange

import (
	"fmt"
	"strconv"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// DefaultUserFields is where a message says who asks, unless a site says otherwise.
const DefaultUserFields = "EVN-5.1"

// ParseFields reads a comma list of paths such as EVN-5.1 or ZUS-2.
func ParseFields(s string) ([]hl7v2.Path, error) {
	var fields []hl7v2.Path
	for item := range strings.SplitSeq(s, ",") {
		p, err := hl7v2.ParsePath(strings.TrimSpace(item))
		if err != nil {
			return nil, fmt.Errorf("exchange: %w", err)
		}
		fields = append(fields, p)
	}
	return fields, nil
}

// said returns the first of several fields that has a value.
func said(m *hl7v2.Message, fields []hl7v2.Path) string {
	for _, field := range fields {
		if text := m.Get(field); text != "" {
			return text
		}
	}
	return ""
}

// user is on whose behalf a message came, as its sender says.
func (h *Handler) user(m *hl7v2.Message) string { return said(m, h.UserFields) }

// attended puts into the question of a plan on whose behalf it is asked. If the access method wants
// more than the message says, the plan becomes one that asks nobody.
func (h *Handler) attended(m *hl7v2.Message, p plan) plan {
	if p.request == nil || h.Access == pds.Unattended {
		return p
	}
	user, role := h.user(m), said(m, h.RoleFields)
	if store.IsSystem(user) {
		user = ""
	}
	p.request.User, p.request.Role = user, role
	switch h.Access.Missing(user, role) {
	case "":
		if user == "" {
			p.notice = asTheSystem
		}
		return p
	case "user":
		return p.withoutAsker(noUser, placeOf(h.UserFields))
	default:
		return p.withoutAsker(noRole, placeOf(h.RoleFields))
	}
}

// asTheSystem is what the record says of a question that lacks a user.
const asTheSystem = "no user in the message: asked as the system"

// withoutAsker is the plan for a message that lacks whom it is asked for. An ADT is stored and not
// traced, as if the service itself had refused the question; a query is refused.
func (p plan) withoutAsker(c condition, where *hl7v2.Fault) plan {
	answer, nack := p.reply, p.nack
	p.request, p.refused = nil, p.request
	p.unclaimed = p.unclaimed || nack != nil && nacks[c].kind != content
	p.reply = func(res pds.Result, err error) reply {
		if err != nil {
			return answer(res, err)
		}
		if nack == nil {
			return answer(pds.Result{Outcome: pds.Refused, Code: "SMSP-0001", Reason: nacks[c].fault.Text}, nil)
		}
		r := nack(fault{c, where})
		r.outcome = store.Refused
		return r
	}
	return p
}

// placeOf is the field that an ERR names.
func placeOf(fields []hl7v2.Path) *hl7v2.Fault {
	if len(fields) == 0 {
		return nil
	}
	segment, number, _ := strings.Cut(fields[0].Field().String(), "-")
	field, _ := strconv.Atoi(number) // which a Path has
	return &hl7v2.Fault{Segment: segment, Sequence: 1, Field: field}
}
