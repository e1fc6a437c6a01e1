package hl7v2

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// FuzzParse holds for every input: a message comes back byte for byte, text is
// UTF-8, a change reaches its field and nothing else, and any bytes can be
// printed, split and answered.
func FuzzParse(f *testing.F) {
	f.Add(a28)
	f.Add([]byte(adt))
	f.Add([]byte("MSH$*:!%#$A\nPID$1!F!$$\x1c\xE9\nPV1"))
	f.Add([]byte("MSH|^|A\r\n\r\nPID|a\nb\r"))
	f.Add([]byte("MSH|^~\\&|||||||ADT^A28|1|P|2.5||||||BIG-5\rPID|\xB3\x5C|\\XA5\\\r"))
	f.Add([]byte("BHS|^~\\&|A\rMSH|^~\\&|A\rBTS|1\r"))
	f.Add([]byte("MSH|^~\\&|A\nMSH|^~\\&|A\r\nMSH|^~\\&|A"))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkPrinted(t, b)
		var parts []byte
		for _, part := range batchParts(b) {
			parts = append(parts, part...)
			checkAnswer(t, Head(part))
		}
		if !bytes.Equal(parts, b) {
			t.Fatalf("%q was cut into %q", b, parts)
		}
		checkAnswer(t, Head(b))
		m, err := Parse(b)
		if err != nil {
			var where *ParseError
			if !errors.As(err, &where) {
				t.Fatalf("error is no ParseError: %v", err)
			}
			return
		}
		if !bytes.Equal(m.Bytes(), b) {
			t.Fatalf("%q came back as %q", b, m.Bytes())
		}
		checkText(t, m)
		checkAnswer(t, m)
		checkSet(t, m)
	})
}

// FuzzBatch holds for every input: cut into messages and the rest, no byte is lost, and the
// answer is a frame of well-counted batches that holds the answers in the order of the
// messages, each group of them under the control id that it refers to.
func FuzzBatch(f *testing.F) {
	f.Add([]byte("FHS|^~\\&|||||||||F1\rBHS|^~\\&|||||||||B1\rMSH|^~\\&|A\rBTS|1\rBHS$*:!%$$$$$$$$$B2\rMSH|^|A\rMSH|^~\\&|B\rBTS$2\rFTS|2\r"))
	f.Add([]byte("BHS|^^^^|A\rPID|1\rMSH||A\rMSH|^~|A\rBTS|x\rNTE\rMSH|^~\\&\r"))
	f.Add([]byte("FHS|^~\\&|A\nMSH|^~\\&|A\nPID|a\rb\nFTS|\n"))
	f.Add([]byte("hello\rBHS|^~\\&|A\rBTS|0\rBTS\rFTS|9\r"))
	f.Fuzz(func(t *testing.T, b []byte) {
		batch := Split(b)
		total, answers := len(batch.Rest), make([][]byte, len(batch.Messages))
		for i, m := range batch.Messages {
			total += len(m)
			if i%7 != 6 { // an answer that came in gets none
				answers[i] = Reply(Head(m), header).MSA(AA, strconv.Itoa(i), "").Bytes()
			}
		}
		if total != len(bytes.TrimPrefix(b, []byte(byteOrderMark))) {
			t.Fatalf("%q was cut into %q and %q", b, batch.Messages, batch.Rest)
		}
		if batch.Header == nil {
			return
		}
		reply := batch.Reply(func() Header { return header }, answers)
		again := Split(reply)
		if again.Mismatch || again.Stray || again.BadHeader || again.Header == nil {
			t.Fatalf("%q is answered %q", b, reply)
		}
		var want, got []string
		for i, answer := range answers {
			if answer != nil {
				want = append(want, strconv.Itoa(i))
			}
		}
		for _, answer := range again.Messages {
			m, err := Parse(answer)
			if err != nil {
				t.Fatalf("%q is answered %q: %v", b, reply, err)
			}
			got = append(got, m.Get(MustPath("MSA-2")))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q is answered %q: answers %v, want %v", b, reply, got, want)
		}
		if n := max(1, len(batch.groups)); len(again.groups) != n {
			t.Fatalf("%q is answered %q: %d batches, want %d", b, reply, len(again.groups), n)
		}
	})
}

// checkPrinted holds what is printed for people to text that no terminal obeys.
func checkPrinted(t *testing.T, b []byte) {
	for _, print := range []func(io.Writer, []byte) error{Format, Describe} {
		var out bytes.Buffer
		if err := print(&out, b); err != nil {
			t.Fatal(err)
		}
		unsafe := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) && r != '\u00A0' }
		if text := out.String(); !utf8.ValidString(text) || strings.ContainsFunc(text, unsafe) {
			t.Fatalf("%q is printed as %q", b, text)
		}
	}
}

func checkText(t *testing.T, m *Message) {
	m.Fingerprint()
	for s := range m.Segments() {
		for n := range 40 {
			for _, r := range s.Field(n) {
				if text := r.Component(1) + r.Sub(2, 2) + r.Joined(1); !utf8.ValidString(text) {
					t.Fatalf("%s-%d reads as %q", s.Name(), n, text)
				}
			}
		}
	}
}

// checkAnswer builds an answer that holds whatever the request holds.
func checkAnswer(t *testing.T, m *Message) {
	b := Reply(m, header)
	if m != nil {
		b.MSA(AE, m.Raw(pathControlID), m.Get(pathControlID))
		b.ERR(Fault{Code: CodeDataType, Text: m.Get(pathSendingApplication)}, Fault{Segment: "PID", Component: 1})
		for s := range m.Segments() {
			b.RawSegment(s.Raw())
		}
	}
	answer := b.Bytes()
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(answer, "\x00\x0b\x1c") || bytes.Contains(answer, []byte("\r\r")) {
		t.Fatalf("answer breaks the frame: %q", answer)
	}
	got, err := Parse(answer)
	if err != nil {
		t.Fatalf("answer %q: %v", answer, err)
	}
	if want := bytes.Count(answer, []byte("\r")); len(got.segs) != want {
		t.Fatalf("answer %q has %d segments, want %d", answer, len(got.segs), want)
	}
}

// checkSet changes a field and undoes the change.
func checkSet(t *testing.T, m *Message) {
	p := MustPath("MSH-3")
	before, old := m.Bytes(), m.Raw(p)
	if m.charset.multi() {
		return // a changed message is encoded anew
	}
	if old == "" {
		return // the separator may be missing
	}
	if err := m.Set(p, "changed"); err != nil {
		t.Fatal(err)
	}
	if got := m.Get(p); got != "changed" {
		t.Fatalf("set MSH-3 reads %q", got)
	}
	if err := m.SetRaw(p, old); err != nil {
		if !bytes.ContainsAny([]byte(old), "\r\n") {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(m.Bytes(), before) {
		t.Fatalf("%q undone is %q", before, m.Bytes())
	}
}

// FuzzCharset holds for every MSH-18 and value: text is UTF-8, and text that
// could be read can be written and read again.
func FuzzCharset(f *testing.F) {
	f.Add("8859/1", []byte("Zo\xEB"))
	f.Add("UNICODE UTF-8", []byte("Zo\xEB \xC3\xAB"))
	f.Add("BIG-5", []byte("\xB3\x5C\xFF"))
	f.Add("ISO IR87", []byte("\x1b$B;3ED\x1b(B"))
	f.Add("", []byte("\\XE9\\ \\.br\\"))
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		m, err := Parse(append([]byte("MSH|^~\\&||||||||||||||||"+name+"\rPID|"), value...))
		if err != nil {
			return
		}
		text := m.Get(MustPath("PID-1"))
		if !utf8.ValidString(text) {
			t.Fatalf("%q in %q reads as %q", value, name, text)
		}
		raw := m.Escape(text)
		if again := m.Unescape(raw); !utf8.ValidString(again) {
			t.Fatalf("%q written as %q reads as %q", text, raw, again)
		}
	})
}

// FuzzDate holds for every string: a date or time that is read can be written
// and read again, and is the same.
func FuzzDate(f *testing.F) {
	for _, s := range []string{"19430519", "194305", "1926-08-11", "20080920000000.0000+0100", "2025-05-05 23:23:32", "20000101+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDate(s); err == nil {
			if again, err := ParseDate(d.String()); err != nil || again != d {
				t.Errorf("ParseDate(%q) = %v, again %v, %v", s, d, again, err)
			}
		}
		if at, err := ParseTime(s, time.UTC); err == nil && !at.IsZero() { // the zero time is written as nothing
			again, err := ParseTime(FormatTime(at, nil), at.Location())
			if err != nil || !again.Equal(at.Truncate(time.Second)) {
				t.Errorf("ParseTime(%q) = %v, again %v, %v", s, at, again, err)
			}
		}
	})
}

// FuzzPath holds for every string: a path is written as it was read.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"PID-3", "PID-3[2].4.2", "MSH-9.2", "PID-0", "PID-3[1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePath(s); err == nil && p.String() != s {
			t.Errorf("ParsePath(%q) = %q", s, p)
		}
	})
}
