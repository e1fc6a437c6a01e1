package hl7v2

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// codec turns values as they are written into text and back: the escapes of
// section 2.3 and the character set of section 2.5 of the reference.
type codec struct {
	delims  Delimiters
	charset Charset
}

const fs = 0x1C // the MLLP end mark, which the wire can leave inside a message

// unescape returns the text of a leaf value. unsupported reports whether an
// escape sequence was left as it stands because this package does not know
// what it stands for.
func (c codec) unescape(raw string) (text string, unsupported bool) {
	i := c.firstSpecial(raw)
	if i < 0 {
		return raw, false
	}
	out := append(make([]byte, 0, len(raw)), raw[:i]...)
	for i < len(raw) {
		switch b := raw[i]; {
		case b == fs:
			i++
		case b == c.delims.Escape && b != 0:
			n, known := 0, true
			out, n, known = c.appendSequence(out, raw[i:])
			unsupported = unsupported || !known
			i += n
		default:
			out = append(out, b)
			i++
		}
	}
	if c.charset.multi() {
		return string(out), unsupported
	}
	return c.charset.decode(string(out)), unsupported
}

// firstSpecial returns the offset of the first byte that is not its own text.
func (c codec) firstSpecial(s string) int {
	for i := range len(s) {
		if b := s[i]; b >= utf8.RuneSelf || b == fs || b == c.delims.Escape && b != 0 {
			return i
		}
	}
	return -1
}

// appendSequence decodes the escape sequence that s begins with and returns
// how many bytes of s it used. What is no sequence stands for itself: then
// only the escape character is used, so that a stray one does not hide a true
// sequence after it.
func (c codec) appendSequence(dst []byte, s string) (out []byte, n int, known bool) {
	end := strings.IndexByte(s[1:], c.delims.Escape)
	if end < 0 {
		return append(dst, s[0]), 1, true
	}
	body, n := s[1:1+end], end+2
	if end == 1 {
		if mark, ok := c.delims.named(body[0]); ok {
			return append(dst, mark...), n, true
		}
	}
	if end > 1 {
		switch body[0] {
		case 'X':
			if out, ok := c.appendHex(dst, body[1:]); ok {
				return out, n, true
			}
		case '.':
			if mark, ok := formatting(body[1:]); ok {
				return append(dst, mark...), n, true
			}
		case 'C', 'M', 'Z':
			if body[0] == 'Z' || isHex(body[1:]) {
				return append(dst, s[:n]...), n, false
			}
		}
	}
	return append(dst, s[0]), 1, true
}

// named returns what the one-letter sequences stand for.
func (d *Delimiters) named(letter byte) (string, bool) {
	var mark byte
	switch letter {
	case 'F':
		mark = d.Field
	case 'S':
		mark = d.Component
	case 'T':
		mark = d.Subcomponent
	case 'R':
		mark = d.Repetition
	case 'E':
		mark = d.Escape
	case 'P':
		mark = d.Truncation
	case 'H', 'N': // highlighting has no place in text
		return "", true
	}
	if mark == 0 {
		return "", false
	}
	return string(rune(mark)), true
}

// formatting returns the text that a formatting command of FT data leaves: a
// line break, a space, or nothing.
func formatting(command string) (string, bool) {
	name, _, _ := strings.Cut(command, " ")
	name = strings.TrimRight(name, "+-0123456789")
	switch name {
	case "br", "sp", "ce":
		return "\n", true
	case "in", "ti", "sk":
		return " ", true
	case "fi", "nf":
		return "", true
	}
	return "", false
}

// appendHex decodes pairs of hex digits, which are bytes in the message's set.
func (c codec) appendHex(dst []byte, digits string) ([]byte, bool) {
	if len(digits)%2 != 0 || !isHex(digits) {
		return dst, false
	}
	bytes := make([]byte, 0, len(digits)/2)
	for ; digits != ""; digits = digits[2:] {
		v, _ := strconv.ParseUint(digits[:2], 16, 8) // isHex has looked
		bytes = append(bytes, byte(v))
	}
	if c.charset.multi() {
		return append(dst, c.charset.decodeMulti(string(bytes))...), true
	}
	return append(dst, bytes...), true
}

func isHex(s string) bool {
	for i := range len(s) {
		if b := s[i] | 0x20; !isDigit(s[i]) && (b < 'a' || b > 'f') {
			return false
		}
	}
	return s != ""
}

// appendText appends text as a leaf value, and reports whether every character
// could be written as it is.
func (c codec) appendText(dst []byte, text string) (out []byte, exact bool) {
	exact = true
	for i := 0; i < len(text); {
		run := i
		for i < len(text) && isWordByte(text[i]) {
			i++
		}
		dst = append(dst, text[run:i]...)
		if i == len(text) {
			break
		}
		if b := text[i]; b < utf8.RuneSelf {
			dst = c.appendASCII(dst, b)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		if out, ok := c.charset.appendExact(dst, r); ok {
			dst = out
			continue
		}
		dst, exact = c.appendFolded(dst, r), false
	}
	return dst, exact
}

// appendFolded appends what stands for a character that the set lacks. That can
// be a delimiter of the message like any other text.
func (c codec) appendFolded(dst []byte, r rune) []byte {
	for _, f := range foldRune(r) {
		if f < utf8.RuneSelf {
			dst = c.appendASCII(dst, byte(f))
		} else if out, ok := c.charset.appendExact(dst, f); ok {
			dst = out
		} else {
			dst = c.appendASCII(dst, '?')
		}
	}
	return dst
}

// isWordByte reports whether b is a letter, a digit or a space, which no
// message can have as a delimiter.
func isWordByte(b byte) bool {
	return b == ' ' || isDigit(b) || isUpper(b) || 'a' <= b && b <= 'z'
}

// appendASCII appends one character, escaped where the message needs that.
// Without an escape character what would be structure becomes a space.
func (c codec) appendASCII(dst []byte, b byte) []byte {
	letter := byte(0)
	switch {
	case b == '\r':
		return c.appendEscape(dst, "X0D")
	case b == '\n':
		return c.appendEscape(dst, "X0A")
	case b < ' ' && b != '\t' || b == 0x7F:
		return append(dst, ' ')
	case b == c.delims.Escape:
		letter = 'E'
	case b == c.delims.Field:
		letter = 'F'
	case b == c.delims.Component:
		letter = 'S'
	case b == c.delims.Repetition:
		letter = 'R'
	case b == c.delims.Subcomponent:
		letter = 'T'
	case b == c.delims.Truncation:
		letter = 'P'
	default:
		return append(dst, b)
	}
	return c.appendEscape(dst, string(rune(letter)))
}

func (c codec) appendEscape(dst []byte, body string) []byte {
	if c.delims.Escape == 0 {
		return append(dst, ' ')
	}
	dst = append(dst, c.delims.Escape)
	dst = append(dst, body...)
	return append(dst, c.delims.Escape)
}

// appendRaw appends a value that is already written in the codec's delimiters.
// A byte that would end the field, the segment or the frame is made harmless:
// a raw value can come from a request whose structure was another.
func (c codec) appendRaw(dst []byte, raw string) []byte {
	run := 0
	for i := range len(raw) {
		b := raw[i]
		if b >= ' ' && b != c.delims.Field || b == '\n' || b == '\t' {
			continue
		}
		dst = append(dst, raw[run:i]...)
		if b == c.delims.Field || b == '\r' {
			dst = c.appendASCII(dst, b)
		} else {
			dst = append(dst, ' ')
		}
		run = i + 1
	}
	return append(dst, raw[run:]...)
}

// translate rewrites a raw field from one set of delimiters to another.
func (c codec) translate(raw string, to codec) string {
	var out []byte
	for start := 0; ; {
		i, mark := c.nextMark(raw[start:], to.delims)
		text, _ := c.unescape(raw[start : start+i])
		out, _ = to.appendText(out, text)
		if start += i; start == len(raw) {
			return string(out)
		}
		out = append(out, mark)
		start++
	}
}

// nextMark returns the offset of the first delimiter within a field, or the
// length of raw, and what the delimiter is written as in the other set.
func (c codec) nextMark(raw string, to Delimiters) (int, byte) {
	for i := range len(raw) {
		switch b := raw[i]; {
		case b == 0:
		case b == c.delims.Component:
			return i, to.Component
		case b == c.delims.Repetition:
			return i, to.Repetition
		case b == c.delims.Subcomponent:
			return i, to.Subcomponent
		}
	}
	return len(raw), 0
}
