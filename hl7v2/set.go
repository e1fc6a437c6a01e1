package hl7v2

import (
	"fmt"
	"math"
	"strings"
)

// Set writes text at p, escaped and in the message's character set. Parts that
// are missing on the way are added; every other byte stays as it is. A path
// that names no more than a field replaces all its repetitions by one. Setting
// MSH-18 does not recode the message.
//
// The error is [ErrNoSegment] when the segment is missing and [ErrUnwritable]
// when the message's delimiters cannot express the change.
func (m *Message) Set(p Path, text string) error {
	if m.delims.Escape == 0 && m.needsEscape(text) {
		return fmt.Errorf("hl7v2: set %s: %w", p, ErrUnwritable)
	}
	return m.SetRaw(p, m.Escape(text))
}

// needsEscape reports whether text holds a delimiter or a line end.
func (m *Message) needsEscape(text string) bool {
	for i := range len(text) {
		if c := text[i]; c == m.delims.Field || c == '\r' || c == '\n' || m.isMark(c) {
			return true
		}
	}
	return false
}

// SetRaw writes raw at p as it is, under the rules of [Message.Set]. A raw value
// must not hold a field separator or a line end.
func (m *Message) SetRaw(p Path, raw string) error {
	i := m.find(p.segment)
	if i < 0 {
		return fmt.Errorf("hl7v2: set %s: %w", p, ErrNoSegment)
	}
	if p.field == 0 || p.isMark() || strings.IndexByte(raw, m.delims.Field) >= 0 || strings.ContainsAny(raw, "\r\n") {
		return fmt.Errorf("hl7v2: set %s: %w", p, ErrUnwritable)
	}
	e := edit{at: int(m.segs[i].start)}
	e.field(m, i, int(p.field))
	ok := p.repetition == 0 && p.component == 0 || e.part(m.text, m.delims.Repetition, max(int(p.repetition), 1))
	ok = ok && (p.component == 0 || e.part(m.text, m.delims.Component, int(p.component)))
	ok = ok && (p.subcomponent == 0 || e.part(m.text, m.delims.Subcomponent, int(p.subcomponent)))
	if !ok {
		return fmt.Errorf("hl7v2: set %s: %w", p, ErrUnwritable)
	}
	return m.replace(i, e, raw)
}

// edit is the stretch of text to be replaced, and the delimiters that have to
// be written before the new value to reach its place.
type edit struct {
	at, end int
	padding []byte
}

// field narrows the edit to a field of segment i.
func (e *edit) field(m *Message, i, n int) {
	start, end, ok := m.field(i, n)
	if ok {
		e.at, e.end = start, end
		return
	}
	e.at = int(m.segs[i].end)
	e.end = e.at
	e.pad(m.delims.Field, n-m.fields(i))
}

// part narrows the edit to part n of what it covers, and reports whether the
// message has the delimiter that this takes.
func (e *edit) part(text string, mark byte, n int) bool {
	if mark == 0 {
		return n == 1
	}
	for ; n > 1; n-- {
		i := strings.IndexByte(text[e.at:e.end], mark)
		if i < 0 {
			e.at = e.end
			e.pad(mark, n-1)
			return true
		}
		e.at += i + 1
	}
	if i := strings.IndexByte(text[e.at:e.end], mark); i >= 0 {
		e.end = e.at + i
	}
	return true
}

func (e *edit) pad(mark byte, n int) {
	for range n {
		e.padding = append(e.padding, mark)
	}
}

// replace carries out an edit in segment i. The other segments only move: no
// value that is written adds or removes a line.
func (m *Message) replace(i int, e edit, raw string) error {
	text := m.text[:e.at] + string(e.padding) + raw + m.text[e.end:]
	if len(text) > math.MaxInt32 {
		return fmt.Errorf("hl7v2: set: %w", ErrTooLarge)
	}
	grown := int32(len(text) - len(m.text))
	m.segs[i].end += grown
	for j := range m.segs[i+1:] {
		m.segs[i+1+j].start += grown
		m.segs[i+1+j].end += grown
	}
	for j := range m.segs {
		m.segs[j].first = -1
	}
	m.starts = m.startArray[:0]
	m.text, m.input = text, ""
	m.plain = m.plain && m.codec().firstSpecial(raw) < 0
	return nil
}
