package pdsfhirtest

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
)

const maxName = 35 // characters

// parameters are those that a search may have, and how each is read into the query. The
// result is false for a value that is not allowed.
var parameters = map[string]func(q *pdstest.Query, values []string) bool{
	"family":               func(q *pdstest.Query, v []string) bool { return single(v, &q.Family) && nameFine(q.Family) },
	"given":                readGiven,
	"birthdate":            func(q *pdstest.Query, v []string) bool { return readSpan(&q.Born, v) },
	"death-date":           func(q *pdstest.Query, v []string) bool { return readSpan(&q.Died, v) },
	"gender":               readGender,
	"address-postalcode":   func(q *pdstest.Query, v []string) bool { return single(v, &q.Postcode) && wildcardLate(q.Postcode) },
	"address-postcode":     func(q *pdstest.Query, v []string) bool { return single(v, &q.Postcode) && wildcardLate(q.Postcode) },
	"general-practitioner": func(q *pdstest.Query, v []string) bool { return single(v, &q.Practice) && plain(q.Practice) },
	"phone":                func(q *pdstest.Query, v []string) bool { return single(v, &q.Phone) && plain(q.Phone) },
	"email":                func(q *pdstest.Query, v []string) bool { return single(v, &q.Email) && plain(q.Email) },
	"_fuzzy-match":         func(q *pdstest.Query, v []string) bool { return boolean(v, &q.Fuzzy) },
	"_exact-match":         func(q *pdstest.Query, v []string) bool { return boolean(v, &q.Exact) },
	"_history":             func(q *pdstest.Query, v []string) bool { return boolean(v, &q.History) },
	"_max-results":         func(_ *pdstest.Query, v []string) bool { return len(v) == 1 && v[0] == "1" },
}

// readQuery reads a search by the rules of pds-fhir.md section 5. What could be read is
// there even with a problem.
func readQuery(raw string) (pdstest.Query, *problem) {
	var q pdstest.Query
	values, err := url.ParseQuery(raw)
	if err != nil || strings.Contains(raw, "*") {
		return q, problemOf("INVALID_VALUE", "Invalid value - the query is not percent-encoded")
	}
	if len(values) == 0 {
		return q, problemOf("UNSUPPORTED_SERVICE", "")
	}
	var first *problem
	for name, given := range values {
		if p := readParameter(&q, name, given); p != nil && (first == nil || before(p, first)) {
			first = p
		}
	}
	if first == nil {
		first = combination(q, values)
	}
	return q, first
}

func readParameter(q *pdstest.Query, name string, values []string) *problem {
	set, known := parameters[name]
	switch {
	case !known:
		return problemOf("ADDITIONAL_PROPERTIES", "Invalid request with error - Additional properties are not allowed ('"+name+"' was unexpected)")
	case set(q, values):
		return nil
	}
	p := problemOf("INVALID_VALUE", "Invalid value - '"+strings.Join(values, "', '")+"' in field '"+name+"'")
	if name == "_max-results" {
		p.status, p.issue = http.StatusForbidden, "token"
	}
	return p
}

// before orders two problems, which come out of a map: what is unknown first, then by name.
func before(a, b *problem) bool {
	return a.code < b.code || a.code == b.code && a.diagnostics < b.diagnostics
}

// combination applies the rules that tie parameters together.
func combination(q pdstest.Query, values url.Values) *problem {
	given := len(q.Given) > 0
	born := q.Born != pdstest.Span{}
	switch {
	case values.Has("address-postalcode") && values.Has("address-postcode"):
		return problemOf("INVALID_SEARCH_DATA", "Invalid search data provided - address-postalcode and address-postcode cannot be used together")
	case q.Fuzzy && wildcards(q):
		return problemOf("INVALID_SEARCH_DATA", "Invalid search data provided - wildcards cannot be used with a fuzzy search")
	case q.Fuzzy && !(given && q.Family != "" && born) &&
		!(q.Family != "" && born && q.Sex != 0 && q.Postcode != "") &&
		!(given && born && q.Sex != 0 && q.Postcode != ""):
		return problemOf("INVALID_SEARCH_DATA", "Invalid search data provided - No searches were performed as the search criteria did not meet the minimum requirements")
	case !q.Fuzzy && !born:
		return problemOf("MISSING_VALUE", "Missing value - 'birth_date/birth_date_range_start/birth_date_range_end'")
	case !q.Fuzzy && q.Family == "":
		return problemOf("INVALID_SEARCH_DATA", "Invalid search data provided - No searches were performed as the search criteria did not meet the minimum requirements")
	case empty(q.Born), empty(q.Died):
		return problemOf("INVALID_SEARCH_DATA", "Invalid search data provided - a range ends before it begins")
	}
	return nil
}

func wildcards(q pdstest.Query) bool {
	return strings.Contains(q.Family+strings.Join(q.Given, "")+q.Postcode, "*")
}

// empty tells of a range whose ends are both given and the wrong way round.
func empty(s pdstest.Span) bool {
	return !s.From.IsZero() && !s.To.IsZero() && s.From.Digits() > s.To.Digits()
}

// single takes a value that must come once, and not empty.
func single(values []string, into *string) bool {
	*into = strings.TrimSpace(values[0])
	return len(values) == 1 && *into != ""
}

func boolean(values []string, into *bool) bool {
	*into = values[0] == "true"
	return len(values) == 1 && (*into || values[0] == "false")
}

func plain(s string) bool { return !strings.Contains(s, "*") }

// wildcardLate refuses "*" among the first two characters.
func wildcardLate(s string) bool {
	stem, _, wild := strings.Cut(s, "*")
	return !wild || utf8.RuneCountInString(stem) >= 2
}

func nameFine(s string) bool { return utf8.RuneCountInString(s) <= maxName && wildcardLate(s) }

// readGiven takes given names in order. A wildcard may only end the first.
func readGiven(q *pdstest.Query, values []string) bool {
	q.Given = values
	for i, v := range values {
		stem, wild := strings.CutSuffix(v, "*")
		if strings.TrimSpace(v) == "" || !nameFine(v) || !plain(stem) || wild && i > 0 {
			return false
		}
	}
	return true
}

var genders = map[string]pds.Sex{
	"male": pds.SexMale, "female": pds.SexFemale, "other": pds.SexNotSpecified, "unknown": pds.SexNotKnown,
}

func readGender(q *pdstest.Query, values []string) bool {
	q.Sex = genders[values[0]]
	return len(values) == 1 && q.Sex != 0
}

// readSpan takes one date, or the two ends of a range, of the form [eq|ge|le]YYYY-MM-DD.
func readSpan(span *pdstest.Span, values []string) bool {
	for _, v := range values {
		prefix, date := "eq", v
		if len(v) > len(time.DateOnly) {
			prefix, date = v[:2], v[2:]
		}
		d, err := pds.ParseDate(strings.ReplaceAll(date, "-", ""))
		if _, bad := time.Parse(time.DateOnly, date); bad != nil || err != nil {
			return false
		}
		switch {
		case prefix == "eq" && len(values) == 1:
			span.From, span.To = d, d
		case prefix == "ge" && span.From.IsZero():
			span.From = d
		case prefix == "le" && span.To.IsZero():
			span.To = d
		default:
			return false
		}
	}
	return true
}
