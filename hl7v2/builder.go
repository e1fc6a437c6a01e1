package hl7v2

import (
	"fmt"
	"strings"
)

// Builder writes a message segment by segment, each segment's fields in
// increasing order. It is begun by [Reply] or [Originate].
//
// Fields that are empty are not written, so a segment ends with its last field
// that is. Whatever the values hold, they cannot break the message's structure.
type Builder struct {
	codec   codec
	to      *Message
	foreign bool // raw values of the request have to be translated
	version string

	open     bool // a segment has been started
	at       int  // the last field begun in it
	replaced bool
	err      error

	buf   []byte
	array [320]byte // enough for an acknowledgement
}

// Segment ends the segment in hand and starts another. A name that is no
// segment name is an error.
func (b *Builder) Segment(name string) *Builder {
	if len(name) != 3 || !nameStart(name) {
		b.fail("segment name")
		return b
	}
	b.end()
	b.buf = append(b.buf, name...)
	b.open, b.at = true, 0
	return b
}

func (b *Builder) end() {
	if b.open {
		b.buf = append(b.buf, '\r')
	}
	b.open = false
}

// advance writes separators up to the field, and reports whether the field can
// be written.
func (b *Builder) advance(field int) bool {
	if !b.open || field <= b.at || field > maxPathNumber {
		b.fail("field order")
		return false
	}
	for ; b.at < field; b.at++ {
		b.buf = append(b.buf, b.codec.delims.Field)
	}
	return true
}

func (b *Builder) fail(what string) {
	if b.err == nil {
		b.err = fmt.Errorf("hl7v2: build: %s: %w", what, ErrUnwritable)
	}
}

// text appends a leaf value.
func (b *Builder) text(s string) {
	var exact bool
	b.buf, exact = b.codec.appendText(b.buf, s)
	b.replaced = b.replaced || !exact
}

// Text writes one value, escaped and in the message's character set. The text
// "" in quotation marks is the explicit null.
func (b *Builder) Text(field int, text string) *Builder {
	if text != "" && b.advance(field) {
		b.text(text)
	}
	return b
}

// Composite writes components, each escaped; empty ones at the end are left out.
func (b *Builder) Composite(field int, components ...string) *Builder {
	n := len(components)
	for n > 0 && components[n-1] == "" {
		n--
	}
	if n == 0 || !b.advance(field) {
		return b
	}
	for i, c := range components[:n] {
		if i > 0 {
			b.buf = append(b.buf, b.codec.delims.Component)
		}
		b.text(c)
	}
	return b
}

// Raw writes a value that is already in the message's delimiters and character
// set. Field separators and CR in it are escaped, and control bytes other than
// LF and TAB become spaces, so that nothing in it can end the field.
func (b *Builder) Raw(field int, raw string) *Builder {
	if raw != "" && b.advance(field) {
		b.buf = b.codec.appendRaw(b.buf, raw)
	}
	return b
}

// Join writes raw values as the repetitions of one field.
func (b *Builder) Join(field int, raws []string) *Builder {
	if len(raws) == 0 || !b.advance(field) {
		return b
	}
	for i, raw := range raws {
		if i > 0 {
			b.buf = append(b.buf, b.codec.delims.Repetition)
		}
		b.buf = b.codec.appendRaw(b.buf, raw)
	}
	return b
}

// RawSegment writes a whole segment of the request, byte for byte when the
// answer has the request's delimiters. Nothing is written for "", so a segment
// that is not there can be passed as it is.
func (b *Builder) RawSegment(raw string) *Builder {
	if raw == "" {
		return b
	}
	if !nameStart(raw) {
		b.fail("segment name")
		return b
	}
	from := b.codec.delims.Field
	if b.foreign && b.to != nil {
		from = b.to.delims.Field
	}
	name, fields, _ := strings.Cut(raw, string(rune(from)))
	if len(name) != 3 {
		b.fail("segment name")
		return b
	}
	b.Segment(name)
	if len(name) == len(raw) {
		return b
	}
	for _, field := range strings.Split(fields, string(rune(from))) {
		b.buf = b.codec.appendRaw(append(b.buf, b.codec.delims.Field), b.Echo(field))
		b.at++
	}
	return b
}

// Escape returns text as a leaf value of the message, for composing raw values.
func (b *Builder) Escape(text string) string {
	out, exact := b.codec.appendText(nil, text)
	b.replaced = b.replaced || !exact
	return string(out)
}

// Delimiters returns the characters that the message is written with.
func (b *Builder) Delimiters() Delimiters { return b.codec.delims }

// Replaced reports whether a character was written without its accent or as
// '?', because the message's character set lacks it.
func (b *Builder) Replaced() bool { return b.replaced }

// Err returns the first mistake in the calls so far: a field written out of
// order or before any segment, or a segment without a name. What was asked for
// by mistake is not in the message. It is an [ErrUnwritable].
func (b *Builder) Err() error { return b.err }

// Bytes returns the message, with CR after every segment. It ends the segment
// in hand; the builder can go on with another.
func (b *Builder) Bytes() []byte {
	b.end()
	if b.codec.charset.multi() {
		return b.codec.charset.encodeMulti(string(b.buf))
	}
	return b.buf[:len(b.buf):len(b.buf)]
}
