package hl7v2

import (
	"bytes"
	"iter"
	"strconv"
)

// Batch is a frame or file cut into its messages:
// [FHS] { [BHS] { MSH ... } [BTS] } [FTS]. Headers and messages have their
// delimiters each for itself.
type Batch struct {
	// Header is the first BHS, or FHS where there is no BHS, and nil when there
	// is neither. Its fields are read like those of MSH: "BHS-11".
	Header *Message
	// Messages are the messages in order, each with its terminators. They share
	// the memory of the input.
	Messages [][]byte
	// Mismatch reports that a trailer is missing under a header, or counts
	// something else than what was found.
	Mismatch bool
}

// Split cuts b at each MSH, FHS, BHS, BTS and FTS that begins a line, where a
// header is only one if its separator is followed by three or more delimiters:
// "MSH" in a text cuts nothing. A frame with one message and no headers is a
// Batch of that message alone; bytes that no header begins are one message too,
// for [Parse] to refuse.
func Split(b []byte) Batch {
	var s splitter
	for name, part := range batchParts(bytes.TrimPrefix(b, []byte(byteOrderMark))) {
		if (name == "" || name == "MSH") && len(bytes.TrimSpace(part)) > 0 {
			s.message(part)
		}
		s.mark(name, part)
	}
	s.closeBatch()
	s.Mismatch = s.Mismatch || s.inFile
	return s.Batch
}

// batchParts yields the parts that b is cut into and the name of the segment
// that each begins with, "" for what stands before the first.
func batchParts(b []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		name, start := "", 0
		for at := range lineStarts(b) {
			next := boundary(b[at:])
			if next == "" {
				continue
			}
			if at > start && !yield(name, b[start:at]) {
				return
			}
			name, start = next, at
		}
		if start < len(b) {
			yield(name, b[start:])
		}
	}
}

// splitter counts what is found against what the trailers say.
type splitter struct {
	Batch
	inFile, inBatch   bool
	messages, batches int // since the last BHS; since the FHS
}

func (s *splitter) message(b []byte) {
	s.Messages = append(s.Messages, b)
	s.messages++
}

// mark notes a header or trailer that b begins with.
func (s *splitter) mark(name string, b []byte) {
	switch name {
	case "FHS":
		s.inFile, s.batches = true, 0
		if s.Header == nil {
			s.Header = head(name, b)
		}
	case "BHS":
		s.closeBatch()
		s.inBatch, s.messages = true, 0
		s.batches++
		if s.Header == nil || s.Header.find(nameBHS) < 0 {
			s.Header = head(name, b)
		}
	case "BTS":
		s.count(b, s.messages)
		s.inBatch, s.messages = false, 0
	case "FTS":
		s.closeBatch()
		s.count(b, s.batches)
		s.inFile = false
	}
}

// closeBatch notes a batch that had no trailer.
func (s *splitter) closeBatch() {
	s.Mismatch = s.Mismatch || s.inBatch
	s.inBatch = false
}

// count compares field 1 of a trailer with what was found. An empty one is not
// checked.
func (s *splitter) count(trailer []byte, found int) {
	if len(trailer) < 5 {
		return
	}
	field, _, _ := bytes.Cut(trailer[4:], trailer[3:4])
	if i := bytes.IndexAny(field, "\r\n"); i >= 0 {
		field = field[:i]
	}
	if n, err := strconv.Atoi(string(field)); len(field) > 0 && (err != nil || n != found) {
		s.Mismatch = true
	}
}

// lineStarts yields the offsets at which a line of b can begin.
func lineStarts(b []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		end := lineMark(b)
		for at := 0; at < len(b) && yield(at); {
			i := bytes.IndexByte(b[at:], end)
			if i < 0 {
				return
			}
			at += i + 1
			for end == '\r' && at < len(b) && b[at] == '\n' {
				at++
			}
		}
	}
}

// lineMark returns what ends the lines of b, by the rule for the segments of a
// message: CR if any is followed by something like a segment, in whatever
// delimiters, else LF.
func lineMark(b []byte) byte {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\r')
		if i < 0 {
			return '\n'
		}
		at += i + 1
		for at < len(b) && b[at] == '\n' {
			at++
		}
		line := b[at:]
		if boundary(line) != "" || len(line) > 3 && nameStart(string(line[:3])) && legalDelimiter(line[3]) {
			return '\r'
		}
	}
}

// boundary returns the name of the segment that b begins with if a batch is
// cut there, else "".
func boundary(b []byte) string {
	if len(b) < 3 {
		return ""
	}
	switch name := string(b[:3]); name {
	case "MSH", "BHS", "FHS":
		if len(b) < 7 || !legalDelimiter(b[3]) || !distinct(string(b[4:7])) || bytes.IndexByte(b[4:7], b[3]) >= 0 {
			return ""
		}
		return name
	case "BTS", "FTS":
		if len(b) == 3 || legalDelimiter(b[3]) || b[3] == '\r' || b[3] == '\n' {
			return name
		}
	}
	return ""
}

// Reply returns the answer to a batch in one frame: BHS with the request's
// BHS-11 as BHS-12, the answers to its messages in order, and BTS with their
// number. An empty answer, to a message that gets none, is left out. Header.Type is not used.
func (b Batch) Reply(h Header, answers [][]byte) []byte {
	w := newBuilder(b.Header, h.ASCII)
	w.batchHeader(&h)
	w.end()
	out := w.buf
	count := 0
	for _, answer := range answers {
		if len(answer) > 0 {
			out = append(out, answer...)
			count++
		}
	}
	w.buf = out
	w.Segment("BTS").Text(1, strconv.Itoa(count))
	if b.Mismatch {
		w.Text(2, "count mismatch")
	}
	w.end()
	return w.buf
}

// batchHeader writes BHS like the MSH of an answer, as far as that goes; 11 is
// the control id and 12 the one that is answered.
func (b *Builder) batchHeader(h *Header) {
	b.headerMarks("BHS")
	b.parties(h)
	b.time(7, h)
	b.Text(11, h.ControlID)
	b.Raw(12, b.echo(11))
}
