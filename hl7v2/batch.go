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
	// Messages are the messages of all batches in order, each with its
	// terminators. They share the memory of the input.
	Messages [][]byte
	// Rest is what belongs to no message, in order: headers, trailers and
	// whatever stands behind them.
	Rest []byte

	// Mismatch reports that a trailer is missing under a header, or counts
	// something else than what was found.
	Mismatch bool
	// Stray reports lines behind a header or trailer that are part of no
	// message. They are in Rest.
	Stray bool
	// BadHeader reports a BHS or FHS with unusable delimiters, which was read as
	// [Head] reads such an MSH.
	BadHeader bool

	file         *Message // FHS
	fileMismatch bool     // FTS is missing, or counts something else
	groups       []group  // at least one if there are messages
}

// Batches returns how many batches [Batch.Reply] answers in: messages in a row
// that are in none count as one.
func (b Batch) Batches() int { return max(1, len(b.groups)) }

// group is one batch of a frame, or messages in a row that are in none.
type group struct {
	header   []byte // BHS, nil for messages in no batch
	messages int
	closed   bool // nothing can follow in it
	mismatch bool // of BTS
}

// Split cuts b at each MSH, FHS, BHS, BTS and FTS that begins a line.
//
// A header is one only if its separator is followed by three or more
// delimiters: "MSH" in a text cuts nothing. Behind a BHS or FHS, where a line
// can hardly be anything else, and for the BHS or FHS that b begins with, it is
// enough that the separator returns within five characters, whatever these are:
// a message with a short MSH-2 is read, and one with a wrong MSH-2 is refused
// for it, instead of being taken for the end of the message before.
//
// A frame with one message and no headers is a Batch of that message alone;
// bytes that no header begins are one message too, for [Parse] to refuse.
func Split(b []byte) Batch {
	var s splitter
	for name, part := range batchParts(bytes.TrimPrefix(b, []byte(byteOrderMark))) {
		if (name == "" || name == "MSH") && len(bytes.TrimSpace(part)) > 0 {
			s.message(part)
			continue
		}
		s.Rest = append(s.Rest, part...)
		s.mark(name, part)
	}
	s.endGroup()
	s.fileMismatch = s.fileMismatch || s.inFile
	s.Mismatch = s.Mismatch || s.fileMismatch
	return s.Batch
}

// batchParts yields the parts that b is cut into and the name of the segment
// that each begins with, "" for what stands before the first.
func batchParts(b []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		name, start := "", 0
		first, headed := true, false // no line yet but blank ones; a header of a batch
		for at := range lineStarts(b) {
			next := boundary(b[at:])
			if next == "" && (first || headed) {
				next = faultyHeader(b[at:], headed)
			}
			first = first && (b[at] == '\r' || b[at] == '\n')
			if next == "" {
				continue
			}
			if at > start && !yield(name, b[start:at]) {
				return
			}
			name, start = next, at
			headed = headed || next == "BHS" || next == "FHS"
		}
		if start < len(b) {
			yield(name, b[start:])
		}
	}
}

// splitter counts what is found against what the trailers say.
type splitter struct {
	Batch
	inFile  bool
	batches int // since the FHS, those with a header
	before  int // groups before the FHS
}

// group returns the group that is open, a new one if there is none.
func (s *splitter) group() *group {
	if n := len(s.groups); n == 0 || s.groups[n-1].closed {
		s.groups = append(s.groups, group{})
	}
	return &s.groups[len(s.groups)-1]
}

func (s *splitter) message(b []byte) {
	s.Messages = append(s.Messages, b)
	s.group().messages++
}

// mark notes a header or trailer that b begins with.
func (s *splitter) mark(name string, b []byte) {
	s.Stray = s.Stray || len(bytes.TrimSpace(b[lineEnd(b):])) > 0
	if name == "BHS" || name == "FHS" {
		s.BadHeader = s.BadHeader || !usable(name, b)
	}
	switch name {
	case "FHS":
		s.endGroup()
		s.fileMismatch = s.fileMismatch || s.inFile
		s.inFile, s.batches, s.before = true, 0, len(s.groups)
		if s.file == nil {
			s.file = head(name, b)
		}
		if s.Header == nil {
			s.Header = s.file
		}
	case "BHS":
		s.endGroup()
		s.groups = append(s.groups, group{header: b})
		s.batches++
		if s.Header == nil || s.Header.find(nameBHS) < 0 {
			s.Header = head(name, b)
		}
	case "BTS":
		s.trailer(b)
	case "FTS":
		s.endGroup()
		// Messages without a BHS are a batch by the grammar, and none to some senders.
		s.fileMismatch = s.fileMismatch || !counts(b, s.batches) && !counts(b, len(s.groups)-s.before)
		s.inFile = false
	}
}

// trailer closes the group that is open with BTS.
func (s *splitter) trailer(b []byte) {
	if n := len(s.groups); n > 0 && !s.groups[n-1].closed {
		g := &s.groups[n-1]
		g.closed, g.mismatch = true, !counts(b, g.messages)
		s.Mismatch = s.Mismatch || g.mismatch
		return
	}
	s.Mismatch = s.Mismatch || !counts(b, 0)
}

// usable reports whether the header that b begins with has delimiters to read it
// with.
func usable(name string, b []byte) bool {
	field, encoding, ok := headerMarks(name, string(b[:min(len(b), 16)]))
	if !ok {
		return false
	}
	var ignored warningSet
	_, err := Parser{}.parseDelimiters(field, encoding, &ignored)
	return err == nil
}

// endGroup closes the group that is open; a batch without a trailer does not
// match it.
func (s *splitter) endGroup() {
	if n := len(s.groups); n > 0 && !s.groups[n-1].closed {
		g := &s.groups[n-1]
		g.closed, g.mismatch = true, g.header != nil
		s.Mismatch = s.Mismatch || g.mismatch
	}
}

// counts compares field 1 of a trailer with what was found. An empty one is not
// checked.
func counts(trailer []byte, found int) bool {
	line := trailer[:lineEnd(trailer)]
	if len(line) < 5 {
		return true
	}
	field, _, _ := bytes.Cut(line[4:], line[3:4])
	n, err := strconv.Atoi(string(field))
	return len(field) == 0 || err == nil && n == found
}

// lineEnd returns where the first line of b ends, before its terminator.
func lineEnd(b []byte) int {
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		return i
	}
	return len(b)
}

// lineStarts yields the offsets at which a line of b can begin.
func lineStarts(b []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		end := lineMark(b)
		for at := 0; ; {
			for end == '\r' && at < len(b) && b[at] == '\n' {
				at++
			}
			if at == len(b) || !yield(at) {
				return
			}
			i := bytes.IndexByte(b[at:], end)
			if i < 0 {
				return
			}
			at += i + 1
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

// faultyHeader is boundary for a header whose MSH-2 is short or wrong. MSH is
// one only behind a header of its batch.
func faultyHeader(b []byte, headed bool) string {
	if len(b) < 5 || !legalDelimiter(b[3]) {
		return ""
	}
	encoding := b[4:min(len(b), 10)]
	end := bytes.IndexByte(encoding, b[3])
	if end < 0 || bytes.ContainsAny(encoding[:end], "\r\n") {
		return ""
	}
	switch name := string(b[:3]); name {
	case "MSH":
		if headed {
			return name
		}
	case "BHS", "FHS":
		return name
	}
	return ""
}

// Reply returns the answer to a frame with headers, as one frame. Each batch is
// answered by one of its own: BHS with the request's BHS-11 as BHS-12, the
// answers to its messages in order, and BTS with their number. Messages that
// are in no batch are answered in one that refers to the file. An empty answer,
// to a message that gets none, is left out.
//
// Several batches of a file are answered within FHS, whose FHS-12 is the
// request's FHS-11, and FTS; a single one is not, so that who sends one batch in
// a file and who sends it bare read the same answer.
//
// header is called once for every BHS and FHS, each of which has a control id
// of its own. Header.Type is not used.
func (b Batch) Reply(header func() Header, answers [][]byte) []byte {
	groups := b.groups
	if len(groups) == 0 { // a file without batches
		groups = []group{{}}
	}
	var out []byte
	file := b.file != nil && len(groups) > 1
	if file {
		out = appendBatchHeader(out, "FHS", b.file, b.file, header())
	}
	for i, g := range groups {
		n := min(g.messages, len(answers))
		mismatch := g.mismatch || b.fileMismatch && !file && i == len(groups)-1
		out = b.appendGroup(out, g, header(), answers[:n], mismatch)
		answers = answers[n:]
	}
	if file {
		out = appendTrailer(out, "FTS", b.file, len(groups), b.fileMismatch)
	}
	return out
}

// appendGroup appends the answer to one batch.
func (b Batch) appendGroup(out []byte, g group, h Header, answers [][]byte, mismatch bool) []byte {
	to, about := b.file, b.file
	switch {
	case g.header != nil:
		to = head("BHS", g.header)
		about = to
	case to == nil:
		to = b.Header // for its names and delimiters
	}
	out = appendBatchHeader(out, "BHS", to, about, h)
	count := 0
	for _, answer := range answers {
		if len(answer) > 0 {
			out = append(out, answer...)
			count++
		}
	}
	return appendTrailer(out, "BTS", to, count, mismatch)
}

// appendBatchHeader appends BHS or FHS like the MSH of an answer to a header,
// as far as that goes. 11 is the control id and 12 that of the header it is
// about, if any.
func appendBatchHeader(out []byte, name string, to, about *Message, h Header) []byte {
	b := newBuilder(to, h.ASCII)
	b.headerMarks(name)
	b.parties(&h)
	b.time(7, &h)
	b.Text(11, h.ControlID)
	if to == about {
		b.Raw(12, b.echo(11))
	}
	return append(out, b.Bytes()...)
}

// appendTrailer appends BTS or FTS.
func appendTrailer(out []byte, name string, to *Message, count int, mismatch bool) []byte {
	b := newBuilder(to, false)
	b.Segment(name).Text(1, strconv.Itoa(count))
	switch {
	case mismatch:
		b.Text(2, "count mismatch")
	case to != nil && to.guessed:
		b.Text(2, "encoding characters not usable")
	}
	return append(out, b.Bytes()...)
}
