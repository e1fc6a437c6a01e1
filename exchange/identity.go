package exchange

import (
	"regexp"
	"slices"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/pds"
)

// Where a PID segment says who the patient is.
var (
	pathIdentifiers = hl7v2.MustPath("PID-3")
	pathNames       = hl7v2.MustPath("PID-5")
	pathBirthDate   = hl7v2.MustPath("PID-7.1")
	pathSex         = hl7v2.MustPath("PID-8.1")
	pathAddresses   = hl7v2.MustPath("PID-11")
	pathUnknown     = hl7v2.MustPath("PID-31.1")
	pathReliability = hl7v2.MustPath("PID-32")
)

// identifiers is what PID-3 holds (spec/hl7v2.md 4.3).
type identifiers struct {
	local string // the trust's own number: the first repetition that its pattern matches
	nhs   []int  // positions of the repetitions that are NHS numbers by form
	valid []pds.NHSNumber
	used  int // position of the first valid one, -1 if there is none
}

// identifiers reads PID-3.
func (h *Handler) identifiers(m *hl7v2.Message) identifiers {
	ids := identifiers{used: -1}
	today := h.Now().In(h.Location).Format("20060102")
	for i, cx := range m.Repetitions(pathIdentifiers) {
		switch {
		case m.Truncated(pathIdentifiers.Repetition(i + 1)): // what is left of it names nobody
		case h.NHSNumbers.match(cx):
			ids.nhs = append(ids.nhs, i)
			n, err := pds.ParseNHSNumber(strings.TrimSpace(cx.Component(1)))
			if err != nil || expired(cx, today) {
				continue
			}
			if ids.used < 0 {
				ids.used = i
			}
			if !slices.Contains(ids.valid, n) {
				ids.valid = append(ids.valid, n)
			}
		case ids.local == "" && h.LocalID.match(cx):
			ids.local = strings.TrimSpace(cx.Component(1))
		}
	}
	return ids
}

// expired reads CX-8; an unreadable date is no expiry.
func expired(cx hl7v2.Repetition, today string) bool {
	d, err := hl7v2.ParseDate(cx.Component(8))
	return err == nil && d.Full() && d.String() < today
}

// number returns the one valid NHS number, if there is exactly one.
func (ids identifiers) number() (pds.NHSNumber, bool) {
	if len(ids.valid) == 1 {
		return ids.valid[0], true
	}
	return pds.NHSNumber{}, false
}

// Name types of XPN-7 in the order of preference; any other type is never used.
var nameTypes = [][]string{{"L", "CURRENT"}, {""}, {"D", "PREFERRED"}}

// name chooses the name to trace with (spec/hl7v2.md 4.4).
func name(m *hl7v2.Message) (family, given string) {
	x, ok := prefer(m.Repetitions(pathNames), 7, nameTypes)
	if !ok {
		return "", ""
	}
	family = x.Sub(1, 1)
	if !m.AtLeast("2.3.1") {
		family = x.Joined(1) // a family name has no parts there: an & is text
	} else if prefix := x.Sub(1, 2); prefix != "" && !strings.HasPrefix(strings.ToUpper(family), strings.ToUpper(prefix)) {
		family = prefix + " " + family
	}
	return tidyName(family), tidyGiven(x.Joined(2))
}

// prefer returns the first repetition whose type component holds one of the types, by
// order of preference.
func prefer(reps []hl7v2.Repetition, component int, types [][]string) (hl7v2.Repetition, bool) {
	for _, wanted := range types {
		for _, r := range reps {
			if !r.IsNull() && slices.Contains(wanted, strings.ToUpper(strings.TrimSpace(r.Component(component)))) {
				return r, true
			}
		}
	}
	return hl7v2.Repetition{}, false
}

// nameNote is what clerks write behind a name: (DECEASED), (DO NOT USE).
var nameNote = regexp.MustCompile(`\s*\([^)]*\)\s*$`)

// tidyName trims a name, folds its spaces and drops a trailing note. Accents, hyphens and
// apostrophes stay as recorded.
func tidyName(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return nameNote.ReplaceAllString(s, "")
}

// noGiven are words that stand where a given name is not known yet.
var noGiven = regexp.MustCompile(`(?i)^(baby|infant|unknown|twin( \d)?)( |$)`)

func tidyGiven(s string) string {
	s = tidyName(s)
	if noGiven.MatchString(s) {
		return ""
	}
	return s
}

// unidentified tells whether the message says that nobody knows who this is.
func unidentified(m *hl7v2.Message, family string) bool {
	family = strings.ToUpper(family)
	switch family {
	case "UNKNOWN", "UNK", "NOT KNOWN", "TEST":
		return true
	}
	for _, prefix := range []string{"XXTEST", "ZZTEST", "ZZZ"} {
		if strings.HasPrefix(family, prefix) {
			return true
		}
	}
	return strings.EqualFold(m.Get(pathUnknown), "Y")
}

// sexes maps PID-8 to the codes of the mini services (product.md 4.6 c).
var sexes = map[string]pds.Sex{
	"M": pds.SexMale, "1": pds.SexMale, "MALE": pds.SexMale,
	"F": pds.SexFemale, "2": pds.SexFemale, "FEMALE": pds.SexFemale,
	"A": pds.SexNotSpecified, "9": pds.SexNotSpecified, "I": pds.SexNotSpecified, "INDETERMINATE": pds.SexNotSpecified,
	"U": pds.SexNotKnown, "0": pds.SexNotKnown, "N": pds.SexNotKnown, "O": pds.SexNotKnown, "X": pds.SexNotKnown, "UNKNOWN": pds.SexNotKnown,
}

// parseSex returns the zero value for anything that is not in the table.
func parseSex(s string) pds.Sex { return sexes[strings.ToUpper(strings.TrimSpace(s))] }

// sexLetters maps a national record's sex to PID-8.
var sexLetters = map[pds.Sex]string{
	pds.SexMale: "M", pds.SexFemale: "F", pds.SexNotSpecified: "A", pds.SexNotKnown: "U",
}

// birthDate reads a date of birth. A placeholder, such as the first of January 1900, and a
// date that nobody alive can have are as good as none.
func (h *Handler) birthDate(d hl7v2.Date, err error) (pds.Date, bool) {
	if err != nil || d.Year < 1850 || d.String() > h.today(len(d.String())) {
		return pds.Date{}, false
	}
	if d.Full() && (d.String() == "19000101" || d.String() == "18000101") {
		return pds.Date{}, false
	}
	return pds.Date(d), true
}

func (h *Handler) today(digits int) string {
	return h.Now().In(h.Location).Format("20060102")[:digits]
}

// Address types of XAD-7 in the order of preference: home, then untyped.
var addressTypes = [][]string{{"H", "HOME", "P", "L"}, {""}}

// postcode chooses the home postcode, in the printed form, or "" if there is none that PDS
// could know.
func postcode(m *hl7v2.Message) string {
	x, ok := prefer(m.Repetitions(pathAddresses), 7, addressTypes)
	if !ok {
		return ""
	}
	return tidyPostcode(x.Component(5))
}

var postcodeForm = regexp.MustCompile(`^(?:[A-Z]{1,2}[0-9][0-9A-Z]?|GIR) [0-9][A-Z]{2}$`)

// tidyPostcode puts a postcode into its printed form. What does not look like one, and the
// ZZ99 codes for "no fixed abode" and "abroad", become "". A wildcard is left to be refused.
func tidyPostcode(s string) string {
	if strings.ContainsAny(s, wildcards) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, strings.ToUpper(s))
	if len(s) < 5 {
		return ""
	}
	s = s[:len(s)-3] + " " + s[len(s)-3:]
	if !postcodeForm.MatchString(s) || strings.HasPrefix(s, "ZZ99") {
		return ""
	}
	return s
}

// wildcards are the characters that some system somewhere would expand.
const wildcards = "*?%"

// traceStatus finds the NHS number status in PID-32: its value as two digits and its
// position, -1 if there is none. The repetitions mix it with other codes, in any order.
func traceStatus(m *hl7v2.Message) (status string, position int) {
	for i, r := range m.Repetitions(pathReliability) {
		s := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(r.Component(1))), "NSTS")
		if len(s) == 1 {
			s = "0" + s
		}
		if len(s) == 2 && s[0] == '0' && '1' <= s[1] && s[1] <= '8' {
			return s, i
		}
	}
	return "", -1
}
