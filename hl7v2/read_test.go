package hl7v2

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const adt = msh + "\r" +
	"PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS&2.16.840.1.113883.2.1.4.1&ISO^NH||AINDOW&VAN^COMFORT^ZULA|\"\"|19430519|F|^^|~|\"\"^^|||||||\"\"^SMITH\r" +
	"PID|2||second\r"

func TestReadByPath(t *testing.T) {
	m := parse(t, adt)
	for path, tt := range map[string]struct {
		text     string
		presence Presence
		raw      string
	}{
		"MSH-1":        {"|", Valued, "|"},
		"MSH-2":        {"^~\\&", Valued, "^~\\&"},
		"MSH-3":        {"PAS", Valued, "PAS"},
		"MSH-9":        {"ADT", Valued, "ADT^A28^ADT_A05"},
		"MSH-9.2":      {"A28", Valued, "A28"},
		"MSH-12":       {"2.4", Valued, "2.4"},
		"MSH-13":       {"", Absent, ""},
		"PID-3":        {"RXX1234567", Valued, "RXX1234567^^^RXX^MR~9990000018^^^NHS&2.16.840.1.113883.2.1.4.1&ISO^NH"},
		"PID-3[1]":     {"RXX1234567", Valued, "RXX1234567^^^RXX^MR"},
		"PID-3[2]":     {"9990000018", Valued, "9990000018^^^NHS&2.16.840.1.113883.2.1.4.1&ISO^NH"},
		"PID-3.4":      {"RXX", Valued, "RXX"},
		"PID-3[2].4":   {"NHS", Valued, "NHS&2.16.840.1.113883.2.1.4.1&ISO"},
		"PID-3[2].4.1": {"NHS", Valued, "NHS"},
		"PID-3[2].4.3": {"ISO", Valued, "ISO"},
		"PID-3[2].4.4": {"", Absent, ""},
		"PID-3[2].2":   {"", Empty, ""},
		"PID-3[2].6":   {"", Absent, ""},
		"PID-3[3]":     {"", Absent, ""},
		"PID-4":        {"", Empty, ""},
		"PID-5":        {"AINDOW", Valued, "AINDOW&VAN^COMFORT^ZULA"},
		"PID-5.1":      {"AINDOW", Valued, "AINDOW&VAN"},
		"PID-5.1.2":    {"VAN", Valued, "VAN"},
		"PID-6":        {"", Null, `""`},
		"PID-9":        {"", Empty, "^^"},
		"PID-10":       {"", Empty, "~"},
		"PID-11":       {"", Null, `""^^`},
		"PID-18":       {"", Valued, `""^SMITH`},
		"PID-18.1":     {"", Null, `""`},
		"PID-18.2":     {"SMITH", Valued, "SMITH"},
		"PID-19":       {"", Absent, ""},
		"PV1-2":        {"", Absent, ""},
	} {
		t.Run(path, func(t *testing.T) {
			p := MustPath(path)
			text, presence := m.Lookup(p)
			if text != tt.text || presence != tt.presence {
				t.Errorf("Lookup = %q, %v; want %q, %v", text, presence, tt.text, tt.presence)
			}
			if got := m.Get(p); got != tt.text {
				t.Errorf("Get = %q, want %q", got, tt.text)
			}
			if got := m.Raw(p); got != tt.raw {
				t.Errorf("Raw = %q, want %q", got, tt.raw)
			}
		})
	}
	if _, presence := m.Lookup(Path{}); presence != Absent {
		t.Error("the zero Path names something")
	}
}

func TestNilMessageHasNoValues(t *testing.T) {
	var m *Message
	p := MustPath("MSH-10")
	text, presence := m.Lookup(p)
	code, event, structure := m.Type()
	if m.Get(p)+text+m.Raw(p)+code+event+structure+m.Version() != "" || presence != Absent {
		t.Error("a nil Message has values")
	}
	if m.Repetitions(p) != nil || m.Truncated(p) || !m.AtLeast("2.4") || m.AtLeast("2.5") {
		t.Error("a nil Message is not read as empty")
	}
}

func TestRepetitions(t *testing.T) {
	m := parse(t, adt)
	ids := m.Repetitions(MustPath("PID-3"))
	if len(ids) != 2 {
		t.Fatalf("%d repetitions, want 2", len(ids))
	}
	r := ids[1]
	got := []string{r.Component(1), r.Component(2), r.Component(4), r.Sub(4, 2), r.Joined(4), r.Component(9), r.Component(0), r.Sub(1, 0), r.Joined(0)}
	want := []string{"9990000018", "", "NHS", "2.16.840.1.113883.2.1.4.1", "NHS&2.16.840.1.113883.2.1.4.1&ISO", "", "", "", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	for path, n := range map[string]int{"PID-4": 0, "PID-9": 0, "PID-10": 0, "PID-40": 0, "PV1-1": 0, "PID-6": 1} {
		if got := len(m.Repetitions(MustPath(path))); got != n {
			t.Errorf("%s: %d repetitions, want %d", path, got, n)
		}
	}
	if !m.Repetitions(MustPath("PID-6"))[0].IsNull() || r.IsNull() {
		t.Error("IsNull is wrong")
	}
	var zero Repetition
	if zero.Raw() != "" || zero.Component(1) != "" || zero.Joined(1) != "" || zero.IsNull() || !zero.IsEmpty() {
		t.Error("the zero Repetition is not empty")
	}
}

func TestSegmentReading(t *testing.T) {
	m := parse(t, adt)
	pid, ok := m.Segment("PID")
	if !ok || pid.Name() != "PID" || !strings.HasPrefix(pid.Raw(), "PID|1||RXX") || strings.HasSuffix(pid.Raw(), "\r") {
		t.Errorf("Segment(PID) = %q, %v", pid.Raw(), ok)
	}
	if got := pid.Field(5)[0].Component(2); got != "COMFORT" {
		t.Errorf("PID-5.2 = %q", got)
	}
	if m.Count("PID") != 2 || m.Count("PV1") != 0 || m.Count("") != 0 {
		t.Error("Count is wrong")
	}
	if head, _ := m.Segment("MSH"); head.Field(1) != nil || head.Field(2) != nil || head.Field(3)[0].Component(1) != "PAS" {
		t.Error("MSH fields are miscounted")
	}
	for _, name := range []string{"PV1", "", "PIDX"} {
		if s, ok := m.Segment(name); ok || s.Name() != "" || s.Raw() != "" || s.Field(1) != nil {
			t.Errorf("Segment(%q) is there", name)
		}
	}
}

func TestJoinedKeepsTheAmpersand(t *testing.T) {
	m := parse(t, msh+"\rPID|||||SMITH & SONS^A\\T\\B|||||&&\r")
	r := m.Repetitions(MustPath("PID-5"))[0]
	if got := r.Joined(1); got != "SMITH & SONS" {
		t.Errorf("Joined(1) = %q", got)
	}
	if got := r.Joined(2); got != "A&B" {
		t.Errorf("Joined(2) = %q", got)
	}
}

// partOf is what a path names, said with strings.Split.
func partOf(s, mark string, n int) (string, bool) {
	if mark == "" {
		return s, n == 1
	}
	parts := strings.Split(s, mark)
	if n > len(parts) {
		return "", false
	}
	return parts[n-1], true
}

func TestReadAgreesWithSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		encoding := rapid.SampledFrom([]string{`^~\&`, `^~`, `^`}).Draw(t, "MSH-2")
		value := rapid.StringOf(rapid.SampledFrom([]rune("AB^^~~&&\x00"))).Draw(t, "value")
		m, err := Parse([]byte("MSH|" + encoding + "|X\rPID||" + value))
		if err != nil {
			t.Fatal(err)
		}
		marks := [3]string{encoding[:1]}
		if len(encoding) > 1 {
			marks[1] = encoding[1:2]
		}
		if len(encoding) > 3 {
			marks[2] = encoding[3:4]
		}
		draw := rapid.IntRange(1, 4)
		r, c, s := draw.Draw(t, "repetition"), draw.Draw(t, "component"), draw.Draw(t, "subcomponent")
		want, ok := partOf(value, marks[1], r)
		if ok {
			want, ok = partOf(want, marks[0], c)
		}
		if ok {
			want, ok = partOf(want, marks[2], s)
		}
		if !ok {
			want = ""
		}
		p := Path{segment: packName("PID"), field: 2, repetition: uint16(r), component: uint16(c), subcomponent: uint16(s)}
		got, presence := m.Lookup(p)
		if got != want || m.Get(p) != want || m.Raw(p) != want || (presence != Absent) != ok {
			t.Errorf("%v of %q: Lookup %q %v, Get %q, Raw %q; want %q", p, value, got, presence, m.Get(p), m.Raw(p), want)
		}
	})
}

func TestTruncated(t *testing.T) {
	m := parse(t, "MSH|^~\\&#|PAS\rPID|||12345#^^^NHS~1||AIND#^ANN|A#B|A\\P\\\r")
	for path, want := range map[string]bool{
		"PID-3": true, "PID-3[2]": false, "PID-3.4": false, "PID-5": true, "PID-5.1": true, "PID-5.2": false,
		"PID-6": false, "PID-7": false, "PID-8": false, "MSH-2": false,
	} {
		if got := m.Truncated(MustPath(path)); got != want {
			t.Errorf("Truncated(%s) = %v", path, got)
		}
	}
	if got := m.Get(MustPath("PID-7")); got != "A#" {
		t.Errorf("PID-7 = %q", got)
	}
	if parse(t, msh+"\rPID|1#\r").Truncated(MustPath("PID-1")) {
		t.Error("truncated without the character")
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	m := parse(t, string(a28))
	for _, p := range traceReads {
		m.Get(p)
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range traceReads {
			m.Get(p)
		}
	}); n != 0 {
		t.Errorf("15 reads allocate %v times, want 0", n)
	}
}

// TestParsingAllocatesLittle holds the allocations that the benchmarks count.
func TestParsingAllocatesLittle(t *testing.T) {
	for name, work := range map[string]func(m *Message){
		"read": func(m *Message) {
			for _, p := range traceReads {
				m.Get(p)
			}
		},
		"answer": func(m *Message) { Reply(m, header).MSA(AA, m.Raw(pathControlID), "").Bytes() },
	} {
		n := testing.AllocsPerRun(100, func() {
			m, err := Parse(a28)
			if err != nil {
				t.Fatal(err)
			}
			work(m)
		})
		if n > 4 {
			t.Errorf("parse and %s allocates %v times, want at most 4", name, n)
		}
	}
}

func TestParsePath(t *testing.T) {
	for _, s := range []string{"PID-3", "PID-3.1", "PID-3[2].4.2", "PID-3[1]", "MSH-9.2", "ZX9-9999[9999].9999.9999"} {
		p, err := ParsePath(s)
		if err != nil || p.String() != s {
			t.Errorf("ParsePath(%q) = %q, %v", s, p, err)
		}
	}
	for _, s := range []string{
		"", "PID", "PID-", "PID-0", "PID-03", "PID-3.", "PID-3.0", "PID-3[", "PID-3[]", "PID-3[0]", "PID-3[2", "PID-3.1.2.3",
		"PID-3.1[2]", "PID3", "pid-3", "PIDX-3", "3PI-3", "PID-3 ", "PID-10000", "PID-99999999999999999999", "PID--3", "PID-+3",
	} {
		if p, err := ParsePath(s); !errors.Is(err, ErrPath) || p != (Path{}) {
			t.Errorf("ParsePath(%q) = %q, %v; want ErrPath", s, p, err)
		}
	}
	if got := (Path{}).String(); got != "" {
		t.Errorf("zero Path = %q", got)
	}
	p := MustPath("PID-3.4")
	if got := p.Repetition(2).String() + " " + p.Field().String(); got != "PID-3[2].4 PID-3" {
		t.Errorf("derived paths = %q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("MustPath does not panic")
		}
	}()
	MustPath("PID")
}

func TestSet(t *testing.T) {
	const in = msh + "\rPID|1||A^^^RXX~B^^^NHS&X&ISO^NH||NAME|\"\"\rPV1\rZZZ|raw\\unknown\r"
	for name, tt := range map[string]struct {
		path, text, old, new string
	}{
		"whole field":          {"PID-3", "X", "A^^^RXX~B^^^NHS&X&ISO^NH", "X"},
		"repetition":           {"PID-3[2]", "X", "B^^^NHS&X&ISO^NH", "X"},
		"component":            {"PID-3.1", "X", "A^^^RXX", "X^^^RXX"},
		"component of second":  {"PID-3[2].5", "NX", "ISO^NH", "ISO^NX"},
		"subcomponent":         {"PID-3[2].4.2", "Y", "&X&", "&Y&"},
		"missing component":    {"PID-3.6", "X", "A^^^RXX~", "A^^^RXX^^X~"},
		"missing subcomponent": {"PID-3.4.3", "X", "RXX~", "RXX&&X~"},
		"missing repetition":   {"PID-3[4]", "X", "ISO^NH", "ISO^NH~~X"},
		"all missing":          {"PID-3[3].2.2", "X", "ISO^NH", "ISO^NH~^&X"},
		"empty field":          {"PID-4", "X", "NH||NAME", "NH|X|NAME"},
		"missing field":        {"PID-8", "F", "\"\"\r", "\"\"||F\r"},
		"bare segment":         {"PV1-2", "N", "PV1\r", "PV1||N\r"},
		"last segment":         {"ZZZ-3.2", "N", "unknown\r", "unknown||^N\r"},
		"missing MSH field":    {"MSH-18", "8859/1", "2.4\r", "2.4||||||8859/1\r"},
		"delimiters in text":   {"PID-5", `O|N^E~I\L&L`, "NAME", `O\F\N\S\E\R\I\E\L\T\L`},
		"line break":           {"PID-5", "A\r\nB", "NAME", `A\X0D\\X0A\B`},
		"control bytes":        {"PID-5", "A\x00\x1c\x0bB\tC", "NAME", "A   B\tC"},
		"clear":                {"PID-5", "", "|NAME|", "||"},
	} {
		t.Run(name, func(t *testing.T) {
			m := parse(t, in)
			m.Get(MustPath("ZZZ-1")) // fields split before the change must not go stale
			p := MustPath(tt.path)
			if err := m.Set(p, tt.text); err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(in, tt.old, tt.new, 1)
			if diff := cmp.Diff(want, string(m.Bytes())); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(names(parse(t, want)), names(m)); diff != "" {
				t.Errorf("segments (-want +got):\n%s", diff)
			}
			if got := m.Get(MustPath("ZZZ-1")); got != `raw\unknown` {
				t.Errorf("ZZZ-1 = %q", got)
			}
			again := parse(t, string(m.Bytes()))
			if a, b := m.Get(p), again.Get(p); a != b {
				t.Errorf("reads %q, after another parse %q", a, b)
			}
		})
	}
}

func TestSetKeepsWhatItCannotRead(t *testing.T) {
	in := "\xEF\xBB\xBF" + msh + "\r\n\r\nPID|1||||N\x1cA\\Q\\ME\\|\xE9\r\nPV1||N"
	m := parse(t, in)
	if err := m.Set(MustPath("PID-2"), "X"); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(in, "PID|1|", "PID|1|X", 1); string(m.Bytes()) != want {
		t.Errorf("message = %q", m.Bytes())
	}
}

func TestSetRefuses(t *testing.T) {
	short := parse(t, "MSH|^|PAS\rPID|1|A\r")
	for name, tt := range map[string]struct {
		m    *Message
		set  func(m *Message) error
		want error
	}{
		"no segment":         {parse(t, adt), func(m *Message) error { return m.Set(MustPath("PV1-2"), "N") }, ErrNoSegment},
		"zero path":          {parse(t, adt), func(m *Message) error { return m.Set(Path{}, "N") }, ErrNoSegment},
		"MSH-2":              {parse(t, adt), func(m *Message) error { return m.Set(MustPath("MSH-2"), "^") }, ErrUnwritable},
		"field mark in raw":  {parse(t, adt), func(m *Message) error { return m.SetRaw(MustPath("PID-2"), "a|b") }, ErrUnwritable},
		"line end in raw":    {parse(t, adt), func(m *Message) error { return m.SetRaw(MustPath("PID-2"), "a\rPV1") }, ErrUnwritable},
		"no repetition mark": {short, func(m *Message) error { return m.Set(MustPath("PID-2[2]"), "B") }, ErrUnwritable},
		"no subcomponents":   {short, func(m *Message) error { return m.Set(MustPath("PID-2.1.2"), "B") }, ErrUnwritable},
		"no escape":          {short, func(m *Message) error { return m.Set(MustPath("PID-2"), "A^B") }, ErrUnwritable},
	} {
		t.Run(name, func(t *testing.T) {
			before := string(tt.m.Bytes())
			if err := tt.set(tt.m); !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
			if string(tt.m.Bytes()) != before {
				t.Error("the message changed all the same")
			}
		})
	}
	if err := short.Set(MustPath("PID-2"), `A\B~C&D`); err != nil {
		t.Errorf("what needs no escape in this message: %v", err)
	}
	if got := short.Get(MustPath("PID-2")); got != `A\B~C&D` {
		t.Errorf("PID-2 = %q", got)
	}
}
