package hl7v2

import (
	"fmt"
	"strconv"
	"strings"
)

// Path names an element of a message. It is written
//
//	PID-3         field 3 of the first PID segment
//	PID-3[2]      its second repetition
//	PID-3.1       component 1 of its first repetition
//	PID-3[2].4.2  subcomponent 2 of component 4 of the second repetition
//
// with every number counted from 1. MSH counts as the standard does: MSH-1 is
// the field separator, MSH-2 the other delimiters, and the item after those is
// MSH-3.
//
// Paths are compiled once, at package level, with [MustPath]; reading by a Path
// parses nothing. The zero Path names nothing. Paths are comparable.
type Path struct {
	segment                             uint32 // packed name
	field                               uint16
	repetition, component, subcomponent uint16 // 0 when not named
}

const maxPathNumber = 9999

// MustPath is [ParsePath] for constants: it panics when s is not a path.
func MustPath(s string) Path {
	p, err := ParsePath(s)
	if err != nil {
		panic(err)
	}
	return p
}

// ParsePath compiles a path. Numbers are from 1 to 9999. The error is [ErrPath].
func ParsePath(s string) (Path, error) {
	name, rest, ok := strings.Cut(s, "-")
	if !ok || len(name) != 3 || !nameStart(name) {
		return Path{}, fmt.Errorf("hl7v2: parse path: segment name: %w", ErrPath)
	}
	p := Path{segment: packName(name)}
	if !pathNumber(&rest, &p.field) {
		return Path{}, fmt.Errorf("hl7v2: parse path: field number: %w", ErrPath)
	}
	if strings.HasPrefix(rest, "[") {
		rest = rest[1:]
		if !pathNumber(&rest, &p.repetition) || !strings.HasPrefix(rest, "]") {
			return Path{}, fmt.Errorf("hl7v2: parse path: repetition: %w", ErrPath)
		}
		rest = rest[1:]
	}
	for _, part := range []*uint16{&p.component, &p.subcomponent} {
		if strings.HasPrefix(rest, ".") {
			rest = rest[1:]
			if !pathNumber(&rest, part) {
				return Path{}, fmt.Errorf("hl7v2: parse path: component: %w", ErrPath)
			}
		}
	}
	if rest != "" {
		return Path{}, fmt.Errorf("hl7v2: parse path: after the end: %w", ErrPath)
	}
	return p, nil
}

// pathNumber takes a number from the front of s.
func pathNumber(s *string, n *uint16) bool {
	end := 0
	for end < len(*s) && isDigit((*s)[end]) {
		end++
	}
	v, err := strconv.ParseUint((*s)[:end], 10, 16)
	if err != nil || v < 1 || v > maxPathNumber || (*s)[0] == '0' {
		return false
	}
	*s, *n = (*s)[end:], uint16(v)
	return true
}

// String returns the path as it is written. Repetition 1 is written only where
// the path was given with it.
func (p Path) String() string {
	if p.segment == 0 {
		return ""
	}
	b := []byte{byte(p.segment >> 16), byte(p.segment >> 8), byte(p.segment), '-'}
	b = strconv.AppendUint(b, uint64(p.field), 10)
	if p.repetition > 0 {
		b = append(b, '[')
		b = strconv.AppendUint(b, uint64(p.repetition), 10)
		b = append(b, ']')
	}
	for _, part := range []uint16{p.component, p.subcomponent} {
		if part > 0 {
			b = append(b, '.')
			b = strconv.AppendUint(b, uint64(part), 10)
		}
	}
	return string(b)
}

// Field returns the path of the whole field that p lies in.
func (p Path) Field() Path { return Path{segment: p.segment, field: p.field} }

// Repetition returns p within repetition n of its field, from 1.
func (p Path) Repetition(n int) Path {
	p.repetition = uint16(min(max(n, 1), maxPathNumber))
	return p
}

// isMark reports whether p names a header field that holds delimiters, which
// is neither split nor unescaped.
func (p Path) isMark() bool {
	return p.field <= 2 && (p.segment == nameMSH || p.segment == nameBHS || p.segment == nameFHS)
}
