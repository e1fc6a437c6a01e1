package hl7v2

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parse(t testing.TB, s string) *Message {
	t.Helper()
	m, err := Parse([]byte(s))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return m
}

func names(m *Message) string {
	var list []string
	for s := range m.Segments() {
		list = append(list, s.Name())
	}
	return strings.Join(list, " ")
}

const msh = "MSH|^~\\&|PAS|RXX|ST|RXX|20250601101459||ADT^A28^ADT_A05|C1|P|2.4"

func TestParseFindsSegments(t *testing.T) {
	for name, tt := range map[string]struct {
		in, segments, name string
		warn               []Warning
	}{
		"CR":                  {msh + "\rPID|||||AINDOW\rPV1||N\r", "MSH PID PV1", "AINDOW", nil},
		"no last terminator":  {msh + "\rPID|||||AINDOW", "MSH PID", "AINDOW", nil},
		"last CR twice":       {msh + "\rPID|||||AINDOW\r\r", "MSH PID", "AINDOW", nil},
		"CRLF":                {msh + "\r\nPID|||||AINDOW\r\nPV1||N\r\n", "MSH PID PV1", "AINDOW", []Warning{LineFeeds}},
		"LF":                  {msh + "\nPID|||||AINDOW\nPV1||N\n", "MSH PID PV1", "AINDOW", []Warning{LineFeeds}},
		"LF, no last":         {msh + "\nPID|||||AINDOW", "MSH PID", "AINDOW", []Warning{LineFeeds}},
		"LF, last CRLF":       {msh + "\nPID|||||AINDOW\r\n", "MSH PID", "AINDOW", []Warning{LineFeeds}},
		"blank lines CR":      {msh + "\r\r\rPID|||||AINDOW\r  \rPV1||N\r", "MSH PID PV1", "AINDOW", nil},
		"blank lines CRLF":    {msh + "\r\n\r\nPID|||||AINDOW\r\n\r\n", "MSH PID", "AINDOW", []Warning{LineFeeds}},
		"blank lines LF":      {msh + "\n\n\nPID|||||AINDOW\n\nPV1||N\n", "MSH PID PV1", "AINDOW", []Warning{LineFeeds}},
		"blank lines first":   {"\r\n" + msh + "\rPID|||||AINDOW", "MSH PID", "AINDOW", nil},
		"LF is data":          {msh + "\rPID|||||AIN\nDOW\rPV1||N\r", "MSH PID PV1", "AIN\nDOW", nil},
		"LF and bar is data":  {msh + "\rPID|||||AIN\npid|x\rPV1||N\r", "MSH PID PV1", "AIN\npid", nil},
		"LF is data under LF": {msh + "\nPID|||||AIN\nDOW\nPV1||N\n", "MSH PID PV1", "AIN\nDOW", []Warning{LineFeeds}},
		"CR is data under LF": {msh + "\nPID|||||AIN\rDOW\nPV1||N\n", "MSH PID PV1", "AIN\rDOW", []Warning{LineFeeds}},
		"CR and two LF":       {msh + "\r\n\nPID|||||AINDOW\r\n\nPV1||N\r", "MSH PID PV1", "AINDOW", []Warning{LineFeeds}},
		"byte-order mark":     {"\xEF\xBB\xBF" + msh + "\rPID|||||AINDOW\r", "MSH PID", "AINDOW", []Warning{ByteOrderMark}},
		"bare segment":        {msh + "\rPID|||||AINDOW\rPV1\r", "MSH PID PV1", "AINDOW", nil},
		"unknown segments":    {msh + "\rZPD|1\rPID|||||AINDOW\rZZ9|2\r", "MSH ZPD PID ZZ9", "AINDOW", nil},
		"FS inside":           {msh + "\rPID|||||AIN\x1cDOW\r", "MSH PID", "AINDOW", []Warning{StrayFS}},
		"one segment":         {msh, "MSH", "", nil},
		"one segment LF":      {msh + "\n", "MSH", "", nil},
		"other delimiters":    {"MSH$*~\\&$PAS\rPID$$$$$AINDOW*X\r", "MSH PID", "AINDOW", nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := parse(t, tt.in)
			if got := names(m); got != tt.segments {
				t.Errorf("segments = %q, want %q", got, tt.segments)
			}
			if got := m.Get(MustPath("PID-5")); got != tt.name {
				t.Errorf("PID-5 = %q, want %q", got, tt.name)
			}
			if got := m.Get(MustPath("MSH-3")); got != "PAS" {
				t.Errorf("MSH-3 = %q", got)
			}
			if diff := cmp.Diff(tt.warn, m.Warnings()); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if got := string(m.Bytes()); got != tt.in {
				t.Errorf("Bytes() = %q, want %q", got, tt.in)
			}
		})
	}
}

func TestParseRejects(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want ParseError
	}{
		"nothing":           {"", ParseError{Err: ErrNoMSH}},
		"text":              {"hello", ParseError{Err: ErrNoMSH}},
		"XML":               {"<ClinicalDocument/>", ParseError{Err: ErrNoMSH}},
		"name alone":        {"MSH", ParseError{Err: ErrNoMSH}},
		"letter after name": {"MSHX^~\\&X", ParseError{Err: ErrNoMSH}},
		"batch":             {"BHS|^~\\&|A\r" + msh, ParseError{Err: ErrNoMSH}},
		"MSH later":         {"EVN|A28\r" + msh, ParseError{Err: ErrNoMSH}},
		"MSH-2 empty":       {"MSH||PAS\r", ParseError{Segment: "MSH", Field: 2, Offset: 4, Err: ErrNoDelimiters}},
		"MSH-2 repeated":    {"MSH|^^\\&|PAS\r", ParseError{Segment: "MSH", Field: 2, Offset: 4, Err: ErrDelimiters}},
		"MSH-2 letter":      {"MSH|^~E&|PAS\r", ParseError{Segment: "MSH", Field: 2, Offset: 4, Err: ErrDelimiters}},
		"MSH-2 digit":       {"MSH|^~\\1|PAS\r", ParseError{Segment: "MSH", Field: 2, Offset: 4, Err: ErrDelimiters}},
		"MSH-1 a space":     {"MSH ^~\\& PAS\r", ParseError{Segment: "MSH", Field: 2, Offset: 4, Err: ErrDelimiters}},
		"quotation mark":    {"MSH|^~\"&|PAS\r", ParseError{Segment: "MSH", Field: 2, Offset: 4, Err: ErrDelimiters}},
		"text line":         {msh + "\rPID|1\rsecond line\rPV1||N", ParseError{Offset: len(msh) + 7, Err: ErrNotSegment}},
		"text line alone":   {msh + "\rsecond line", ParseError{Offset: len(msh) + 1, Err: ErrNotSegment}},
		"UTF-16":            {"M\x00S\x00H\x00|\x00", ParseError{Segment: "MSH", Field: 18, Err: ErrCharset}},
		"UTF-16 with mark":  {"\xFE\xFF\x00M\x00S\x00H", ParseError{Segment: "MSH", Field: 18, Err: ErrCharset}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Parse([]byte(tt.in))
			var got *ParseError
			if !errors.As(err, &got) {
				t.Fatalf("Parse = %v, %v; want a ParseError", m, err)
			}
			if *got != tt.want {
				t.Errorf("Parse error = %+v, want %+v", *got, tt.want)
			}
		})
	}
}

func TestParseErrorNamesThePlaceOnly(t *testing.T) {
	for _, tt := range []struct {
		err  ParseError
		want string
	}{
		{ParseError{Offset: 7, Err: ErrNotSegment}, "hl7v2: parse: byte 7: line is not a segment"},
		{ParseError{Segment: "PID", Err: ErrNotSegment}, "hl7v2: parse: PID: line is not a segment"},
		{ParseError{Segment: "MSH", Field: 2, Offset: 4, Err: ErrNoDelimiters}, "hl7v2: parse: MSH-2: unusable delimiters: none given"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
	if !errors.Is(&ParseError{Err: ErrNoDelimiters}, ErrDelimiters) {
		t.Error("ErrNoDelimiters is not an ErrDelimiters")
	}
}

func TestParserChoices(t *testing.T) {
	t.Run("TrustMSH2", func(t *testing.T) {
		in := "MSH|^&~\\|PAS\rPID|||||A^B\\C&D^E\r"
		m, err := Parser{TrustMSH2: true}.Parse([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := m.Delimiters(), (Delimiters{'|', '^', '&', '~', '\\', 0}); got != want {
			t.Errorf("Delimiters() = %v, want %v", got, want)
		}
		if got := m.Get(MustPath("PID-5.2.2")); got != "C" {
			t.Errorf("PID-5.2.2 = %q", got)
		}
	})
	t.Run("LenientSegments", func(t *testing.T) {
		in := msh + "\rnot a segment\rPID|1\r"
		m, err := Parser{LenientSegments: true}.Parse([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if got := names(m); got != "MSH PID" {
			t.Errorf("segments = %q", got)
		}
		if diff := cmp.Diff([]Warning{NotSegment}, m.Warnings()); diff != "" {
			t.Error(diff)
		}
		if string(m.Bytes()) != in {
			t.Error("the line is lost")
		}
	})
	t.Run("StrictCharset", func(t *testing.T) {
		_, err := Parser{StrictCharset: true}.Parse([]byte(msh + "||||||KLINGON\r"))
		if !errors.Is(err, ErrUnknownCharset) || !errors.Is(err, ErrCharset) {
			t.Errorf("error = %v", err)
		}
	})
}

func TestParseDelimiters(t *testing.T) {
	for in, tt := range map[string]struct {
		want Delimiters
		warn []Warning
	}{
		`^~\&`:   {Delimiters{'|', '^', '~', '\\', '&', 0}, nil},
		`^~\&#`:  {Delimiters{'|', '^', '~', '\\', '&', '#'}, nil},
		`^&~\`:   {Delimiters{'|', '^', '~', '\\', '&', 0}, []Warning{SwappedDelimiters}},
		`^~\`:    {Delimiters{'|', '^', '~', '\\', 0, 0}, []Warning{ShortDelimiters}},
		`^~`:     {Delimiters{'|', '^', '~', 0, 0, 0}, []Warning{ShortDelimiters}},
		`^`:      {Delimiters{'|', '^', 0, 0, 0, 0}, []Warning{ShortDelimiters}},
		`:;!*`:   {Delimiters{'|', ':', ';', '!', '*', 0}, nil},
		`^~\&#@`: {Delimiters{'|', '^', '~', '\\', '&', '#'}, []Warning{LongDelimiters}},
	} {
		t.Run(in, func(t *testing.T) {
			m := parse(t, "MSH|"+in+"|PAS^1|RXX\rPID|||9990000018^^^NHS~2\r")
			if got := m.Delimiters(); got != tt.want {
				t.Errorf("Delimiters() = %+v, want %+v", got, tt.want)
			}
			if got := tt.want.String(); tt.warn == nil && got != "|"+in {
				t.Errorf("String() = %q", got)
			}
			if diff := cmp.Diff(tt.warn, m.Warnings()); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if got := m.Raw(MustPath("MSH-2")); got != in {
				t.Errorf("MSH-2 = %q", got)
			}
			if got := m.Get(MustPath("MSH-4")); got != "RXX" {
				t.Errorf("MSH-4 = %q", got)
			}
		})
	}
}

func TestManySegmentsAndFields(t *testing.T) {
	in := msh + "\r" + strings.Repeat("NK1|1|"+strings.Repeat("A|", 60)+"end\r", 100)
	m := parse(t, in)
	if got := m.Count("NK1"); got != 100 {
		t.Errorf("Count(NK1) = %d", got)
	}
	n := 0
	for s := range m.Segments() {
		if f := s.Field(62); len(f) == 1 && f[0].Component(1) == "end" {
			n++
		}
	}
	if n != 100 {
		t.Errorf("%d segments end as written, want 100", n)
	}
}

func TestHead(t *testing.T) {
	for name, tt := range map[string]struct {
		in      string
		found   bool
		control string
	}{
		"whole message":    {msh + "\rPID|1\r", true, "C1"},
		"cut in MSH":       {msh[:50], true, ""},
		"bad second line":  {msh + "\rnot a segment", true, "C1"},
		"MSH-2 empty":      {strings.Replace(msh, `^~\&`, "", 1), true, "C1"},
		"MSH-2 repeated":   {strings.Replace(msh, `^~\&`, "^^^^", 1), true, "C1"},
		"field mark is ^":  {strings.ReplaceAll(strings.Replace(msh, "^", ":", 9), "|", "^"), true, "C1"},
		"UTF-16":           {strings.Join(strings.Split(msh, ""), "\x00") + "\x00", true, "C1"},
		"UTF-16 with mark": {"\xFE\xFF\x00" + strings.Join(strings.Split(msh, ""), "\x00"), true, "C1"},
		"text":             {"hello", false, ""},
		"control mark":     {"MSH\x01^~\\&\x01", false, ""},
		"nothing":          {"", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := Head([]byte(tt.in))
			if (m != nil) != tt.found {
				t.Fatalf("Head = %v", m)
			}
			if m == nil {
				return
			}
			if got := m.Get(MustPath("MSH-10")); got != tt.control {
				t.Errorf("MSH-10 = %q, want %q", got, tt.control)
			}
			if got := names(m); got != "MSH" {
				t.Errorf("segments = %q", got)
			}
		})
	}
}

func TestFingerprintLeavesOutTheTime(t *testing.T) {
	base := parse(t, msh+"\rPID|1\r").Fingerprint()
	later := strings.Replace(msh, "20250601101459", "20250601101500", 1)
	if got := parse(t, later+"\rPID|1\r").Fingerprint(); got != base {
		t.Error("another MSH-7 gives another fingerprint")
	}
	if got := parse(t, strings.Replace(msh, "20250601101459", "", 1)+"\rPID|1\r").Fingerprint(); got != base {
		t.Error("an empty MSH-7 gives another fingerprint")
	}
	for _, other := range []string{msh + "\rPID|2\r", strings.Replace(msh, "C1", "C2", 1) + "\rPID|1\r", msh + "\rPID|1"} {
		if parse(t, other).Fingerprint() == base {
			t.Error("another message has the same fingerprint")
		}
	}
	if parse(t, `MSH|^~\&|A`).Fingerprint() == parse(t, `MSH|^~\&|B`).Fingerprint() {
		t.Error("short headers share a fingerprint")
	}
}

func TestTypeAndVersion(t *testing.T) {
	for _, tt := range []struct{ msh9, evn1, version, want string }{
		{"ADT^A28^ADT_A05", "A31", "2.4", "ADT A28 ADT_A05"},
		{"ADT^A28", "", "2.3", "ADT A28 "},
		{"ADT", "A01", "2.1", "ADT A01 "},
		{"ADT", "", "2.1", "ADT  "},
		{"", "", "", "  "},
	} {
		m := parse(t, "MSH|^~\\&|||||||"+tt.msh9+"|C1|P|"+tt.version+"\rEVN|"+tt.evn1+"\r")
		code, event, structure := m.Type()
		if got := code + " " + event + " " + structure; got != tt.want {
			t.Errorf("Type() of %q = %q, want %q", tt.msh9, got, tt.want)
		}
		if got := m.Version(); got != tt.version {
			t.Errorf("Version() = %q, want %q", got, tt.version)
		}
	}
}

func TestAtLeast(t *testing.T) {
	for _, tt := range []struct {
		version, v string
		want       bool
	}{
		{"2.4", "2.4", true}, {"2.4", "2.5", false}, {"2.5.1", "2.5", true}, {"2.5", "2.5.1", false},
		{"2.3.1", "2.4", false}, {"2.10", "2.9", true}, {"2.4^GBR^ITK", "2.4", true},
		{"", "2.4", true}, {"", "2.5", false}, {"3.0", "2.5", false}, {"UK", "2.4", true}, {"2.", "2.4", true},
		{"2.9999999999999999999999", "2.5", false},
	} {
		m := parse(t, "MSH|^~\\&|||||||ADT|C1|P|"+tt.version+"\r")
		if got := m.AtLeast(tt.v); got != tt.want {
			t.Errorf("version %q: AtLeast(%q) = %v", tt.version, tt.v, got)
		}
	}
}
