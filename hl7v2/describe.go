package hl7v2

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Describe prints a message, or a batch of messages, for people who do not know
// the fields by number: each segment with its title, and under it each field
// that is written with the path that reads it, its name and its value.
//
//	PID  Patient Identification
//	  PID-3[1]  Patient Identifier List  .1 RXX1234567  .4 RXX  .5 MR
//	  PID-3[2]                           .1 9990000018  .4.1 NHS  .5 NH
//	  PID-7     Date/Time of Birth       19430519
//
// Values are as [Message.Get] returns them, in UTF-8, with parts numbered and
// empty ones left out; the explicit null stays "", and bytes that a terminal
// would obey are shown as by [Format]. Names are those of v2.4, or of v2.5 for
// a message that is of v2.5 or later; fields that the standard does not have,
// and the fields of segments that this package does not name, have their path
// alone. Nothing is judged: a value is printed as it was sent.
//
// What [Parse] tolerated is told after the message, and what it refused is
// printed as by [Format], after the reason. The error is that of w.
func Describe(w io.Writer, b []byte) error {
	d := description{out: bufio.NewWriter(w)}
	b, marked := bytes.CutPrefix(b, []byte(byteOrderMark))
	for name, part := range batchParts(b) {
		d.part(name, part)
	}
	if marked {
		d.tolerated(ByteOrderMark)
	}
	if err := d.out.Flush(); err != nil {
		return fmt.Errorf("hl7v2: describe: %w", err)
	}
	return nil
}

// description writes what Describe prints. bufio keeps its first error until
// Flush.
type description struct {
	out    *bufio.Writer
	header *Message // the last batch or file header: its delimiters are the trailer's
}

// part writes one part of a batch; name is the segment that it begins with, ""
// for what no header begins.
func (d *description) part(name string, b []byte) {
	if name == "" && len(bytes.TrimSpace(b)) == 0 {
		return
	}
	if name == "" || name == "MSH" {
		m, err := Parse(b)
		if err != nil {
			d.line("Not read: " + strings.TrimPrefix(err.Error(), "hl7v2: parse: "))
			d.rest(b)
			return
		}
		d.message(m)
		return
	}
	segment, rest := firstLine(b)
	if name == "BHS" || name == "FHS" {
		d.header = head(name, segment)
		d.message(d.header)
	} else {
		d.message(d.trailer(segment))
	}
	if len(rest) > 0 {
		d.rest(rest)
	}
}

// firstLine cuts b after its first line, and the line ends that follow.
func firstLine(b []byte) (line, rest []byte) {
	end := bytes.IndexAny(b, "\r\n")
	if end < 0 {
		return b, nil
	}
	return b[:end], bytes.TrimLeft(b[end:], "\r\n")
}

// trailer reads BTS or FTS in the delimiters of its header, or in the standard
// ones where there was none or it had another field separator.
func (d *description) trailer(b []byte) *Message {
	m := &Message{text: string(b), delims: standardDelimiters()}
	if len(b) > 3 {
		m.delims = guessDelimiters(b[3])
	}
	if d.header != nil && d.header.delims.Field == m.delims.Field {
		m.delims, m.charset = d.header.delims, d.header.charset
	}
	m.segs = []segment{{name: packName(m.text), end: int32(len(b)), first: -1}}
	return m
}

func (d *description) message(m *Message) {
	later := m.AtLeast("2.5")
	for i := range m.segs {
		d.segment(m, i, later)
	}
	for _, warning := range m.Warnings() {
		d.tolerated(warning)
	}
}

func (d *description) tolerated(w Warning) { d.line("Tolerated: " + w.String()) }

// rest writes what cannot be taken apart.
func (d *description) rest(b []byte) {
	for _, line := range textLines(string(b)) {
		d.line(line)
	}
}

// line writes text with its control bytes made visible.
func (d *description) line(text string) {
	_, _ = d.out.Write(append(appendVisible(nil, text), '\n'))
}

// fieldRow is one line of a segment's description.
type fieldRow struct{ path, name, value string }

func (d *description) segment(m *Message, i int, later bool) {
	name := Segment{m, i}.Name()
	heading := name
	if title := segmentNames[name].title; title != "" {
		heading += "  " + title
	}
	d.line(heading)

	var rows []fieldRow
	for n := 1; n <= m.fields(i); n++ {
		rows = m.appendRows(rows, i, n, fieldName(name, n, later))
	}
	var pathWidth, nameWidth int
	for _, r := range rows {
		pathWidth, nameWidth = max(pathWidth, len(r.path)), max(nameWidth, len(r.name))
	}
	for _, r := range rows {
		line := fmt.Sprintf("  %-*s  ", pathWidth, r.path)
		if nameWidth > 0 {
			line += fmt.Sprintf("%-*s  ", nameWidth, r.name)
		}
		d.line(line + r.value)
	}
}

// appendRows appends a row for each repetition of field n of segment i that has
// something in it. Only the first bears the name.
func (m *Message) appendRows(rows []fieldRow, i, n int, name string) []fieldRow {
	start, end, ok := m.field(i, n)
	if !ok || start == end {
		return rows
	}
	field := m.text[start:end]
	path := Segment{m, i}.Name() + "-" + strconv.Itoa(n)
	if m.segs[i].isHeader() && n <= 2 {
		return append(rows, fieldRow{path, name, field})
	}
	repetitions := m.parts(field, m.delims.Repetition)
	for r, raw := range repetitions {
		if m.presence(raw) == Empty {
			continue
		}
		row := fieldRow{path, name, m.describeParts(raw)}
		if len(repetitions) > 1 {
			row.path += "[" + strconv.Itoa(r+1) + "]"
		}
		rows, name = append(rows, row), ""
	}
	return rows
}

// parts splits s, which a zero mark does not.
func (m *Message) parts(s string, mark byte) []string {
	if mark == 0 {
		return []string{s}
	}
	return strings.Split(s, string(rune(mark)))
}

// describeParts returns the components of a repetition in one line. A value
// that is the only component, and has no subcomponents, needs no number.
func (m *Message) describeParts(raw string) string {
	var list []string
	for c, component := range m.parts(raw, m.delims.Component) {
		for s, leaf := range m.parts(component, m.delims.Subcomponent) {
			if leaf == "" {
				continue
			}
			number := "." + strconv.Itoa(c+1)
			if component != leaf {
				number += "." + strconv.Itoa(s+1)
			}
			list = append(list, number+" "+m.describeLeaf(leaf))
		}
	}
	if rest, only := strings.CutPrefix(list[0], ".1 "); only && len(list) == 1 {
		return rest
	}
	return strings.Join(list, "  ")
}

// describeLeaf returns the text of a leaf in which the null and stray FS bytes
// can be seen.
func (m *Message) describeLeaf(raw string) string {
	if raw == null {
		return raw
	}
	var text []string
	for piece := range strings.SplitSeq(raw, string(rune(fs))) {
		text = append(text, m.Unescape(piece))
	}
	return strings.Join(text, string(rune(fs)))
}
