package hl7v2

import "strings"

// Delimiters are the characters that structure a message, from MSH-1 and MSH-2.
// A zero byte means that the role does not exist in the message: nothing is
// split by it and nothing can be escaped for it.
type Delimiters struct {
	Field        byte // MSH-1
	Component    byte // MSH-2, first character
	Repetition   byte // second
	Escape       byte // third
	Subcomponent byte // fourth
	Truncation   byte // fifth, from v2.7
}

// standard is the set every HL7 v2 specification recommends, and what an answer
// uses when the request's own set is incomplete.
const (
	standardField    = '|'
	standardEncoding = `^~\&`
	swappedEncoding  = `^&~\`
)

func standardDelimiters() Delimiters { return delimiters(standardField, standardEncoding) }

// delimiters gives the roles to the characters of MSH-2, in order.
func delimiters(field byte, encoding string) Delimiters {
	var c [5]byte
	copy(c[:], encoding)
	return Delimiters{Field: field, Component: c[0], Repetition: c[1], Escape: c[2], Subcomponent: c[3], Truncation: c[4]}
}

// String returns MSH-1 and MSH-2 as they are written, without missing roles.
func (d Delimiters) String() string {
	return strings.ReplaceAll(string([]byte{
		d.Field, d.Component, d.Repetition, d.Escape, d.Subcomponent, d.Truncation,
	}), "\x00", "")
}

// complete reports whether the four roles every message should have are there.
func (d Delimiters) complete() bool {
	return d.Component != 0 && d.Repetition != 0 && d.Escape != 0 && d.Subcomponent != 0
}

// guessDelimiters is the set to read a message with when its own MSH-2 is
// unusable: the standard one, less what the field separator takes away.
func guessDelimiters(field byte) Delimiters {
	d := delimiters(field, standardEncoding)
	for _, mark := range []*byte{&d.Component, &d.Repetition, &d.Escape, &d.Subcomponent} {
		if *mark == field {
			*mark = 0
		}
	}
	return d
}

// parseDelimiters reads the two header fields as section 2.2 of the reference
// says: field is MSH-1, encoding the whole of MSH-2.
func (p Parser) parseDelimiters(field byte, encoding string, warn *warningSet) (Delimiters, error) {
	switch {
	case encoding == standardEncoding && legalDelimiter(field):
		return delimiters(field, encoding), nil
	case encoding == "":
		return Delimiters{}, ErrNoDelimiters
	case encoding == swappedEncoding && !p.TrustMSH2:
		warn.add(SwappedDelimiters)
		encoding = standardEncoding
	case len(encoding) < len(standardEncoding):
		warn.add(ShortDelimiters)
	case len(encoding) > 5:
		warn.add(LongDelimiters)
		encoding = encoding[:5]
	}
	if !legalDelimiter(field) || !distinct(encoding) {
		return Delimiters{}, ErrDelimiters
	}
	return delimiters(field, encoding), nil
}

// distinct reports whether s consists of different legal delimiters. The field
// separator cannot be among them: it is what ended MSH-2.
func distinct(s string) bool {
	for i := range len(s) {
		if !legalDelimiter(s[i]) || strings.IndexByte(s[:i], s[i]) >= 0 {
			return false
		}
	}
	return true
}

// legalDelimiter reports whether c is ASCII punctuation. The quotation mark is
// not legal because two of them are the null value.
func legalDelimiter(c byte) bool {
	return c > ' ' && c < 0x7F && c != '"' && !isWordByte(c)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
