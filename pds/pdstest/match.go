package pdstest

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"spinetrace/pds"
)

// maxName is how many characters of a name a national record holds (product.md 4.6 x).
const maxName = 35

// entry is a record with its names and dates as they are compared.
type entry struct {
	Person
	families  []string // the name of today, then a former one
	given     []string // every word of every given name
	postcodes []string // of today's address, then of a former one; "" where none is held
	born      interval
	died      interval
}

func newEntry(p Person) entry {
	e := entry{
		Person:    p,
		families:  []string{normalise(p.Record.Family)},
		postcodes: []string{squeeze(p.Record.Home.Postcode)},
		born:      intervalOf(p.Record.BirthDate),
	}
	// What is no date, such as "", leaves the interval empty.
	died, _ := pds.ParseDate(p.Record.DeathTime[:min(8, len(p.Record.DeathTime))])
	e.died = intervalOf(died)
	if former := normalise(p.FormerFamily); former != "" && former != e.families[0] {
		e.families = append(e.families, former)
	}
	if former := squeeze(p.FormerPostcode); former != "" {
		e.postcodes = append(e.postcodes, former)
	}
	for _, name := range p.Record.Given {
		for _, word := range strings.Fields(name) {
			e.given = append(e.given, normalise(word))
		}
	}
	return e
}

// contradicts names the first field of who that disagrees with the record, or "". The
// order is that of pds-fhir.md section 9.2. A birth date that the record holds in part
// verifies nobody.
func (e *entry) contradicts(who pds.Demographics) string {
	family, given := normalise(who.Family), firstWord(who.Given)
	switch {
	case e.Record.BirthDate != who.BirthDate:
		return "birth date"
	case family != "" && !slices.Contains(e.families, family):
		return "family name"
	case given != "" && !e.hasGiven(given):
		return "given name"
	case opposite(who.Sex, e.Record.Sex):
		return "sex"
	case !e.Restricted && !e.Record.Home.IsZero() && !agrees(squeeze(who.Postcode), e.postcodes[0]):
		return "postcode"
	}
	return ""
}

// hasGiven compares one word with every given name: equal, or one the beginning of the
// other with three letters at least in the shorter.
func (e *entry) hasGiven(word string) bool {
	return slices.ContainsFunc(e.given, func(name string) bool { return sameGiven(name, word) })
}

func sameGiven(name, word string) bool {
	shorter := min(utf8.RuneCountInString(name), utf8.RuneCountInString(word))
	return name == word ||
		shorter >= 3 && (strings.HasPrefix(name, word) || strings.HasPrefix(word, name))
}

// opposite tells whether one is male and the other female; nothing else conflicts.
func opposite(a, b pds.Sex) bool {
	return a == pds.SexMale && b == pds.SexFemale || a == pds.SexFemale && b == pds.SexMale
}

// agrees compares squeezed postcodes; nothing sent agrees with everything.
func agrees(sent, held string) bool { return sent == "" || sent == held }

func squeeze(postcode string) string {
	return strings.ToUpper(strings.ReplaceAll(postcode, " ", ""))
}

func firstWord(given string) string {
	for word := range strings.FieldsSeq(given) {
		return normalise(word)
	}
	return ""
}

// normalise prepares a name for comparison (pds-fhir.md section 9.2): 35 characters of
// it, without accents, apostrophes, hyphens, full stops and spaces, in capitals.
func normalise(name string) string {
	if utf8.RuneCountInString(name) > maxName {
		name = string([]rune(name)[:maxName])
	}
	if !ascii(name) {
		name = norm.NFKD.String(name)
	}
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) || unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) {
			return -1
		}
		switch r {
		case '.', '\'', '`', '‘', '’', '‛', 'ʼ', '′', '−':
			return -1
		}
		return r
	}, name))
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
