package hl7v2

import (
	"math/bits"
	"strings"
)

// segment is one segment's place in Message.text.
type segment struct {
	name       uint32 // the three characters, packed
	start, end int32  // without terminator
	first      int32  // where its fields are in Message.starts, -1 before the first use
}

// packName packs a three-character segment name into one comparable word.
func packName(s string) uint32 {
	_ = s[2]
	return uint32(s[0])<<16 | uint32(s[1])<<8 | uint32(s[2])
}

const (
	nameMSH = 'M'<<16 | 'S'<<8 | 'H'
	nameBHS = 'B'<<16 | 'H'<<8 | 'S'
	nameFHS = 'F'<<16 | 'H'<<8 | 'S'
)

// isHeader reports whether field 1 of the segment is the separator itself.
func (s *segment) isHeader() bool {
	return s.name == nameMSH || s.name == nameBHS || s.name == nameFHS
}

// segmentStart reports whether s begins like a segment: a name, then the field
// separator.
func segmentStart(s string, field byte) bool {
	return len(s) > 3 && s[3] == field && nameStart(s)
}

// nameStart reports whether s begins with three characters that can be a
// segment name.
func nameStart(s string) bool {
	return len(s) >= 3 && isUpper(s[0]) && isNameByte(s[1]) && isNameByte(s[2])
}

func isNameByte(c byte) bool { return isUpper(c) || isDigit(c) }

// index finds the segments of m.text from offset on. terminator decides what
// ends them, and a line that is no segment is a fault unless lenient.
func (m *Message) index(offset int, lenient bool) error {
	m.segs, m.starts = m.segArray[:0], m.startArray[:0]
	end := byte('\r')
	if m.hasLF {
		end = m.terminator(offset)
	}
	for offset < len(m.text) {
		next := m.lineEnd(offset, end)
		if err := m.addLine(offset, next, end, lenient); err != nil {
			return err
		}
		offset = next + 1
	}
	return nil
}

// terminator applies the rule of section 2.1: CR if any CR is followed by
// something like a segment, else LF if any LF is, else CR.
func (m *Message) terminator(offset int) byte {
	end := byte('\r')
	for i := offset; i < len(m.text); i++ {
		switch m.text[i] {
		case '\r':
			if segmentStart(strings.TrimLeft(m.text[i+1:], "\n"), m.delims.Field) {
				if strings.HasPrefix(m.text[i+1:], "\n") {
					m.warn.add(LineFeeds)
				}
				return '\r'
			}
		case '\n':
			if segmentStart(m.text[i+1:], m.delims.Field) {
				end = '\n'
			}
		}
	}
	if end == '\n' {
		m.warn.add(LineFeeds)
	}
	return end
}

// lineEnd returns the offset of the terminator of the line at offset, or the
// end of the text. A line feed ends a line only before another segment.
func (m *Message) lineEnd(offset int, end byte) int {
	for from := offset; ; {
		i := strings.IndexByte(m.text[from:], end)
		if i < 0 {
			return len(m.text)
		}
		from += i
		if end == '\r' || segmentStart(m.text[from+1:], m.delims.Field) {
			return from
		}
		from++
	}
}

// addLine records the line text[start:stop], unless it is blank. A name alone
// is a segment without fields.
func (m *Message) addLine(start, stop int, terminator byte, lenient bool) error {
	for start < stop && m.text[start] == '\n' { // the LF of CRLF, and blank lines
		start++
	}
	if terminator == '\n' || stop == len(m.text) { // ends that no segment follows
		for stop > start && (m.text[stop-1] == '\n' || m.text[stop-1] == '\r') {
			stop--
		}
	}
	line := m.text[start:stop]
	if !segmentStart(line, m.delims.Field) && (len(line) != 3 || !nameStart(line)) {
		if strings.Trim(line, " \t\x1c") == "" {
			return nil
		}
		if !lenient {
			return &ParseError{Offset: start, Err: ErrNotSegment}
		}
		m.warn.add(NotSegment)
		return nil
	}
	m.segs = append(m.segs, segment{name: packName(line), start: int32(start), end: int32(stop), first: -1})
	return nil
}

// split returns the fields of segment i as offsets into the text: field n is
// at [n-1] and ends one before [n], as if one more mark ended the last field.
func (m *Message) split(i int) []int32 {
	s := &m.segs[i]
	if s.first < 0 {
		s.first = int32(len(m.starts))
		starts := append(m.starts, 0) // how many follow, once that is known
		if s.end > s.start+3 {
			starts = appendStarts(append(starts, s.start+4), m.text[:s.end], int(s.start)+4, m.delims.Field)
		}
		m.starts = append(starts, s.end+1)
		m.starts[s.first] = int32(len(m.starts)) - s.first - 1
	}
	starts := m.starts[s.first:]
	return starts[1 : 1+starts[0]]
}

// fields returns how many fields segment i has.
func (m *Message) fields(i int) int {
	n := len(m.split(i)) - 1
	if m.segs[i].isHeader() {
		n++ // the separator is a field of its own
	}
	return n
}

// appendStarts appends the offset after each mark in s from pos on. It looks at
// eight bytes at a time: most fields are shorter than a call is long.
func appendStarts(starts []int32, s string, pos int, mark byte) []int32 {
	const low = 0x7F7F7F7F7F7F7F7F
	marks := uint64(mark) * 0x0101010101010101
	for ; pos+8 <= len(s); pos += 8 {
		x := load64(s[pos:]) ^ marks // a zero byte is a mark
		hits := ^((x&low + low) | x | low)
		for ; hits != 0; hits &= hits - 1 {
			starts = append(starts, int32(pos+bits.TrailingZeros64(hits)/8+1))
		}
	}
	for ; pos < len(s); pos++ {
		if s[pos] == mark {
			starts = append(starts, int32(pos+1))
		}
	}
	return starts
}

// load64 returns the first eight bytes of s in little-endian order.
func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// field returns the place of field n of segment i, and whether it is there.
func (m *Message) field(i, n int) (start, end int, ok bool) {
	at := m.split(i)
	if s := &m.segs[i]; s.isHeader() {
		if n == 1 {
			return int(s.start) + 3, int(s.start) + 4, s.end > s.start+3
		}
		n--
	}
	if n < 1 || n >= len(at) {
		return 0, 0, false
	}
	return int(at[n-1]), int(at[n]) - 1, true
}

// find returns the index of the first segment of that name, or -1.
func (m *Message) find(name uint32) int {
	if m == nil {
		return -1
	}
	for i := range m.segs {
		if m.segs[i].name == name {
			return i
		}
	}
	return -1
}
