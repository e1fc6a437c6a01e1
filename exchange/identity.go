package exchange

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/pds"
)

// Where a PID segment says who the patient is.
var (
	pathExternalID  = hl7v2.MustPath("PID-2")
	pathIdentifiers = hl7v2.MustPath("PID-3")
	pathNames       = hl7v2.MustPath("PID-5")
	pathBirthDate   = hl7v2.MustPath("PID-7.1")
	pathSex         = hl7v2.MustPath("PID-8.1")
	pathAddresses   = hl7v2.MustPath("PID-11")
	pathSSN         = hl7v2.MustPath("PID-19")
	pathUnknown     = hl7v2.MustPath("PID-31.1")
	pathReliability = hl7v2.MustPath("PID-32")
)

// identifiers is what PID-3 holds, and the legacy fields that are read (spec/hl7v2.md 4.3).
type identifiers struct {
	local string // the trust's own number: the first repetition that its pattern matches
	nhs   []int  // positions of the repetitions that are NHS numbers by form; -1: one of a legacy field
	valid []pds.NHSNumber
	form  []string // the ten digits of what is an NHS number by form, valid or not
	used  int      // position of the first valid one, -1 if PID-3 has none
}

// identifiers reads PID-3, then the legacy fields. PID-4 holds numbers of the past, and is never
// read.
func (h *Handler) identifiers(m *hl7v2.Message) identifiers {
	ids := identifiers{used: -1}
	for i, cx := range m.Repetitions(pathIdentifiers) {
		switch {
		case m.Truncated(pathIdentifiers.Repetition(i + 1)): // what is left of it names nobody
		case h.NHSNumbers.match(cx):
			h.addNumber(&ids, i, cx)
		case ids.local == "" && h.LocalID.match(cx):
			ids.local = strings.TrimSpace(cx.Component(1))
		}
	}
	for _, field := range h.LegacyNumbers {
		for _, cx := range m.Repetitions(field) {
			if !m.Truncated(field) && h.isLegacyNumber(cx) {
				h.addNumber(&ids, -1, cx)
			}
		}
	}
	return ids
}

// addNumber takes an identifier that is an NHS number by its form, valid or not.
func (h *Handler) addNumber(ids *identifiers, position int, cx hl7v2.Repetition) {
	ids.nhs = append(ids.nhs, position)
	ids.form = appendForm(ids.form, cx.Component(1))
	n, ok := h.nhsNumber(cx.Component(1))
	if !ok || h.expired(cx) {
		return
	}
	if ids.used < 0 {
		ids.used = position
	}
	if !slices.Contains(ids.valid, n) {
		ids.valid = append(ids.valid, n)
	}
}

// appendForm adds the ten digits of what is an NHS number by form, up to what a search row holds.
func appendForm(form []string, number string) []string {
	if digits, err := pds.TenDigits(number); err == nil && len(form) < mostKeys {
		return append(form, digits)
	}
	return form
}

// nhsNumber reads an NHS number that may be asked about.
func (h *Handler) nhsNumber(s string) (pds.NHSNumber, bool) {
	n, err := pds.ParseNHSNumber(strings.TrimSpace(s))
	if err != nil || h.Refuse999 && strings.HasPrefix(n.Digits(), "999") {
		return pds.NHSNumber{}, false
	}
	return n, true
}

// isLegacyNumber tells an NHS number in a legacy field, where it mostly stands alone, from
// what says that it is something else.
func (h *Handler) isLegacyNumber(cx hl7v2.Repetition) bool {
	if cx.IsEmpty() || cx.IsNull() {
		return false
	}
	alone := cx.Component(4) == "" && cx.Sub(4, 2) == "" && cx.Component(5) == ""
	return alone || h.NHSNumbers.match(cx)
}

// ParseLegacyFields reads a comma list of PID-2 and PID-19, the fields beside PID-3 where
// older feeds have the NHS number. An empty text is an empty list.
func ParseLegacyFields(s string) ([]hl7v2.Path, error) {
	var fields []hl7v2.Path
	for item := range strings.SplitSeq(s, ",") {
		switch strings.ToUpper(strings.TrimSpace(item)) {
		case "PID-2":
			fields = append(fields, pathExternalID)
		case "PID-19":
			fields = append(fields, pathSSN)
		case "":
			if s != "" {
				return nil, errLegacyField
			}
		default:
			return nil, errLegacyField
		}
	}
	return fields, nil
}

var errLegacyField = errors.New("exchange: legacy field is not one of PID-2, PID-19")

// expired reads CX-8; an unreadable date is no expiry.
func (h *Handler) expired(cx hl7v2.Repetition) bool {
	d, err := hl7v2.ParseDate(cx.Component(8))
	return err == nil && d.Full() && d.String() < h.today(8)
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
var noGiven = regexp.MustCompile(`(?i)^(baby|infant|unknown|twin( ?\d)?)( |$)`)

func tidyGiven(s string) string {
	s = tidyName(s)
	if noGiven.MatchString(s) {
		return ""
	}
	return s
}

// DefaultUnknownNames returns the family names that stand for nobody, unless a trust says
// otherwise. One that ends in "*" is the beginning of such names.
func DefaultUnknownNames() []string {
	return []string{"UNKNOWN", "UNK", "NOT KNOWN", "TEST", "XXTEST*", "ZZTEST*", "ZZZ*"}
}

// unidentified tells whether the message says that nobody knows who this is.
func (h *Handler) unidentified(m *hl7v2.Message, family string) bool {
	return strings.EqualFold(m.Get(pathUnknown), "Y") || namesNobody(h.UnknownNames, family)
}

func namesNobody(names []string, family string) bool {
	family = strings.ToUpper(family)
	return slices.ContainsFunc(names, func(name string) bool {
		start, open := strings.CutSuffix(strings.ToUpper(name), "*")
		return family == start || open && strings.HasPrefix(family, start)
	})
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

// DefaultPlaceholderDates returns the birth dates that stand for none, unless a trust says
// otherwise.
func DefaultPlaceholderDates() []string { return []string{"19000101", "18000101"} }

// birthDate reads a date of birth. A placeholder and a date that nobody alive can have are as
// good as none.
func (h *Handler) birthDate(d hl7v2.Date, err error) (pds.Date, bool) {
	if err != nil || d.Year < 1850 || d.String() > h.today(len(d.String())) || slices.Contains(h.PlaceholderDates, d.String()) {
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

// status returns the NHS number status as two digits, "" if the message has none: that of
// PID-32, else the one beside the NHS number.
func (h *Handler) status(m *hl7v2.Message) string {
	if s, _ := traceStatus(m); s != "" {
		return s
	}
	for _, cx := range m.Repetitions(pathIdentifiers) {
		if s := h.statusBeside(cx); s != "" && h.NHSNumbers.match(cx) && !h.expired(cx) {
			return s
		}
	}
	return ""
}

// statusBeside reads the status that one sender writes behind the type, {status:01}, and
// others in the place of the check digit.
func (h *Handler) statusBeside(cx hl7v2.Repetition) string {
	_, note, _ := strings.Cut(strings.ToUpper(cx.Component(5)), "{STATUS:")
	if s := statusOf(strings.TrimSuffix(note, "}")); s != "" || !h.StatusInCX2 {
		return s
	}
	second := strings.TrimSpace(cx.Component(2))
	if len(second) != len("03") { // a check digit
		return ""
	}
	return statusOf(second)
}

// traceStatus finds the NHS number status in PID-32: its value as two digits and its
// position, -1 if there is none. The repetitions mix it with other codes, in any order.
func traceStatus(m *hl7v2.Message) (status string, position int) {
	for i, r := range m.Repetitions(pathReliability) {
		if s := statusOf(r.Component(1)); s != "" {
			return s, i
		}
	}
	return "", -1
}

// statusOf reads NSTS01, 01 or 1; "" is anything else.
func statusOf(s string) string {
	s = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(s)), statusPrefix)
	if len(s) == 1 {
		s = "0" + s
	}
	if len(s) == 2 && s[0] == '0' && '1' <= s[1] && s[1] <= '8' {
		return s
	}
	return ""
}

const statusPrefix = "NSTS"

// unknownStatus tells whether PID-32 has a status that no table knows: it counts as none.
func unknownStatus(m *hl7v2.Message) bool {
	return slices.ContainsFunc(m.Repetitions(pathReliability), func(r hl7v2.Repetition) bool {
		s := strings.ToUpper(strings.TrimSpace(r.Component(1)))
		return strings.HasPrefix(s, statusPrefix) && statusOf(s) == ""
	})
}
