package pdsfhir

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"spinetrace/pds"
)

// maxName is what PDS holds of a name, in characters.
const maxName = 35

// check applies the input rules to a tidy request: those that every back end has, then
// those that this one cannot do without. The result says what is wrong when ok is false.
func (c *Client) check(req pds.Request) (res pds.Result, ok bool) {
	if res, ok := c.rules.Check(req); !ok {
		return res, false
	}
	who := req.Who
	searching := !byNumber(req)
	switch {
	case who.Sex != 0 && genders[who.Sex] == "":
		return refused("sex"), false
	case !printable(who.Family):
		return refused("family name has control characters"), false
	case !printable(who.Given):
		return refused("given name has control characters"), false
	case searching && normalise(who.Family) == "":
		return refused("family name has no letters"), false
	}
	return pds.Result{}, true
}

// byNumber tells whether the question starts from an NHS number.
func byNumber(req pds.Request) bool {
	switch req.Want {
	case pds.Verify, pds.DetailsByNumber:
		return true
	case pds.Details:
		return !req.NHSNumber.IsZero()
	default:
		return false
	}
}

func refused(field string) pds.Result {
	return pds.Result{Outcome: pds.Refused, Code: "SMSP-0001", Reason: "local check: " + field}
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// tidy removes white space that means nothing and writes the postcode in capitals. Names
// keep their accents, hyphens and apostrophes.
func tidy(req pds.Request) pds.Request {
	who := &req.Who
	who.Family = collapse(who.Family)
	who.Given = collapse(who.Given)
	who.Postcode = strings.ToUpper(collapse(who.Postcode))
	return req
}

func collapse(s string) string { return strings.Join(strings.Fields(s), " ") }

// shorten cuts names to what PDS holds. The notes say what was done.
func shorten(who *pds.Demographics) (notes []string) {
	if cut(&who.Family) {
		notes = append(notes, "family name cut to 35 characters")
	}
	if cut(&who.Given) {
		notes = append(notes, "given name cut to 35 characters")
	}
	return notes
}

func cut(s *string) bool {
	short := beginning(*s)
	changed := short != *s
	*s = short
	return changed
}

// beginning returns the first maxName characters, without a space at the end.
func beginning(s string) string {
	if utf8.RuneCountInString(s) <= maxName {
		return s
	}
	return strings.TrimRight(string([]rune(s)[:maxName]), " ")
}
