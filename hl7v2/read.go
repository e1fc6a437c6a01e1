package hl7v2

import "strings"

// null is the explicit null value: "delete what you have".
const null = `""`

// Presence tells the ways apart in which a message can lack a value.
type Presence uint8

// The presences. What is left of an element after its trailing delimiters
// decides: `|^^|` and `|~|` are Empty, `|""^|` is Null.
const (
	Absent Presence = iota // the segment, field, repetition or part is not written
	Empty                  // written, with nothing in it: no change
	Null                   // written as "", the explicit null: delete
	Valued                 // anything else
)

// String returns the name of the presence.
func (p Presence) String() string {
	switch p {
	case Absent:
		return "absent"
	case Empty:
		return "empty"
	case Null:
		return "null"
	case Valued:
		return "valued"
	}
	return "unknown"
}

// Get returns the text at p, unescaped and as UTF-8: of the leaf that p names,
// or of the first leaf when p names something that has parts. It is "" when the
// value is absent, empty or null; [Message.Lookup] tells these apart.
func (m *Message) Get(p Path) string {
	i := m.find(p.segment)
	if i < 0 {
		return ""
	}
	start, end, ok := m.field(i, int(p.field))
	if !ok {
		return ""
	}
	if p.isMark() {
		return m.text[start:end]
	}
	return m.leafText(m.leaf(m.text[start:end], p))
}

// leaf returns the first leaf of the part of a field that p names. It is
// element and firstLeaf in one pass, for the sake of [Message.Get].
func (m *Message) leaf(s string, p Path) string {
	d := &m.delims
	if p.repetition > 1 {
		s, _ = nth(s, d.Repetition, int(p.repetition))
	}
	component, sub, start := max(p.component, 1), max(p.subcomponent, 1), 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0: // what a missing role is compared as
			continue
		case c == d.Component && component > 1:
			component--
		case c == d.Subcomponent && component > 1:
			continue
		case c == d.Subcomponent && sub > 1:
			sub--
		case c == d.Component || c == d.Subcomponent || c == d.Repetition:
			if component > 1 || sub > 1 {
				return ""
			}
			return s[start:i]
		default:
			continue
		}
		start = i + 1
	}
	if component > 1 || sub > 1 {
		return ""
	}
	return s[start:]
}

// Lookup returns what [Message.Get] does, and whether the element that p names
// as a whole is there. `^^^NHS` read as "PID-3" is "" and Valued.
func (m *Message) Lookup(p Path) (string, Presence) {
	s, ok := m.element(p, true)
	if !ok {
		return "", Absent
	}
	if p.isMark() {
		return s, Valued
	}
	return m.leafText(m.firstLeaf(s)), m.presence(s)
}

// Raw returns the bytes at p as they are written: the whole field with all its
// repetitions when p names no more than a field, else one repetition or part.
// In a message of a multi-byte character set they are UTF-8.
func (m *Message) Raw(p Path) string {
	s, _ := m.element(p, p.repetition > 0 || p.component > 0)
	return s
}

// Truncated reports whether a value in the element at p ends in the truncation
// character of v2.7, that is, was cut by its sender.
func (m *Message) Truncated(p Path) bool {
	s, ok := m.element(p, p.repetition > 0 || p.component > 0)
	if !ok || p.isMark() || m.delims.Truncation == 0 {
		return false
	}
	mark := m.delims.Truncation
	for i := range len(s) {
		if s[i] == mark && (i+1 == len(s) || m.isMark(s[i+1])) {
			return true
		}
	}
	return false
}

// isMark reports whether c separates parts of a field.
func (m *Message) isMark(c byte) bool {
	return c != 0 && (c == m.delims.Component || c == m.delims.Repetition || c == m.delims.Subcomponent)
}

// Repetitions returns the repetitions of the field that p names, none when the
// field is absent or has nothing in it. The other parts of p are ignored.
func (m *Message) Repetitions(p Path) []Repetition {
	s, ok := m.element(p.Field(), false)
	if !ok {
		return nil
	}
	return m.repetitions(s)
}

func (m *Message) repetitions(field string) []Repetition {
	if m.presence(field) == Empty {
		return nil
	}
	mark := m.delims.Repetition
	n := 1
	if mark != 0 {
		n += strings.Count(field, string(rune(mark)))
	}
	list := make([]Repetition, 0, n)
	for ; n > 1; n-- {
		i := strings.IndexByte(field, mark)
		list = append(list, Repetition{m, field[:i]})
		field = field[i+1:]
	}
	return append(list, Repetition{m, field})
}

// element returns the raw element that p names and whether it is written. one
// asks for a single repetition where p names none.
func (m *Message) element(p Path, one bool) (string, bool) {
	i := m.find(p.segment)
	if i < 0 {
		return "", false
	}
	start, end, ok := m.field(i, int(p.field))
	if !ok {
		return "", false
	}
	s := m.text[start:end]
	if !one || p.isMark() {
		return s, true
	}
	if s, ok = nth(s, m.delims.Repetition, max(int(p.repetition), 1)); !ok || p.component == 0 {
		return s, ok
	}
	if s, ok = nth(s, m.delims.Component, int(p.component)); !ok || p.subcomponent == 0 {
		return s, ok
	}
	return nth(s, m.delims.Subcomponent, int(p.subcomponent))
}

// nth returns the part of s with number n, from 1, and whether there is one. A
// zero mark splits nothing.
func nth(s string, mark byte, n int) (string, bool) {
	if mark == 0 && n > 1 {
		return "", false
	}
	if mark == 0 {
		return s, true
	}
	for ; n > 1; n-- {
		i := strings.IndexByte(s, mark)
		if i < 0 {
			return "", false
		}
		s = s[i+1:]
	}
	if i := strings.IndexByte(s, mark); i >= 0 {
		s = s[:i]
	}
	return s, true
}

// firstLeaf returns what stands before the first delimiter.
func (m *Message) firstLeaf(s string) string {
	for i := range len(s) {
		if m.isMark(s[i]) {
			return s[:i]
		}
	}
	return s
}

// presence classifies an element that is written.
func (m *Message) presence(s string) Presence {
	end := len(s)
	for end > 0 && m.isMark(s[end-1]) {
		end--
	}
	switch s = s[:end]; {
	case s == "":
		return Empty
	case s == null:
		return Null
	}
	return Valued
}
