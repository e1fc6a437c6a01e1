package smsptest

import (
	"errors"
	"strings"
	"time"

	"spinetrace/pds"
)

// refusal applies the input rules of smsp.md section 6.1 as a provider does. It returns
// SMSP-0001 or DEMOG-0042, or "" when the question may be asked. They are written out here
// again, apart from the client's, so that one mistake cannot hide in both.
func (r *Request) refusal(op *operation, now time.Time, refuseShort bool) string {
	number, err := pds.ParseNHSNumber(r.NHSNumber)
	if r.NHSNumber != "" && errors.Is(err, pds.ErrNotTenDigits) {
		return "DEMOG-0042"
	}
	bySearch := r.NHSNumber == ""
	switch {
	case r.NHSNumber != "" && (err != nil || number.Digits() != r.NHSNumber),
		!birthDate(r.BirthDate, op.searches, now),
		bySearch && (strings.TrimSpace(r.Who.Family) == "" || r.Who.Sex == 0),
		!wildcard(r.Who.Family, op.searches) || !wildcard(r.Who.Given, op.searches),
		!bySearch && refuseShort && short(r.Who.Family),
		!postcode(r.Who.Postcode, op.searches):
		return "SMSP-0001"
	}
	return ""
}

// birthDate allows days of the calendar from 1850 to today, and a month or year where a
// search may be vague.
func birthDate(s string, vague bool, now time.Time) bool {
	if len(s) != 8 && !(vague && (len(s) == 4 || len(s) == 6)) {
		return false
	}
	_, err := time.Parse("20060102"[:len(s)], s)
	return err == nil && s >= "1850" && s <= now.Format("20060102")[:len(s)]
}

// wildcard allows one "*", at the end, after two characters, in a search.
func wildcard(s string, wild bool) bool {
	stem, ends := strings.CutSuffix(s, "*")
	return !strings.ContainsAny(stem, "*?%") && (!ends || wild && len([]rune(stem)) >= 2)
}

func postcode(s string, wild bool) bool {
	alien := strings.IndexFunc(strings.TrimSuffix(s, "*"), func(r rune) bool {
		return r != ' ' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	return len(s) <= 8 && alien < 0 && strings.Count(s, " ") <= 1 && wildcard(s, wild)
}

// short tells a surname of fewer than three letters, which some providers refuse.
func short(family string) bool {
	n := len([]rune(strings.TrimSpace(family)))
	return n > 0 && n < 3
}
