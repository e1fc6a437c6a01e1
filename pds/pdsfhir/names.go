package pdsfhir

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"spinetrace/pds"
)

// A name is one entry of a record's names.
type name struct {
	current bool // neither an old nor a maiden name
	family  string
	given   []string
}

// likeness is how two names are compared (section 9.2).
type likeness struct {
	familyPart   bool
	givenInitial bool
}

// family compares a family name as sent with one that is held. A final "*" asks for the
// beginning only.
func (l likeness) family(sent, held string) bool {
	want, wild := stem(sent)
	got := normalise(beginning(held))
	if wild {
		return want != "" && strings.HasPrefix(got, want)
	}
	return want == got || l.familyPart && hasPart(held, want)
}

// stem normalises a name as sent. A final "*" is no part of it: wild. Other characters become
// asterisks only when they are normalised; they ask for nothing.
func stem(sent string) (want string, wild bool) {
	sent, wild = strings.CutSuffix(sent, "*")
	return normalise(sent), wild
}

// hasPart tells whether want is one part of a hyphenated or spaced family name.
func hasPart(held, want string) bool {
	for part := range strings.FieldsFuncSeq(held, func(r rune) bool { return unicode.IsSpace(r) || hyphen(r) }) {
		if normalise(part) == want {
			return true
		}
	}
	return false
}

// given compares the first word sent with every word held: equal, or one the beginning of
// the other, with three letters at least in the shorter.
func (l likeness) given(sent string, held []string) bool {
	want, wild := stem(firstWord(sent))
	for _, entry := range held {
		for word := range strings.FieldsSeq(entry) {
			got := normalise(word)
			if wild && want != "" && strings.HasPrefix(got, want) || !wild && l.word(want, got) {
				return true
			}
		}
	}
	return false
}

func (l likeness) word(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	switch n := utf8.RuneCountInString(a); {
	case n == 0:
		return false
	case a == b:
		return true
	case n == 1:
		return l.givenInitial && strings.HasPrefix(b, a)
	default:
		return n >= 3 && strings.HasPrefix(b, a)
	}
}

// namesake is which name of a record agrees with the one sent.
type namesake uint8

const (
	familyDiffers namesake = iota + 1
	givenDiffers
	noneSent      // nothing to compare
	currentAgrees // with a current name
	formerAgrees  // with an old or maiden name
)

func (n namesake) agrees() bool { return n >= noneSent }

var namesakes = [...]string{
	familyDiffers: "family name differs",
	givenDiffers:  "given name differs",
	noneSent:      "no name sent",
	currentAgrees: "name agrees",
	formerAgrees:  "name agrees with a former name",
}

func (n namesake) String() string { return namesakes[n] }

// compare looks for a name that agrees with who, a current one by preference. The given
// name has to belong to the same entry as the family name. What is empty once it is
// normalised was not sent.
func (l likeness) compare(who pds.Demographics, names []name) namesake {
	noFamily, noGiven := normalise(who.Family) == "", normalise(firstWord(who.Given)) == ""
	if noFamily && noGiven {
		return noneSent
	}
	best := familyDiffers
	for _, n := range names {
		switch {
		case !noFamily && !l.family(who.Family, n.family):
		case !noGiven && !l.given(who.Given, n.given):
			best = max(best, givenDiffers)
		case n.current:
			return currentAgrees
		default:
			best = formerAgrees
		}
	}
	if noFamily && best == familyDiffers {
		return givenDiffers // there is no name at all
	}
	return best
}

func firstWord(given string) string {
	for word := range strings.FieldsSeq(given) {
		return word
	}
	return ""
}

// normalise prepares a name for comparison: without accents, apostrophes, hyphens, full
// stops and spaces, in capitals.
func normalise(s string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.M, r) || unicode.IsSpace(r) || hyphen(r) || apostrophe(r) || r == '.' {
			return -1
		}
		return r
	}, norm.NFKD.String(s)))
}

func hyphen(r rune) bool {
	return unicode.Is(unicode.Pd, r) || r == '\u00AD' || r == '\u2212' || r == '\u2043'
}

func apostrophe(r rune) bool {
	return strings.ContainsRune("'`´‘’‛′ʹʻʼʽˈ", r)
}

// squeeze prepares a postcode for comparison.
func squeeze(postcode string) string {
	return strings.ToUpper(strings.Join(strings.Fields(postcode), ""))
}
