package pdstest

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"spinetrace/pds"
)

// maxName is how many characters of a name a national record holds (product.md 4.6 x).
const maxName = 35

// entry is a record with its names as they are compared.
type entry struct {
	Person
	family   string
	given    []string // every word of every given name
	postcode string
}

func newEntry(p Person) entry {
	e := entry{Person: p, family: normalise(p.Record.Family), postcode: squeeze(p.Record.Home.Postcode)}
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
	case family != "" && family != e.family:
		return "family name"
	case given != "" && !e.hasGiven(given):
		return "given name"
	case opposite(who.Sex, e.Record.Sex):
		return "sex"
	case !e.Restricted && e.postcode != "" && !agrees(squeeze(who.Postcode), e.postcode):
		return "postcode"
	}
	return ""
}

// answers tells whether a record whose family name agrees is one that who asks for.
func (e *entry) answers(who pds.Demographics) bool {
	given, postcode := firstWord(who.Given), squeeze(who.Postcode)
	return strings.HasPrefix(e.Record.BirthDate.Digits(), who.BirthDate.Digits()) &&
		!opposite(who.Sex, e.Record.Sex) &&
		(given == "" || e.hasGiven(given)) &&
		(postcode == "" || !e.Restricted && e.postcode != "" && agrees(postcode, e.postcode))
}

// hasGiven compares one word with every given name: equal, or one the beginning of the
// other with three letters at least in the shorter. A final "*" asks for the beginning.
func (e *entry) hasGiven(word string) bool {
	stem, wild := strings.CutSuffix(word, "*")
	for _, name := range e.given {
		shorter := min(utf8.RuneCountInString(name), utf8.RuneCountInString(word))
		if name == word || wild && strings.HasPrefix(name, stem) || shorter >= 3 &&
			(strings.HasPrefix(name, word) || strings.HasPrefix(word, name)) {
			return true
		}
	}
	return false
}

// opposite tells whether one is male and the other female; nothing else conflicts.
func opposite(a, b pds.Sex) bool {
	return a == pds.SexMale && b == pds.SexFemale || a == pds.SexFemale && b == pds.SexMale
}

// agrees compares squeezed postcodes; nothing sent agrees with everything.
func agrees(sent, held string) bool {
	if stem, wild := strings.CutSuffix(sent, "*"); wild {
		return strings.HasPrefix(held, stem)
	}
	return sent == "" || sent == held
}

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
