package pdsfhir

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"spinetrace/pds"
)

// A search is one of the ways in which a person is looked for (section 9.3).
type search struct {
	step       string
	query      string
	restricted bool // only a restricted record may be accepted
	fuzzy      bool // only what agrees without any loosened setting may be accepted
}

// searches returns what is asked, in order, until somebody is found: the plain search
// always, and what the settings add.
func (t *trace) searches() []search {
	who := t.req.Who
	all := []search{{step: "search", query: plainQuery(who)}}
	if t.RestrictedSearch && who.Postcode != "" && who.Given != "" {
		open := who
		open.Postcode = ""
		all = append(all, search{step: "search without postcode", query: plainQuery(open), restricted: true})
	}
	if q, ok := fuzzyQuery(who); t.FuzzyFallback && ok {
		all = append(all, search{step: "fuzzy search", query: q, fuzzy: true})
	}
	return all
}

// A query is a list of parameters in the order in which they are sent.
type query []string

func (q *query) add(key, value string) {
	if value != "" {
		// A plus sign would mean a space to some and itself to others.
		*q = append(*q, key+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
}

func (q query) String() string { return strings.Join(q, "&") }

// plainQuery looks for a person by current and former names and addresses. The sex is left
// out, as the NHS advises, and compared afterwards.
func plainQuery(who pds.Demographics) string {
	var q query
	q.add("family", who.Family)
	q.add("given", who.Given)
	for _, limit := range birthLimits(who.BirthDate) {
		q.add("birthdate", limit)
	}
	q.add("address-postalcode", who.Postcode)
	q.add("_history", "true")
	return q.String()
}

// fuzzyQuery asks with everything that is known. It is not ok without a combination that
// the API allows (section 5): with the family name and the birth date, the given name, or
// else sex and postcode; and no wildcard. History is searched always.
func fuzzyQuery(who pds.Demographics) (_ string, ok bool) {
	if strings.Contains(who.Family+who.Given+who.Postcode, "*") || !who.BirthDate.Full() ||
		who.Given == "" && who.Postcode == "" {
		return "", false
	}
	var q query
	q.add("family", who.Family)
	q.add("given", who.Given)
	q.add("birthdate", "eq"+iso(who.BirthDate))
	if who.Given == "" {
		q.add("gender", genders[who.Sex])
	}
	q.add("address-postalcode", who.Postcode)
	q.add("_fuzzy-match", "true")
	return q.String(), true
}

// birthLimits returns the day of birth, or the first and the last it can be.
func birthLimits(d pds.Date) []string {
	if d.Full() {
		return []string{"eq" + iso(d)}
	}
	first := time.Date(d.Year, time.Month(max(d.Month, 1)), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1)
	if d.Month == 0 {
		last = first.AddDate(1, 0, -1)
	}
	return []string{"ge" + first.Format(time.DateOnly), "le" + last.Format(time.DateOnly)}
}

func iso(d pds.Date) string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }
