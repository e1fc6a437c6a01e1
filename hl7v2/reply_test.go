package hl7v2

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden messages")

// golden compares a message with testdata/name, which has a line end for each CR.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	goldenText(t, name+".hl7", strings.ReplaceAll(string(got), "\r", "\n"))
	if !strings.HasSuffix(string(got), "\r") {
		t.Error("no CR after the last segment")
	}
}

// goldenText compares text with a file in testdata.
func goldenText(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

var header = Header{
	Application: "SPINETRACE", Facility: "RXX", ControlID: "NT0000000123",
	Time: time.Date(2025, 6, 1, 10, 15, 0, 0, time.UTC),
}

func withType(typ string) Header {
	h := header
	h.Type = typ
	return h
}

func TestReplyGoldens(t *testing.T) {
	dateFault := Fault{Code: CodeDataType, Segment: "PID", Field: 7, Text: "PID-7 is not a date", UserText: "Date of birth is not valid"}
	eventFault := Fault{Code: CodeEvent, Segment: "MSH", Field: 9, Component: 2}
	line := func(msh string) string { return msh + "\rPID|1||9990000018^^^NHS^NH\r" }
	for name, tt := range map[string]struct {
		in    string
		h     Header
		build func(b *Builder, m *Message)
	}{
		"ack-2.4": {line(msh), header, func(b *Builder, m *Message) { b.MSA(AA, m.Raw(pathControlID), "") }},
		"ack-2.3": {line(strings.Replace(msh, "2.4", "2.3", 1)), header, func(b *Builder, m *Message) {
			b.MSA(AA, m.Raw(pathControlID), "Event not used")
		}},
		"ack-2.5.1-test": {line(strings.Replace(msh, "P|2.4", "T^I|2.5.1^GBR^ITK|7||AL|NE|GBR", 1)), header, func(b *Builder, m *Message) {
			b.MSA(AA, m.Raw(pathControlID), "")
		}},
		"ack-2.1": {"MSH|^~\\&|PAS||||||ADT|C1|P|2.1\rEVN|A01\r", header, func(b *Builder, m *Message) { b.MSA(AA, m.Raw(pathControlID), "") }},
		"ack-components": {`MSH|^~\&|A^1.2.3^ISO|F\T\G^9^ISO|B^4.5.6^ISO|H|||ADT^A28|AB\T\C 01|P|2.4` + "\r", header, func(b *Builder, m *Message) {
			b.MSA(AA, m.Raw(pathControlID), "")
		}},
		"ack-route": {line(strings.Replace(msh, "ST|RXX|", "ROUTE|ROUTE|", 1)), header, func(b *Builder, m *Message) { b.MSA(AA, "C1", "") }},
		"ack-own":   {line(msh), Header{Application: "OURS", Facility: "RYY", Own: true, ReceivingApplication: "ROUTE"}, func(b *Builder, m *Message) { b.MSA(AA, "C1", "") }},
		"ack-dollar": {"MSH$*:!%$PAS$R*X$ST$RXX$$$ADT*A28$C!T!1$P$2.4\r", header, func(b *Builder, m *Message) {
			b.MSA(AE, m.Raw(pathControlID), "a $ and a *")
		}},
		"ack-swapped": {line(strings.Replace(msh, `^~\&`, `^&~\`, 1)), header, func(b *Builder, m *Message) { b.MSA(AA, "C1", "") }},
		"ack-short": {"MSH$^$P|AS^A\\B$RXX~1$ST$$$$ADT^A28$C|1$P$2.4\rQRD$a|b$c^d$e\\f\r", header, func(b *Builder, m *Message) {
			b.MSA(AA, m.Raw(pathControlID), "")
			qrd, _ := m.Segment("QRD")
			b.RawSegment(qrd.Raw())
		}},
		"ack-truncation": {line(strings.Replace(msh, `^~\&`, `^~\&#`, 1)), header, func(b *Builder, m *Message) { b.MSA(AA, "C1", "1#2") }},
		"ack-bad-version": {line(strings.Replace(msh, "2.4", "3.0", 1)), header, func(b *Builder, m *Message) {
			b.MSA(AR, "C1", "Version not supported").ERR(Fault{Code: CodeVersion, Segment: "MSH", Field: 12})
		}},
		"err-2.4": {line(msh), header, func(b *Builder, m *Message) { b.MSA(AE, "C1", "Bad date").ERR(dateFault) }},
		"err-2.4-two": {line(msh), header, func(b *Builder, m *Message) {
			b.MSA(AR, "C1", "Event").ERR(Fault{Code: CodeRecordLocked}, eventFault, dateFault)
		}},
		"err-2.4-long": {line(msh), header, func(b *Builder, m *Message) {
			f := dateFault
			f.Text = "é a text & more, too long to be written in the eighty characters that there are"
			b.MSA(AE, "C1", f.Text+f.Text).ERR(f, eventFault)
		}},
		"err-2.5": {line(strings.Replace(msh, "2.4", "2.5", 1)), header, func(b *Builder, m *Message) {
			dsc := Fault{Code: CodeUnknownKey, Segment: "QPD", Field: 8, Repetition: 2, AppCode: "DEMOG-0007", Severity: "W"}
			b.MSA(AE, "C1", "Bad date").ERR(dateFault, eventFault, dsc, Fault{Code: CodeApplicationFailure})
		}},
		"query": {"MSH|^~\\&|PORTAL|RXX|ST|RXX|||QRY^A19|P000017|P|2.4\rQRD|20250601110000|R|I|Q000017|||1^RD|9990000018^^^^^^^^NHS^^^^NH|DEM||\r",
			withType("ADR^A19^ADR_A19"), func(b *Builder, m *Message) {
				b.MSA(AA, "P000017", "")
				b.Segment("QAK").Text(1, "Q000017").Text(2, "OK").Text(4, "1").Text(5, "1").Text(6, "0")
				qrd, _ := m.Segment("QRD")
				qrf, _ := m.Segment("QRF")
				b.RawSegment(qrd.Raw()).RawSegment(qrf.Raw())
				b.Segment("PID").Text(1, "1").Join(3, []string{"9990000018^^^NHS^NH", b.Escape("A|1") + "^^^RXX^MR"})
				b.Composite(5, "O'TEST & CO", "ANN|MAY", "", "", "", "", "L", "").Text(7, "19430519").Text(8, "F").Text(32, "NSTS01")
				b.Segment("PV1").Text(2, "N")
			}},
		"a31": {line(msh + "||||||8859/1"), withType("ADT^A31^ADT_A05"), func(b *Builder, m *Message) {
			b.Segment("EVN").Text(1, "A31").Raw(2, "20250601101512")
			b.Segment("PID").Join(3, []string{m.Raw(MustPath("PID-3[1]"))}).Text(5, "TEST")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := parse(t, tt.in)
			b := Reply(m, tt.h)
			if name == "a31" {
				b = Originate(m, tt.h)
			}
			tt.build(b, m)
			if err := b.Err(); err != nil {
				t.Error(err)
			}
			golden(t, name, b.Bytes())
			parse(t, string(b.Bytes()))
		})
	}
}

func TestReplyToNothing(t *testing.T) {
	got := Reply(nil, header).MSA(AR, "", "No readable MSH").ERR(Fault{Code: CodeSegmentSequence, Segment: "MSH"}).Bytes()
	golden(t, "ack-unreadable", got)
}

func TestReplyToHead(t *testing.T) {
	for name, in := range map[string]string{
		"head-bad-line": msh + "\rnot a segment\r",
		"head-msh2":     strings.Replace(strings.ReplaceAll(msh, "|", "$"), `^~\&`, "^^^^", 1),
		"head-wide":     strings.Join(strings.Split(msh+"||||||UNICODE UTF-16", ""), "\x00") + "\x00",
		"head-cut":      msh[:20],
		"head-no-msh-2": strings.Replace(msh, `^~\&`, "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			m := Head([]byte(in))
			golden(t, name, Reply(m, header).MSA(AR, m.Raw(pathControlID), "Not readable").Bytes())
		})
	}
}

func TestReplyCharset(t *testing.T) {
	for name, tt := range map[string]struct {
		msh18, want string
		ascii       bool
		replaced    bool
	}{
		"UTF-8":   {"UNICODE UTF-8", "2.4||||||UNICODE UTF-8\rPID|Zoë\r", false, false},
		"8859/1":  {"8859/1", "2.4||||||8859/1\rPID|Zo\xEB\r", false, false},
		"empty":   {"", "2.4\rPID|Zoë\r", false, false},
		"KLINGON": {"KLINGON", "2.4\rPID|Zoë\r", false, false},
		"ASCII":   {"ASCII", "2.4||||||ASCII\rPID|Zoe\r", false, true},
		"asked":   {"8859/1", "2.4\rPID|Zoe\r", true, true},
		"BIG-5":   {"BIG-5", "2.4||||||BIG-5\rPID|Zoe\r", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := header
			h.ASCII = tt.ascii
			b := Reply(parse(t, msh+"||||||"+tt.msh18+"\r"), h).Segment("PID").Text(1, "Zoë")
			if got := string(b.Bytes()); !strings.HasSuffix(got, tt.want) {
				t.Errorf("answer = %q, want it to end %q", got, tt.want)
			}
			if b.Replaced() != tt.replaced {
				t.Errorf("Replaced() = %v", b.Replaced())
			}
		})
	}
	ascii := header
	ascii.ASCII = true
	big := parse(t, "MSH|^~\\&|\xB3\x5C|||||||C1|P|2.4||||||BIG-5\r")
	if got := Reply(big, header).Bytes(); !strings.Contains(string(got), "RXX|\xB3\x5C||2025") {
		t.Errorf("Big5 sender echoed as %q", got)
	}
	if got := Reply(big, ascii).Bytes(); !isASCII(string(got)) {
		t.Errorf("Big5 sender echoed to an ASCII peer as %q", got)
	}
}

func TestBuilderCannotBreakTheFrame(t *testing.T) {
	evil := "a|b\rPID|1\x1c\r\x0bMSH\x00"
	m := parse(t, msh+"\r")
	b := Reply(m, header).MSA(AA, evil, evil)
	b.Segment("ZZZ").Raw(1, evil).Text(2, evil).Join(3, []string{evil, evil}).Composite(4, evil, evil)
	b.RawSegment("ZZY|" + evil)
	got := string(b.Bytes())
	if strings.ContainsAny(got, "\x00\x0b\x1c") {
		t.Errorf("control bytes in %q", got)
	}
	answer := parse(t, got)
	if got := names(answer); got != "MSH MSA ZZZ ZZY" {
		t.Errorf("segments = %q", got)
	}
	if got := answer.Get(MustPath("ZZZ-4.2")); got != "a|b\rPID|1 \r MSH " {
		t.Errorf("ZZZ-4.2 = %q", got)
	}
}

func TestBuilderReportsMistakes(t *testing.T) {
	for name, build := range map[string]func(b *Builder){
		"same field twice": func(b *Builder) { b.Segment("PID").Text(3, "a").Text(3, "b") },
		"lower field":      func(b *Builder) { b.Segment("PID").Text(3, "a").Raw(2, "b") },
		"field 0":          func(b *Builder) { b.Segment("PID").Text(0, "a") },
		"huge field":       func(b *Builder) { b.Segment("PID").Text(1<<30, "a") },
		"bad name":         func(b *Builder) { b.Segment("pid") },
		"bad raw name":     func(b *Builder) { b.RawSegment("hello|x") },
		"long raw name":    func(b *Builder) { b.RawSegment("PIDX|x") },
		"after the end":    func(b *Builder) { b.Bytes(); b.Text(30, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			b := Reply(nil, header)
			build(b)
			if err := b.Err(); !errors.Is(err, ErrUnwritable) {
				t.Errorf("Err() = %v, want ErrUnwritable", err)
			}
			parse(t, string(b.Bytes()))
		})
	}
	if err := Reply(nil, Header{}).Err(); err != nil {
		t.Errorf("zero Header: %v", err)
	}
}

func TestOldErrorFitsItsField(t *testing.T) {
	m := parse(t, msh+"\r")
	long := Fault{Code: CodeApplicationFailure, Segment: "MSH", Field: 18, Text: strings.Repeat("&", 100)}
	for _, faults := range [][]Fault{nil, {long}, {long, long}, {{Code: 999}}, {{}, {}, {}, {}}} {
		answer := parse(t, string(Reply(m, header).ERR(faults...).Bytes()))
		if got := answer.Raw(MustPath("ERR-1")); len(got) > 80 || (got == "") != (len(faults) == 0) {
			t.Errorf("ERR-1 has %d characters: %q", len(got), got)
		}
	}
}

func TestAckType(t *testing.T) {
	for _, tt := range []struct{ typ, version, want string }{
		{"ADT^A28^ADT_A05", "2.4", "ACK^A28^ACK"}, {"ADT^A28", "2.5.1", "ACK^A28^ACK"}, {"ADT^A28", "", "ACK^A28^ACK"},
		{"ADT^A28", "2.3.1", "ACK"}, {"ADT", "2.4", "ACK"}, {"", "2.4", "ACK"},
	} {
		m := parse(t, "MSH|^~\\&|||||||"+tt.typ+"|C1|P|"+tt.version+"\r")
		if got := AckType(m); got != tt.want {
			t.Errorf("AckType of %q %q = %q, want %q", tt.typ, tt.version, got, tt.want)
		}
		if got := parse(t, string(Reply(m, header).Bytes())).Raw(MustPath("MSH-9")); got != tt.want {
			t.Errorf("MSH-9 of the answer = %q, want %q", got, tt.want)
		}
	}
	if AckType(nil) != "ACK" {
		t.Error("AckType(nil)")
	}
}

func TestCodeText(t *testing.T) {
	for code, want := range map[int]string{
		0: "Message accepted", 100: "Segment sequence error", 101: "Required field missing", 102: "Data type error",
		103: "Table value not found", 200: "Unsupported message type", 201: "Unsupported event code",
		202: "Unsupported processing id", 203: "Unsupported version id", 204: "Unknown key identifier",
		205: "Duplicate key identifier", 206: "Application record locked", 207: "Application internal error", 42: "",
	} {
		if got := CodeText(code); got != want {
			t.Errorf("CodeText(%d) = %q, want %q", code, got, want)
		}
	}
}
