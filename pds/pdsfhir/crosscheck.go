package pdsfhir

import (
	"cmp"
	"slices"
	"strings"

	"spinetrace/pds"
)

// likeness is how names are compared by the settings.
func (c *Client) likeness() likeness {
	return likeness{familyPart: c.FamilyPart, givenInitial: c.GivenInitial}
}

// crossCheck decides whether a record that was asked for by number belongs to the person
// who was meant (section 9.2, rows 2 to 11). It is all that stands between a mistyped number
// and somebody else's demographics. The reason is the row that decided.
func (t *trace) crossCheck(r *record) verdict {
	if r.security == "REDACTED" {
		return negative(pds.Invalidated, "DEMOG-0022", "record is redacted")
	}
	same := t.likeness().compare(t.req.Who, r.names)
	if fault := t.contradiction(r, same); fault != "" {
		return negative(pds.NotVerified, "DEMOG-0040", fault)
	}
	v := verdict{code: "SMSP-0000", reason: "number and birth date agree; " + same.String()}
	v.result.Outcome = pds.Matched
	if r.number != t.req.NHSNumber {
		v.code, v.result.Outcome = "DEMOG-0017", pds.Superseded
	}
	if !r.born.Full() {
		v.reason += "; birth date held in part"
	}
	return v
}

// contradiction names the first field that disagrees, or "". Sex and postcode are compared
// for getPatientDetails only.
func (t *trace) contradiction(r *record, same namesake) string {
	who, all := t.req.Who, t.req.Want == pds.Details
	switch {
	case r.born.IsZero():
		return "birth date missing in the record"
	case !r.born.Agrees(who.BirthDate):
		return "birth date differs"
	case !r.born.Full() && !t.AcceptPartialDOB:
		return "birth date held in part"
	case !same.agrees():
		return same.String()
	case all && opposite(who.Sex, r.sex):
		return "sex differs"
	case all && r.elsewhere(who.Postcode):
		return "postcode differs"
	}
	return ""
}

// elsewhere tells whether the record has addresses, all with another postcode. Those of a
// restricted record are not shown.
func (r *record) elsewhere(postcode string) bool {
	return postcode != "" && !r.restricted() && r.addressed && !slices.Contains(r.postcodes, squeeze(postcode))
}

// opposite tells whether one is male and the other female; nothing else conflicts.
func opposite(a, b pds.Sex) bool {
	return a == pds.SexMale && b == pds.SexFemale || a == pds.SexFemale && b == pds.SexMale
}

// objection says why a record that a search found is not the person who was meant, or ""
// (section 9.4, rows 2 and 4). The names are compared by postCheck.
func (t *trace) objection(s search, r *record) string {
	who := t.req.Who
	switch {
	case r.security == "REDACTED":
		return "record is redacted"
	case s.restricted && !r.restricted():
		return "postcode differs" // the record is found without it, and not restricted
	case r.born.IsZero():
		return "birth date missing in the record"
	case !strings.HasPrefix(r.born.Digits(), who.BirthDate.Digits()):
		return "birth date differs"
	case opposite(who.Sex, r.sex) && (s.fuzzy || cmp.Or(t.GenderCheck, GenderReject) == GenderReject):
		return "sex differs"
	}
	return ""
}

// scoreObjection says why the score of a search hit is not enough, or "".
func (t *trace) scoreObjection(s search, f *findings) string {
	least := cmp.Or(t.MinScore, defaultMinScore)
	if s.fuzzy {
		least = max(least, defaultMinScore)
	}
	switch {
	case !f.scored && least >= 0:
		return "no score"
	case f.score < least:
		return "score too low"
	}
	return ""
}

const defaultMinScore = 0.85

// postCheck compares the names of a record that a search found, by the settings, or without
// them if it was a fuzzy search.
func (t *trace) postCheck(s search, r *record) namesake {
	l := t.likeness()
	if s.fuzzy {
		l = likeness{}
	}
	return l.compare(t.req.Who, r.names)
}
