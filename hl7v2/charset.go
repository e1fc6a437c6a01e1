package hl7v2

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/unicode/norm"
)

// A Charset is a character set of table 0211 that a message can be read in.
// The zero value is UTF-8.
type Charset uint8

// The character sets. Latin1 is read as Windows-1252, whose extra characters
// senders use in spite of what they declare, and written as ISO-8859-1.
const (
	UTF8 Charset = iota
	ASCII
	Windows1252
	Latin1
	Latin2
	Latin3
	Latin4
	Cyrillic
	Arabic
	Greek
	Hebrew
	Latin5
	Latin9
	GB18030
	Big5
	EUCKR
	ISO2022JP

	charsets
)

// charsetTable holds what each set is called outside HL7 and how it is read
// and written. Sets without read and write are handled in code.
var charsetTable = [charsets]struct {
	iana        string
	read, write *charmap.Charmap  // single-byte
	multi       encoding.Encoding // multi-byte, read as a whole
}{
	UTF8:        {iana: "UTF-8"},
	ASCII:       {iana: "US-ASCII"},
	Windows1252: {iana: "windows-1252", read: charmap.Windows1252, write: charmap.Windows1252},
	Latin1:      {iana: "ISO-8859-1", read: charmap.Windows1252, write: charmap.ISO8859_1},
	Latin2:      {iana: "ISO-8859-2", read: charmap.ISO8859_2, write: charmap.ISO8859_2},
	Latin3:      {iana: "ISO-8859-3", read: charmap.ISO8859_3, write: charmap.ISO8859_3},
	Latin4:      {iana: "ISO-8859-4", read: charmap.ISO8859_4, write: charmap.ISO8859_4},
	Cyrillic:    {iana: "ISO-8859-5", read: charmap.ISO8859_5, write: charmap.ISO8859_5},
	Arabic:      {iana: "ISO-8859-6", read: charmap.ISO8859_6, write: charmap.ISO8859_6},
	Greek:       {iana: "ISO-8859-7", read: charmap.ISO8859_7, write: charmap.ISO8859_7},
	Hebrew:      {iana: "ISO-8859-8", read: charmap.ISO8859_8, write: charmap.ISO8859_8},
	Latin5:      {iana: "ISO-8859-9", read: charmap.ISO8859_9, write: charmap.ISO8859_9},
	Latin9:      {iana: "ISO-8859-15", read: charmap.ISO8859_15, write: charmap.ISO8859_15},
	GB18030:     {iana: "GB18030", multi: simplifiedchinese.GB18030},
	Big5:        {iana: "Big5", multi: traditionalchinese.Big5},
	EUCKR:       {iana: "EUC-KR", multi: korean.EUCKR},
	ISO2022JP:   {iana: "ISO-2022-JP", multi: japanese.ISO2022JP},
}

// charsetNames maps the spellings of MSH-18 seen in feeds, as [foldCharset]
// leaves them.
var charsetNames = map[string]Charset{
	"ASCII": ASCII, "USASCII": ASCII, "ISOIR6": ASCII,
	"UNICODEUTF8": UTF8, "UTF8": UTF8, "UNICODE": UTF8,
	"88591": Latin1, "88592": Latin2, "88593": Latin3, "88594": Latin4,
	"88595": Cyrillic, "88596": Arabic, "88597": Greek, "88598": Hebrew,
	"88599": Latin5, "885915": Latin9,
	"WINDOWS1252": Windows1252, "CP1252": Windows1252,
	"GB180302000": GB18030, "GB18030": GB18030,
	"BIG5": Big5, "KSX1001": EUCKR,
	"ISOIR14": ISO2022JP, "ISOIR87": ISO2022JP, "ISOIR159": ISO2022JP,
}

// wideNames are the sets that cannot travel over MLLP.
var wideNames = map[string]bool{
	"UNICODEUTF16": true, "UNICODEUTF32": true, "UTF16": true, "UTF32": true,
}

// String returns the IANA name of the set.
func (c Charset) String() string {
	if c >= charsets {
		return "unknown"
	}
	return charsetTable[c].iana
}

// multi reports whether messages in the set are transcoded before they are
// split, because the second byte of a character can look like a delimiter.
func (c Charset) multi() bool { return charsetTable[c].multi != nil }

// foldCharset removes what spellings of one set differ by.
func foldCharset(name string) string {
	fold := func(r rune) rune {
		switch r {
		case ' ', '-', '_', '/':
			return -1
		}
		return unicode.ToUpper(r)
	}
	folded := strings.Map(fold, name)
	if rest, ok := strings.CutPrefix(folded, "ISO8859"); ok {
		return "8859" + rest
	}
	return folded
}

// resolveCharset chooses the set that text is read in. name is MSH-18, ascii
// whether all of text is; the rules are those of section 2.5 of the reference.
func resolveCharset(name, text string, ascii bool, warn *warningSet) (c Charset, known bool) {
	folded := foldCharset(name)
	c, known = charsetNames[folded]
	switch {
	case known && c == UTF8:
		if !ascii && !utf8.ValidString(text) {
			warn.add(InvalidUTF8)
		}
		return UTF8, true
	case known && c == ASCII && !ascii:
		warn.add(HighBytes)
	case known:
		return c, true
	case wideNames[folded]:
		warn.add(WideCharset)
	case folded != "":
		warn.add(UnknownCharset)
	}
	if ascii || utf8.ValidString(text) {
		return UTF8, folded == ""
	}
	return Windows1252, folded == ""
}

// isASCII reports whether no byte of s is above 0x7F.
func isASCII(s string) bool {
	const high = 0x8080808080808080
	for ; len(s) >= 16; s = s[16:] {
		if (load64(s)|load64(s[8:]))&high != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// looksWide reports whether b is UTF-16 or UTF-32 text.
func looksWide(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	mark := b[0] == 0xFE && b[1] == 0xFF || b[0] == 0xFF && b[1] == 0xFE
	return mark || b[0] == 'M' && b[1] == 0 || b[0] == 0 && (b[1] == 'M' || b[1] == 0)
}

// decode returns bytes of a single-byte set or UTF-8 as UTF-8. A value that is
// not UTF-8 where it should be is read as Windows-1252.
func (c Charset) decode(s string) string {
	table := charsetTable[c].read
	if table == nil {
		if utf8.ValidString(s) {
			return s
		}
		table = charmap.Windows1252
	}
	out := make([]byte, 0, len(s)+len(s)/2)
	for i := range len(s) {
		out = utf8.AppendRune(out, table.DecodeByte(s[i]))
	}
	return string(out)
}

// decodeMulti transcodes text of a multi-byte set. It never fails: what the
// set lacks becomes U+FFFD.
func (c Charset) decodeMulti(s string) string {
	out, err := charsetTable[c].multi.NewDecoder().String(s)
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return out
}

// encodeMulti encodes a whole message of a multi-byte set. Only what could not
// be decoded, U+FFFD, can lack an encoding, and becomes a question mark.
func (c Charset) encodeMulti(s string) []byte {
	const substitute = "\x1a" // what the encoders write for it
	encoder := encoding.ReplaceUnsupported(charsetTable[c].multi.NewEncoder())
	out, err := encoder.String(s)
	if err != nil {
		return []byte(s)
	}
	return []byte(strings.ReplaceAll(out, substitute, "?"))
}

// appendExact appends r in the set, and reports whether it is there. Text of a
// multi-byte set stays UTF-8 until the message is complete.
func (c Charset) appendExact(dst []byte, r rune) ([]byte, bool) {
	switch t := &charsetTable[c]; {
	case r < utf8.RuneSelf:
		return append(dst, byte(r)), true
	case c == UTF8:
		return utf8.AppendRune(dst, r), true
	case t.write != nil:
		b, ok := t.write.EncodeRune(r)
		if !ok {
			return dst, false
		}
		return append(dst, b), true
	case t.multi != nil:
		if _, err := t.multi.NewEncoder().String(string(r)); err != nil {
			return dst, false
		}
		return utf8.AppendRune(dst, r), true
	}
	return dst, false
}

// plainForms are characters without an accent that would decompose.
var plainForms = map[rune]string{
	'‘': "'", '’': "'", 'ʼ': "'", '“': `"`, '”': `"`, '‐': "-", '‑': "-", '–': "-", '—': "-",
	'\u00A0': " ", 'ß': "ss", 'Æ': "AE", 'æ': "ae", 'Œ': "OE", 'œ': "oe", 'Ø': "O", 'ø': "o",
	'Đ': "D", 'đ': "d", 'Ð': "D", 'ð': "d", 'Ł': "L", 'ł': "l", 'ı': "i", 'Þ': "Th", 'þ': "th",
}

// foldRune returns r without its accent, or a question mark.
func foldRune(r rune) string {
	if plain, ok := plainForms[r]; ok {
		return plain
	}
	base, _ := utf8.DecodeRuneInString(norm.NFD.String(string(r)))
	if base != r && base != utf8.RuneError {
		return string(base)
	}
	return "?"
}
