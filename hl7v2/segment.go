package hl7v2

import "strings"

// Segment is one segment of a message. The zero value is a segment that is not
// there: it has no name and no fields.
type Segment struct {
	m *Message
	i int
}

// Name returns the three-character name.
func (s Segment) Name() string {
	if s.m == nil {
		return ""
	}
	start := s.m.segs[s.i].start
	return s.m.text[start : start+3]
}

// Raw returns the segment as it is written, without its terminator.
func (s Segment) Raw() string {
	if s.m == nil {
		return ""
	}
	at := s.m.segs[s.i]
	return s.m.text[at.start:at.end]
}

// Field returns the repetitions of field n, none when it is absent or has
// nothing in it. MSH-1 and MSH-2 are not split and are read by [Message.Raw].
func (s Segment) Field(n int) []Repetition {
	if s.m == nil || s.m.segs[s.i].isHeader() && n <= 2 {
		return nil
	}
	start, end, ok := s.m.field(s.i, n)
	if !ok {
		return nil
	}
	return s.m.repetitions(s.m.text[start:end])
}

// Repetition is one repetition of a field. The zero value is empty.
type Repetition struct {
	m   *Message
	raw string
}

// Raw returns the repetition as it is written.
func (r Repetition) Raw() string { return r.raw }

// Component returns the text of component n, from 1: of its first subcomponent
// when it has several. It is "" when that is absent, empty or null.
func (r Repetition) Component(n int) string { return r.Sub(n, 1) }

// Sub returns the text of subcomponent s of component c, both from 1.
func (r Repetition) Sub(c, s int) string {
	if r.m == nil || c < 1 || s < 1 {
		return ""
	}
	raw, _ := nth(r.raw, r.m.delims.Component, c)
	raw, _ = nth(raw, r.m.delims.Subcomponent, s)
	return r.m.leafText(raw)
}

// Joined returns the text of component n with its subcomponents joined by '&',
// for names and addresses in which an '&' was not escaped.
func (r Repetition) Joined(n int) string {
	if r.m == nil || n < 1 {
		return ""
	}
	raw, _ := nth(r.raw, r.m.delims.Component, n)
	mark := r.m.delims.Subcomponent
	i := strings.IndexByte(raw, mark)
	if mark == 0 || i < 0 {
		return r.m.leafText(raw)
	}
	var b strings.Builder
	for ; i >= 0; i = strings.IndexByte(raw, mark) {
		b.WriteString(r.m.leafText(raw[:i]))
		b.WriteByte('&')
		raw = raw[i+1:]
	}
	b.WriteString(r.m.leafText(raw))
	return b.String()
}

// IsNull reports whether the repetition is the explicit null, "".
func (r Repetition) IsNull() bool { return r.m != nil && r.m.presence(r.raw) == Null }

// IsEmpty reports whether nothing is written but delimiters.
func (r Repetition) IsEmpty() bool { return r.m == nil || r.m.presence(r.raw) == Empty }
