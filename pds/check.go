package pds

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Rules are the switches of the local checks. The zero value is the contract's default:
// no wildcards, full birth dates, unattended.
type Rules struct {
	AllowWildcards  bool // "*" after at least two characters of a name or postcode, searches only
	AllowPartialDOB bool // YYYY and YYYYMM, searches only
	Access          Access
	Now             func() time.Time
}

// Check applies the input rules of smsp.md section 6.1, the same for every back end. It
// returns a Result with [Refused] (code SMSP-0001) and false when the question must not be
// sent; Reason names the field.
//
// The number itself needs no rule: a [Request] can hold none that [ParseNHSNumber] refuses.
// Whoever reads numbers answers [ErrNotTenDigits] as [OldStyle] and [ErrCheckDigit] as
// [Refused] (pds-fhir.md section 9.5).
func (r Rules) Check(req Request) (Result, bool) {
	field := r.fault(req)
	if field == "" {
		return Result{}, true
	}
	return Result{Outcome: Refused, Code: "SMSP-0001", Reason: "local check: " + field}, false
}

// fault names the first field that breaks a rule, or "".
func (r Rules) fault(req Request) string {
	byNumber := req.Want == Verify || req.Want == DetailsByNumber
	searching := req.Want == Number || req.Want == DetailsBySearch ||
		req.Want == Details && req.NHSNumber.IsZero()
	switch {
	case req.Want < Verify || req.Want > Details:
		return "operation"
	case r.Access.Missing(req.User, req.Role) != "":
		return r.Access.Missing(req.User, req.Role) + " missing"
	case byNumber && req.NHSNumber.IsZero():
		return "NHS number missing"
	case req.Who.BirthDate.IsZero():
		return "birth date missing"
	case !r.datePlausible(req.Who.BirthDate):
		return "birth date out of range"
	case !req.Who.BirthDate.Full() && !(searching && req.Want != Details && r.AllowPartialDOB):
		return "birth date partial"
	case searching && strings.TrimSpace(req.Who.Family) == "":
		return "family name missing"
	case searching && req.Who.Sex == 0:
		return "sex missing"
	case !r.wildcardsFine(searching, req.Who.Family):
		return "family name has a wildcard"
	case !r.wildcardsFine(searching, req.Who.Given):
		return "given name has a wildcard"
	case !byNumber && !r.wildcardsFine(searching, req.Who.Postcode):
		return "postcode has a wildcard"
	case !byNumber && !postcodeFine(req.Who.Postcode):
		return "postcode"
	}
	return ""
}

// datePlausible refuses dates before 1850 and in the future, and days that no calendar has.
// The patient may have been born in the hour by which British Summer Time is ahead.
func (r Rules) datePlausible(d Date) bool {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	today := now().Add(time.Hour)
	month, day := max(d.Month, 1), max(d.Day, 1)
	t := time.Date(d.Year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	exists := t.Day() == day && int(t.Month()) == month
	return exists && d.Year >= 1850 && !t.After(today)
}

// wildcardsFine applies the wildcard rule: one "*", last, after two characters or more that
// are not spaces.
func (r Rules) wildcardsFine(searching bool, s string) bool {
	at := strings.IndexAny(s, "*?%")
	if at < 0 {
		return true
	}
	return searching && r.AllowWildcards && s[at] == '*' &&
		at == len(s)-1 && utf8.RuneCountInString(strings.ReplaceAll(s[:at], " ", "")) >= 2
}

// postcodeFine allows at most eight letters and digits with at most one space (and a
// wildcard, whose own rule is wildcardsFine).
func postcodeFine(s string) bool {
	if len(s) > 8 || strings.Count(s, " ") > 1 {
		return false
	}
	for _, c := range s {
		letter := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && !('0' <= c && c <= '9') && c != ' ' && c != '*' {
			return false
		}
	}
	return true
}
