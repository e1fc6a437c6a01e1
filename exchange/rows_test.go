package exchange_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"spinetrace/exchange"
	"spinetrace/hl7v2"
	"spinetrace/mllp"
	"spinetrace/pds"
	"spinetrace/store"
)

// TestRows drives rows 1 to 59 and 63 to 79 of the reference's test table over loopback
// sockets, with a journal on disk. What each expects is in docs/conformance.md.
func TestRows(t *testing.T) {
	d := newDisk(t)
	for _, row := range []struct {
		name string
		test func(*testing.T, *disk)
	}{
		{"row 01: A28 2.4, NSTS03", row01},
		{"row 02: versions 2.3 and 2.5.1", row02},
		{"row 03: names with components, ROUTE", row03},
		{"row 04: escapes and a space in MSH-10", row04},
		{"row 05: delimiters of $", row05},
		{"row 06: MSH-2 swapped, with #, short", row06},
		{"row 07: FS, and its CR later", row07},
		{"row 08: LF, NUL and text between frames", row08},
		{"row 09: three frames in one write", row09},
		{"row 10: one byte at a time", row10},
		{"row 11: junk, HTTP, TLS on the plain port", row11},
		{"row 12: probes and empty frames", row12},
		{"row 13: half a message, then the end", row13},
		{"row 14: a frame, then FIN", row14},
		{"row 15: a message given up for a new one", row15},
		{"row 16: FS within a name", row16},
		{"row 17: 1.5 MiB, then a normal one", row17},
		{"row 18: 100 MiB without an end", row18},
		{"row 19: never reads; half a frame, then silence", row19},
		{"row 20: idle, then a message", row20},
		{"row 22: MLLP release 2", row22},
		{"row 23: ends of segments", row23},
		{"row 24: LF within an address", row24},
		{"row 25: ZPD and 60 more fields", row25},
		{"row 26: escapes in names, byte-order mark", row26},
		{"row 27: 8859/1", row27},
		{"row 28: undeclared and wrongly declared characters", row28},
		{"row 29: KLINGON, UTF-16", row29},
		{"row 30: a birth date with time and zone", row30},
		{"row 31: birth dates that are none", row31},
		{"row 32: text, XML", row32},
		{"row 33: headers at fault", row33},
		{"row 34: headers at fault, profile park", row34},
		{"row 35: no PID", row35},
		{"row 36: events that do not trace", row36},
		{"row 37: MSH-15 NE, MSH-16 AL", row37},
		{"row 38: enhanced, MSH-15 AL", row38},
		{"row 39: an ACK arrives", row39},
		{"row 40: database stopped, then resent", row40},
		{"row 41: ended between commit and ACK", row41},
		{"row 42: the same message again, and at once", row42},
		{"row 43: the same control id, another patient", row43},
		{"row 44: forms of the NHS number", row44},
		{"row 45: numbers that are none", row45},
		{"row 46: two NHS numbers", row46},
		{"row 47: PID-19 and PID-2", row47},
		{"row 48: where the status stands", row48},
		{"row 49: statuses that end the question", row49},
		{"row 50: no status", row50},
		{"row 51: born ten days ago", row51},
		{"row 52: nobody knows who it is", row52},
		{"row 53: which name", row53},
		{"row 54: which postcode", row54},
		{"row 55: sex", row55},
		{"row 56: seven answers", row56},
		{"row 57: three kinds of failure, then an answer", row57},
		{"row 58: local copy, refused question", row58},
		{"row 59: the new number is another record's", row59},
		{"row 61: what the PAS answers", row61},
		{"row 63: an older message after a newer one", row63},
		{"row 64: A19 by NHS number", row64},
		{"row 65: A19 for an unknown MRN", row65},
		{"row 66: A19 that cannot be asked", row66},
		{"row 67: QRY^Q01", row67},
		{"row 68: Q22, one match", row68},
		{"row 69: Q22, none and several", row69},
		{"row 70: Q22, unknown domain", row70},
		{"row 71: Q22 at fault", row71},
		{"row 72: Q22 while Spine hangs", row72},
		{"row 73: Q22 continued, QCN^J01", row73},
		{"row 74: Q21 as ITK writes it", row74},
		{"row 75: Q23", row75},
		{"row 76: queries that are not served", row76},
		{"row 77: Q22, not verified", row77},
		{"row 78: a batch of three", row78},
		{"row 79: two MSH without a header", row79},
	} {
		t.Run(row.name, func(t *testing.T) { row.test(t, d) })
	}
}

var (
	traced   = says(pds.Result{Outcome: pds.Matched, NHSNumber: pds.MustNHSNumber("9990000018"), Code: "SMSP-0000"})
	verified = traced
)

// row01 has three witnesses of the order: the journal, the provider, the socket.
func row01(t *testing.T, d *disk) {
	s := newSite(d)
	var order []string // one exchange: nothing happens at the same time
	s.handler.Journal = witness{d, func() { order = append(order, "committed") }}
	s.provider.say = func(ctx context.Context, req pds.Request) (pds.Result, error) {
		order = append(order, "asked")
		return traced(ctx, req)
	}
	written := make(chan []string, 1)
	s.tap = &tap{write: func(c *net.TCPConn, b []byte) (int, error) {
		written <- append(slices.Clone(order), "written")
		return c.Write(b)
	}}
	s.open(t)
	want := `MSH|^~\&|NHSTRACE|RXX|PAS|RXX|20261122120000||ACK^A28^ACK|NT0000000001|P|2.4` + "\rMSA|AA|R01|Traced\r" +
		`PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||NSTS01` + "\r"
	if got := s.dial(t).ask(a28("R01")); got != want {
		t.Errorf("answer (-want +got):\n%s", cmp.Diff(want, got))
	}
	if diff := cmp.Diff([]string{"committed", "asked", "committed", "written"}, <-written); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	s.wantStory(t, "received asked answered replied")
	if body := s.body(t, 0); body != a28("R01") {
		t.Errorf("kept %q", body)
	}
	if req := s.wantAsked(t, 1); req.Want != pds.Number || req.Who.LocalID != "RXX1234567" || !req.NHSNumber.IsZero() {
		t.Errorf("asked %v", req.Want)
	}
}

// witness is a journal that tells when a commit has returned.
type witness struct {
	store.Journal
	committed func()
}

func (w witness) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	receipt, err := w.Journal.Commit(ctx, c)
	w.committed()
	return receipt, err
}

func row02(t *testing.T, d *disk) {
	live := newSite(d).open(t)
	want := `MSH|^~\&|NHSTRACE|RXX|PAS|RXX|20261122120000||ACK|NT0000000001|P|2.3` + "\rMSA|AA|R02A|No match"
	if got := live.dial(t).ask(a28("R02A", "|P|2.4", "|P|2.3")); !strings.HasPrefix(got, want) {
		t.Errorf("2.3 is answered %q, want %q", got, want)
	}
	test := newSite(d)
	test.handler.ProcessingIDs = []string{"T"}
	test.open(t)
	want = `MSH|^~\&|NHSTRACE|RXX|PAS|RXX|20261122120000||ACK^A28^ACK|NT0000000001|T|2.5.1` + "\rMSA|AA|R02B|No match"
	if got := test.dial(t).ask(a28("R02B", "|P|2.4", "|T|2.5.1")); !strings.HasPrefix(got, want) {
		t.Errorf("2.5.1 is answered %q, want %q", got, want)
	}
}

func row03(t *testing.T, d *disk) {
	p := newSite(d).open(t).dial(t)
	for id, tt := range map[string]struct{ sent, want string }{
		"R03A": {"A^1.2.3^ISO|B^4.5.6^ISO|C^7.8.9^ISO|D^1.2^DNS", "C^7.8.9^ISO|D^1.2^DNS|A^1.2.3^ISO|B^4.5.6^ISO"},
		"R03B": {"A^1.2.3^ISO|B^4.5.6^ISO|ROUTE|ROUTE", "NHSTRACE|RXX|A^1.2.3^ISO|B^4.5.6^ISO"},
		"R03C": {"A^1.2.3^ISO|B||", "NHSTRACE|RXX|A^1.2.3^ISO|B"},
	} {
		want := `MSH|^~\&|` + tt.want + "|20261122120000|"
		if got := p.wantAck(a03(id, "PAS|RXX|NHSTRACE|RXX", tt.sent), "MSA|AA|"+id+"|Event not used"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: answer %q, want %q", id, got, want)
		}
	}
}

func row04(t *testing.T, d *disk) {
	p := newSite(d).open(t).dial(t)
	p.wantAck(a03(`AB\T\C 01`), `MSA|AA|AB\T\C 01|Event not used`)
}

func row05(t *testing.T, d *disk) {
	s := newSite(d)
	s.provider.say = verified
	p := s.open(t).dial(t)
	want := `MSH$^~\&$NHSTRACE$RXX$PAS$RXX$20261122120000$$ACK^A28^ACK$NT0000000001$P$2.4` + "\rMSA$AA$R05$Verified\r" +
		`PID$1$$RXX1234567^^^RXX^MR~9990000018^^^NHS^NH$$HALVORSEN^PRIMROSE^ANNE^^MRS^^L$$19620417$F$$$$$$$$$$$$$$$$$$$$$$$$NSTS01` + "\r"
	if got := p.ask(adt("A28", "R05", numbered, "|", "$")); got != want {
		t.Errorf("answer (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func row06(t *testing.T, d *disk) {
	s := newSite(d)
	s.provider.say = verified
	s.open(t)
	p := s.dial(t)
	p.wantAck(adt("A28", "R06A", numbered, `^~\&|PAS`, `^&~\|PAS`), "MSA|AA|R06A|Verified")
	req := s.wantAsked(t, 1)
	if req.NHSNumber.Digits() != "9990000018" || req.Who.Family != "HALVORSEN" || req.Who.Given != "PRIMROSE" || req.Who.LocalID != "RXX1234567" {
		t.Error("PID-3 and PID-5 were not read as ^~\\& has them")
	}
	if got := s.facts(t, 0).Reason; got != hl7v2.SwappedDelimiters.String() {
		t.Errorf("reason %q", got)
	}
	p.wantAck(adt("A28", "R06B", numbered, `^~\&|PAS`, `^~\&#|PAS`), "MSA|AA|R06B|Verified")
	s.wantAsked(t, 2)
	p.wantAck(a28("R06C", `^~\&|PAS`, `^|PAS`), "MSA|AA|R06C|Traced")
}

func row07(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	p.send("\v" + a03("R07A") + "\x1c")
	p.checkAck(p.answer(), "MSA|AA|R07A|Event not used") // while the CR is still to come
	p.send("\r")
	p.wantAck(a03("R07B"), "MSA|AA|R07B|Event not used")
	s.wantStory(t, "exchanged exchanged")
	s.wantLogged(t, 1, mllp.ErrNoCR.Error())
}

func row08(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	p.send(frame(a03("R08A")) + "\n\x00" + frame(a03("R08B")) + "HELLO" + frame(a03("R08C")))
	for _, id := range []string{"R08A", "R08B", "R08C"} {
		p.checkAck(p.answer(), "MSA|AA|"+id+"|Event not used")
	}
	s.wantStory(t, "exchanged exchanged broken exchanged")
	s.wantLogged(t, 1, mllp.ErrJunk.Error()+": 5 bytes, junk")
	s.wantLogged(t, 0, "HELLO")
}

func row09(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	ids := []string{"R09A", "R09B", "R09C"}
	p.send(frame(a03(ids[0])) + frame(a03(ids[1])) + frame(a03(ids[2])))
	for _, id := range ids {
		p.checkAck(p.answer(), "MSA|AA|"+id+"|Event not used")
	}
	s.wantStory(t, "exchanged exchanged exchanged")
	for n, id := range ids {
		if got := s.facts(t, n).ControlID; got != id {
			t.Errorf("row %d is of %s, want %s", n, got, id)
		}
	}
}

func row10(t *testing.T, d *disk) {
	p := newSite(d).open(t).dial(t)
	in := frame(a28("R10"))
	for i := range len(in) {
		p.send(in[i : i+1])
	}
	p.checkAck(p.answer(), "MSA|AA|R10|No match")
}

func row11(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	for _, tt := range []struct{ in, reason string }{
		{strings.Repeat("lab result ", 1<<10)[:10<<10], mllp.BrokenJunk},
		{"GET / HTTP/1.1\r\nHost: trust.example\r\n\r\n", mllp.BrokenHTTP},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", mllp.BrokenTLS},
	} {
		rows := len(s.events(t))
		p := s.dial(t)
		p.send(tt.in)
		p.wantEnd()
		if got := s.facts(t, rows).Reason; !strings.HasPrefix(got, tt.reason+", ") {
			t.Errorf("row says %q, want %q", got, tt.reason)
		}
		s.wantLogged(t, 1, "bytes, "+tt.reason+`"`)
	}
	s.wantLogged(t, 0, "trust.example")
	s.wantStory(t, "broken broken broken")
	s.dial(t).wantAck(a03("R11"), "MSA|AA|R11|Event not used")
}

func row12(t *testing.T, d *disk) {
	const probes = 1000
	s := newSite(d)
	s.server.MaxConnsPerAddr = probes + 1
	s.open(t)
	for range probes {
		s.dial(t).Close()
	}
	s.awaitClosed(t, probes)
	p := s.dial(t)
	p.send("\v\x1c\r")
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	p.wantEnd()
	s.awaitClosed(t, probes+1)
	s.wantStory(t, "")
	if got := s.logged(); got != "" {
		t.Errorf("the log:\n%s", got)
	}
	if n, m := s.counted(mllp.EventProbe), s.counted(mllp.EventEmpty); n != probes || m != 1 {
		t.Errorf("counted %d probes and %d empty frames", n, m)
	}
}

func row13(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	whole := a28("R13")
	p.send("\v" + whole[:len(whole)/2])
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	p.wantEnd()
	s.wantStory(t, "broken")
	if f := s.facts(t, 0); f.ControlID != "R13" || !strings.HasPrefix(f.Reason, mllp.BrokenCutOff+", ") || s.body(t, 0) != whole[:len(whole)/2] {
		t.Errorf("row says %q of %q", f.Reason, f.ControlID)
	}
}

func row14(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	p.send(frame(a28("R14")))
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	p.checkAck(p.answer(), "MSA|AA|R14|No match")
	p.wantEnd()
}

func row15(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	given := a03("R15A")[:60]
	p.send("\v" + given + frame(a03("R15B")))
	p.checkAck(p.answer(), "MSA|AA|R15B|Event not used")
	s.wantStory(t, "broken exchanged")
	if got := s.body(t, 0); got != given {
		t.Errorf("kept %q", got)
	}
	s.wantLogged(t, 1, mllp.ErrAbandoned.Error())
}

func row16(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	in := a28("R16", "HALVORSEN", "HALV\x1cORSEN")
	s.dial(t).wantAck(in, "MSA|AA|R16|No match")
	if got := s.wantAsked(t, 1).Who.Family; got != "HALVORSEN" {
		t.Errorf("asked about %q", got)
	}
	if s.body(t, 0) != in {
		t.Error("the message was not kept whole")
	}
	if got := s.facts(t, 0).Reason; got != hl7v2.StrayFS.String() {
		t.Errorf("reason %q", got)
	}
}

func row17(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	long := a03("R17A") + "OBX|1|ED|||" + strings.Repeat("QUJD", 3<<17) + "\r"
	p.wantAck(long, fmt.Sprintf("MSA|AR|R17A|Message too large: %d bytes", len(long)))
	p.wantAck(a03("R17B"), "MSA|AA|R17B|Event not used")
	s.wantStory(t, "exchanged exchanged")
	if got := len(s.body(t, 0)); got != 4<<10 {
		t.Errorf("%d bytes of the long one were kept", got)
	}
}

// row19 has a peer whose socket takes next to nothing, and one that falls silent in a frame.
func row19(t *testing.T, d *disk) {
	s := newSite(d)
	s.server.WriteTimeout = 50 * time.Millisecond
	s.provider.say = traced
	s.tap = &tap{accepted: func(c *net.TCPConn) { _ = c.SetWriteBuffer(4 << 10) }} // a wish: the answer is longer than any buffer
	s.open(t)
	healthy, deaf := s.dial(t), s.dial(t)
	if err := deaf.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	deaf.send(frame(a28("R19A", "^^L||", "^^L~"+strings.Repeat("X", 900<<10)+"^^^^^^A||")))
	healthy.wantAck(a03("R19B"), "MSA|AA|R19B|Event not used")
	s.awaitClosed(t, 1)
	s.wantLogged(t, 1, mllp.ErrAnswerLost.Error())
	s.wantLogged(t, 1, "i/o timeout")
	healthy.wantAck(a03("R19C"), "MSA|AA|R19C|Event not used")

	s = newSite(d)
	s.server.FrameTimeout = 50 * time.Millisecond
	s.open(t)
	stuck := s.dial(t)
	stuck.send("\v" + a28("R19D")[:40])
	s.dial(t).wantAck(a03("R19E"), "MSA|AA|R19E|Event not used")
	stuck.wantEnd()
	s.wantLogged(t, 1, mllp.ErrFrameTimeout.Error())
	s.dial(t).wantAck(a03("R19F"), "MSA|AA|R19F|Event not used")
}

// row20 has a connection that is idle for longer than every limit there is: another one, that
// began a frame later, is closed by its limit first.
func row20(t *testing.T, d *disk) {
	s := newSite(d)
	s.server.WriteTimeout, s.server.FrameTimeout = 20*time.Millisecond, 20*time.Millisecond
	s.open(t)
	idle := s.dial(t)
	idle.wantAck(a03("R20A"), "MSA|AA|R20A|Event not used")
	stuck := s.dial(t)
	stuck.send("\vMSH")
	stuck.wantEnd()
	idle.wantAck(a03("R20B"), "MSA|AA|R20B|Event not used")
}

func row22(t *testing.T, d *disk) {
	s := newSite(d)
	s.server.Release = 2
	s.open(t)
	p := s.dial(t)
	const commit = "\x0b\x06\x1c\x0d"
	for _, id := range []string{"R22A", "R22B"} {
		p.send(frame(a28(id)))
		p.SetReadDeadline(time.Now().Add(patience))
		if got, err := p.in.Peek(len(commit)); err != nil || string(got) != commit {
			t.Fatalf("read %q, %v, want a commit block", got, err)
		}
		if _, err := p.in.Discard(len(commit)); err != nil {
			t.Fatal(err)
		}
		p.checkAck(p.answer(), "MSA|AA|"+id+"|No match")
		p.send(commit)
	}
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	p.wantEnd()
	if n := s.counted(mllp.EventNoCommit) + s.counted(mllp.EventRelease2); n != 0 {
		t.Errorf("%d of the peer's commits were not taken for what they are", n)
	}
}

// asked compares what was asked, but for what makes every question another one.
var asked = []cmp.Option{
	cmpopts.IgnoreFields(pds.Request{}, "ID", "Recorder"),
	cmp.Comparer(func(a, b pds.NHSNumber) bool { return a == b }),
}

func row23(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	p.wantAck(a28("R23A"), "MSA|AA|R23A|No match")
	want := s.wantAsked(t, 1)
	for n, tt := range []struct{ id, end string }{{"R23B", "\n"}, {"R23C", "\r\n"}, {"R23D", "\r\r"}, {"R23E", "\r\r\r"}} {
		p.wantAck(a28(tt.id, "\r", tt.end), "MSA|AA|"+tt.id+"|No match")
		if diff := cmp.Diff(want, s.wantAsked(t, n+2), asked...); diff != "" {
			t.Errorf("%q: the question differs (-want +got):\n%s", tt.end, diff)
		}
	}
	p.wantAck(strings.TrimSuffix(a28("R23F"), "\r"), "MSA|AA|R23F|No match")
	if diff := cmp.Diff(want, s.wantAsked(t, 6), asked...); diff != "" {
		t.Errorf("no last CR: the question differs (-want +got):\n%s", diff)
	}
}

func row24(t *testing.T, d *disk) {
	s := newSite(d)
	s.provider.say = traced
	s.open(t)
	got := s.dial(t).wantAck(a28("R24", "1 MADEUP TERRACE", "1 MADEUP\nTERRACE"), "MSA|AA|R24|Traced")
	if req := s.wantAsked(t, 1); req.Who.Postcode != "LS99 1AA" || strings.Count(got, "PID|") != 1 || !strings.Contains(got, "|NSTS01\r") {
		t.Errorf("postcode read: %v; answer %q", req.Who.Postcode == "LS99 1AA", got)
	}
}

func row25(t *testing.T, d *disk) {
	s := newSite(d)
	s.provider.say = traced
	s.open(t)
	in := a28("R25", "NSTS03", "NSTS03"+strings.Repeat("|extra", 60)) + "ZPD|1|own^\\Zown\\|\"\"\r"
	got := s.dial(t).wantAck(in, "MSA|AA|R25|Traced")
	if !strings.HasSuffix(got, "|NSTS01\r") {
		t.Errorf("answer %q", got)
	}
	if s.body(t, 0) != in {
		t.Error("the message was not kept byte for byte")
	}
}

func row26(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	for n, tt := range []struct{ id, sent, want string }{
		{"R26A", `O\T\NEIL`, "O&NEIL"}, {"R26B", `O\Neil`, `O\Neil`}, {"R26C", `A\X41\B`, "AAB"},
	} {
		p.wantAck(a28(tt.id, "HALVORSEN", tt.sent), "MSA|AA|"+tt.id+"|No match")
		if got := s.wantAsked(t, n+1).Who.Family; got != tt.want {
			t.Errorf("%s is asked about as %s, want %s", tt.sent, got, tt.want)
		}
	}
	p.wantAck("\xef\xbb\xbf"+a28("R26D"), "MSA|AA|R26D|No match")
	s.wantAsked(t, 4)
}

func row27(t *testing.T, d *disk) {
	s := newSite(d)
	s.provider.say = traced
	s.open(t)
	got := s.dial(t).wantAck(a28("R27", "PRIMROSE", "REN\xe9E", "|2.4", "|2.4||||||8859/1"), "MSA|AA|R27|Traced")
	if given := s.wantAsked(t, 1).Who.Given; given != "RENéE" {
		t.Errorf("asked about %q", given)
	}
	if !strings.Contains(got, "|2.4||||||8859/1\r") || !strings.Contains(got, "^REN\xe9E^") {
		t.Errorf("answer %q", got)
	}
}

func row28(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	for n, tt := range []struct{ id, name, set string }{
		{"R28A", "REN\xc3\xa9E", ""}, {"R28B", "REN\xe9E", ""}, {"R28C", "REN\xe9E", "||||||UNICODE UTF-8"},
	} {
		p.wantAck(a28(tt.id, "PRIMROSE", tt.name, "|2.4", "|2.4"+tt.set), "MSA|AA|"+tt.id+"|No match")
		if got := s.wantAsked(t, n+1).Who.Given; got != "RENéE" {
			t.Errorf("%s: asked about %q", tt.id, got)
		}
	}
	// Four events each: the first says what was odd about the message.
	for n, want := range map[int]string{0: "", 4: "", 8: hl7v2.InvalidUTF8.String()} {
		if got := s.facts(t, n).Reason; got != want {
			t.Errorf("reason of event %d is %q, want %q", n, got, want)
		}
	}
}

func row29(t *testing.T, d *disk) {
	lenient := newSite(d).open(t)
	klingon := []string{"|2.4", "|2.4||||||KLINGON"}
	p := lenient.dial(t)
	p.wantAck(a28("R29A", klingon...), "MSA|AA|R29A|No match")
	if got := lenient.facts(t, 0).Reason; got != hl7v2.UnknownCharset.String() {
		t.Errorf("reason %q", got)
	}
	var wide []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + a28("R29B", "|2.4", "|2.4||||||UNICODE UTF-16", "PRIMROSE", "RENÉE"))) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	want := `MSH|^~\&|NHSTRACE|RXX|PAS|RXX|20261122120000||ACK^A28^ACK|NT0000000002|P|2.4` + "\rMSA|AR|R29B|Character set cannot be used over MLLP\r" +
		"ERR|MSH^1^18^102&Data type error&HL70357&&Character set cannot be used over MLLP\r"
	if got := p.ask(string(wide)); got != want {
		t.Errorf("UTF-16 (-want +got):\n%s", cmp.Diff(want, got))
	}
	strict := newSite(d)
	strict.handler.Parser.StrictCharset = true
	strict.open(t)
	got := strict.dial(t).wantAck(a28("R29C", klingon...), "MSA|AR|R29C|Unknown character set")
	if !strings.Contains(got, "ERR|MSH^1^18^103&Table value not found&HL70357") {
		t.Errorf("strict: answer %q", got)
	}
}

func row30(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	s.dial(t).wantAck(a28("R30", "19620417", "20080920000000.0000+0100"), "MSA|AA|R30|No match")
	if got := s.wantAsked(t, 1).Who.BirthDate; got != (pds.Date{Year: 2008, Month: 9, Day: 20}) {
		t.Error("the birth date moved")
	}
}

func row31(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	for n, tt := range []struct{ id, born string }{{"R31A", "196513121515"}, {"R31B", "20240230"}, {"R31C", "19000101"}} {
		p.wantAck(a28(tt.id, "19620417", tt.born), "MSA|AA|"+tt.id+"|Not traced: birth date")
		if f := s.facts(t, n); f.Reason != "Not traced: birth date" || f.Outcome != store.NotTraced.String() {
			t.Errorf("%s: recorded %q, %q", tt.id, f.Outcome, f.Reason)
		}
	}
	s.wantAsked(t, 0)
	s.wantStory(t, "exchanged exchanged exchanged")
}

func row32(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	for n, in := range []string{"hello", "<?xml version=\"1.0\"?><PRPA_IN201101UK/>"} {
		want := `MSH|^~\&|NHSTRACE|RXX|||20261122120000||ACK|NT000000000` + string(rune('1'+n)) + "|P|2.4\r" +
			"MSA|AR||No readable MSH\rERR|MSH^1^^100&Segment sequence error&HL70357&&No readable MSH\r"
		if got := p.ask(in); got != want {
			t.Errorf("%.5q (-want +got):\n%s", in, cmp.Diff(want, got))
		}
		if s.body(t, n) != in {
			t.Errorf("%.5q was not kept", in)
		}
	}
	p.wantAck(a03("R32"), "MSA|AA|R32|Event not used")
}

// headers are what row 33 changes about a header, and the code and place of the ERR.
var headers = []struct{ id, old, new, err string }{
	{"A", "ADT^A28", "", "MSH^1^9^101&"},
	{"B", "", "", "MSH^1^10^101&"}, // the control id itself
	{"C", "ADT^A28", "ORU^R01", "MSH^1^9^200&"},
	{"D", "ADT^A28", "ADT^Z99", "MSH^1^9^201&"},
	{"E", "|P|", "|D|", "MSH^1^11^202&"},
	{"F", "|2.4", "|3.0", "MSH^1^12^203&"},
}

func row33(t *testing.T, d *disk) { wantRefused(t, newSite(d), "R33", "AR") }

func row34(t *testing.T, d *disk) {
	s := newSite(d)
	s.handler.Profile = exchange.Park
	wantRefused(t, s, "R34", "AE")
}

func wantRefused(t *testing.T, s *site, prefix, code string) {
	t.Helper()
	s.open(t)
	p := s.dial(t)
	for _, tt := range headers {
		id, edits := prefix+tt.id, []string{tt.old, tt.new}
		if tt.old == "" {
			id, edits = "", nil
		}
		got := p.ask(a28(id, edits...))
		if segments := strings.Split(got, "\r"); !strings.HasPrefix(segments[1], "MSA|"+code+"|"+id+"|") || !strings.HasPrefix(segments[2], "ERR|"+tt.err) {
			t.Errorf("%s: answer %q, want %s and ERR %s", tt.id, got, code, tt.err)
		}
	}
	s.wantStory(t, strings.TrimSpace(strings.Repeat("exchanged ", len(headers))))
	s.wantAsked(t, 0)
}

func row35(t *testing.T, d *disk) {
	p := newSite(d).open(t).dial(t)
	for id, tt := range map[string]struct{ version, err string }{
		"R35A": {"2.5", "ERR||PID^1|100^Segment sequence error^HL70357|E|||PID segment missing"},
		"R35B": {"2.3", "ERR|PID^1^^100&Segment sequence error&HL70357&&PID segment missing"},
	} {
		got := p.wantAck(adt("A28", id, "PV1||N", "|2.4", "|"+tt.version), "MSA|AE|"+id+"|PID segment missing")
		segments := strings.Split(got, "\r")
		if segments[2] != tt.err || len(segments[2]) > len("ERR|")+80 || len(segments) != 4 {
			t.Errorf("%s: answer %q, want %q", tt.version, got, tt.err)
		}
	}
}

func row36(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	for n, event := range []string{"A02", "A03", "A11", "A60"} {
		p.wantAck(adt(event, "R36"+event, numbered), "MSA|AA|R36"+event+"|Event not used")
		if f := s.facts(t, n); f.Outcome != store.NotTraced.String() || f.LocalID != "RXX1234567" {
			t.Errorf("%s: recorded %q", event, f.Outcome)
		}
	}
	s.wantStory(t, "exchanged exchanged exchanged exchanged")
	s.wantAsked(t, 0)
}

func row37(t *testing.T, d *disk) {
	asks := []string{"|2.4", "|2.4|||NE|AL"}
	original := newSite(d).open(t)
	original.dial(t).wantAck(a28("R37A", asks...), "MSA|AA|R37A|No match")

	enhanced := newSite(d)
	enhanced.handler.Enhanced = true
	enhanced.open(t)
	p := enhanced.dial(t)
	p.send(frame(a03("R37B", asks...)))
	p.wantAck(a03("R37C"), "MSA|AA|R37C|Event not used") // the first thing on the wire
	enhanced.wantStory(t, "exchanged exchanged")
}

func row38(t *testing.T, d *disk) {
	asks := []string{"|2.4", "|2.4|||AL"}
	s := newSite(d)
	s.handler.Enhanced = true
	s.open(t)
	p := s.dial(t)
	p.wantAck(a28("R38A", asks...), "MSA|CA|R38A")
	s.awaitWork(t) // the trace comes after the commit
	s.wantStory(t, "exchanged asked answered finished")
	told := newSite(d)
	told.handler.Enhanced, told.handler.StoreDown = true, exchange.StoreDownNack
	told.open(t)
	d.stop(t)
	defer d.start(t)
	p.send(frame(a28("R38B", asks...)))
	p.wantEnd()
	p = told.dial(t)
	p.wantAck(a28("R38C", asks...), "MSA|CE|R38C|Cannot be dealt with now")
	p.wantEnd()
	p = told.dial(t)
	p.send(frame(a28("R38D", "|2.4", "|2.4|||SU"))) // which does not want to hear of it
	p.wantEnd()
	s.wantAsked(t, 1)
	told.wantAsked(t, 0)
}

func row39(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	p.send(frame(`MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||ACK|R39A|P|2.4` + "\rMSA|AA|NT1\r"))
	p.wantAck(a03("R39B"), "MSA|AA|R39B|Event not used") // the first thing on the wire
	s.wantStory(t, "exchanged exchanged")
	if got := s.facts(t, 0).Outcome; got != store.Unanswered.String() {
		t.Errorf("recorded as %q", got)
	}
	s.wantLogged(t, 1, "outcome=unanswered")
}

func row40(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	d.stop(t)
	p := s.dial(t)
	p.send(frame(a28("R40")))
	p.wantEnd()
	s.wantAsked(t, 0)
	d.start(t)
	s.wantStory(t, "")
	s.dial(t).wantAck(a28("R40"), "MSA|AA|R40|No match")
	s.wantStory(t, "received asked answered replied")
	s.wantFound(t, "R40", 1)
	s.wantAsked(t, 1)
}

// TestStoreDownAnswers: what a trust may have its senders told instead of nothing.
func TestStoreDownAnswers(t *testing.T) {
	d := newDisk(t)
	sites := make(map[string]*site)
	for name, profile := range map[string]exchange.Profile{"AR": exchange.HL7, "AE": exchange.ARValidation} {
		s := newSite(d)
		s.handler.StoreDown, s.handler.Profile = exchange.StoreDownNack, profile
		sites[name] = s.open(t)
	}
	release2 := newSite(d)
	release2.handler.StoreDown, release2.server.Release = exchange.StoreDownNack, 2
	release2.open(t)
	s := sites["AR"]
	s.dial(t).wantAck(a03("SD1"), "MSA|AA|SD1|Event not used")
	d.stop(t)
	for code, s := range sites {
		p := s.dial(t)
		if got := p.wantAck(a28("SD2"), "MSA|"+code+"|SD2|Cannot be dealt with now"); !strings.Contains(got, "207&") {
			t.Errorf("answer %q", got)
		}
		p.wantEnd()
		s.wantAsked(t, 0)
	}
	p := s.dial(t)
	p.checkAck(p.ask("hello"), "MSA|AR||Cannot be dealt with now")
	p.wantEnd()
	p = s.dial(t)
	p.send(frame(`MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||ACK|SD3|P|2.4` + "\rMSA|AA|NT1\r")) // an answer gets none
	p.wantEnd()
	p = s.dial(t)
	got := p.ask(batchHeader + a03("SD4") + a03("SD5") + "BTS|2\r")
	if !strings.Contains(got, "\rMSA|AR|SD4|") || !strings.Contains(got, "\rMSA|AR|SD5|") || !strings.HasSuffix(got, "\rBTS|2\r") {
		t.Errorf("the batch is answered %q", got)
	}
	p.wantEnd()
	p = release2.dial(t)
	p.send(frame(a03("SD6")))
	const refused = "\x0b\x15\x1c\x0d"
	if got, err := p.in.Peek(len(refused)); err != nil || string(got) != refused {
		t.Fatalf("read %q, %v, want a negative commit block", got, err)
	}
	if _, err := p.in.Discard(len(refused)); err != nil {
		t.Fatal(err)
	}
	p.checkAck(p.answer(), "MSA|AR|SD6|Cannot be dealt with now")
	p.wantEnd()
	d.start(t)
	s.dial(t).wantAck(a28("SD2"), "MSA|AA|SD2|No match")
}

// wantFound checks how many exchanges have a control id.
func (s *site) wantFound(t *testing.T, controlID string, n int) {
	t.Helper()
	found, err := s.disk.store().Search(t.Context(), store.Search{ControlID: controlID, Limit: n + 1})
	if err != nil || len(found) != n {
		t.Errorf("%d exchanges of %s, %v; want %d", len(found), controlID, err, n)
	}
}

// row41 ends everything when the answer is on disk and about to be written, and begins again
// over the same file.
func row41(t *testing.T, d *disk) {
	before := newSite(d)
	before.provider.say = traced
	lost := make(chan string, 1)
	before.tap = &tap{write: func(c *net.TCPConn, b []byte) (int, error) {
		lost <- string(b)
		return 0, errors.Join(net.ErrClosed, c.Close())
	}}
	before.open(t)
	p := before.dial(t)
	p.send(frame(a28("R41")))
	p.wantEnd()
	d.stop(t)
	d.start(t)
	after := newSite(d).open(t)
	if got, want := frame(after.dial(t).wantAck(a28("R41"), "MSA|AA|R41|Traced")), <-lost; got != want {
		t.Errorf("the resend (-lost +got):\n%s", cmp.Diff(want, got))
	}
	before.wantAsked(t, 1)
	after.wantAsked(t, 0)
	before.wantStory(t, "received asked answered replied resent")
	after.wantFound(t, "R41", 1)
}

func row42(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	first := p.wantAck(a28("R42A"), "MSA|AA|R42A|No match")
	if again := p.ask(a28("R42A", "20261122115959", "20261122130000")); again != first {
		t.Errorf("the resend (-first +got):\n%s", cmp.Diff(first, again))
	}
	s.wantStory(t, "received asked answered replied resent")
	s.wantAsked(t, 1)

	both := newSite(d)
	in := make(chan struct{})
	both.provider.say = func(ctx context.Context, req pds.Request) (pds.Result, error) {
		<-in // both are being handled
		return traced(ctx, req)
	}
	both.open(t)
	one, other := both.dial(t), both.dial(t)
	one.send(frame(a28("R42B")))
	other.send(frame(a28("R42B")))
	both.await(t, "both to be handled", func() bool { return both.states[mllp.StateActive] == 2 })
	close(in)
	if a, b := one.answer(), other.answer(); a != b || !strings.Contains(a, "\rMSA|AA|R42B|Traced\r") {
		t.Errorf("two answers (-one +other):\n%s", cmp.Diff(a, b))
	}
	both.wantFound(t, "R42B", 1)
	both.wantAsked(t, 1)
}

func row43(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	p.wantAck(a03("R43"), "MSA|AA|R43|Event not used")
	p.wantAck(a03("R43", "RXX1234567", "RXX7654321", "PRIMROSE", "AMARYLLIS"), "MSA|AA|R43|Event not used")
	s.wantFound(t, "R43", 2)
	const warning = "control id came before with another message"
	s.wantLogged(t, 1, "level=WARN msg=\""+warning)
	if got := s.facts(t, 1).Reason; got != warning+"; Event not used" {
		t.Errorf("reason %q", got)
	}
}

const (
	fileHeader  = `FHS|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||||F78` + "\r"
	batchHeader = `BHS|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||||B78` + "\r"
)

// wantBatch sends a batch and checks the headers, trailers and MSA segments of its answer.
func (p *sender) wantBatch(batch string, want ...string) {
	p.t.Helper()
	var got []string
	for segment := range strings.SplitSeq(p.ask(batch), "\r") {
		if name, _, _ := strings.Cut(segment, "|"); slices.Contains([]string{"FHS", "BHS", "MSA", "BTS", "FTS"}, name) {
			got = append(got, segment)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func row78(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	header := func(name string, serial int, of string) string {
		return fmt.Sprintf(`%s|^~\&|NHSTRACE|RXX|PAS|RXX|20261122120000||||NT%010d|%s`, name, serial, of)
	}
	p.wantBatch(fileHeader+batchHeader+a03("R78A")+adt("A03", "R78B", "PV1||N")+a03("R78C")+"BTS|4\rFTS|1\r",
		header("BHS", 4, "B78"), "MSA|AA|R78A|Event not used", "MSA|AE|R78B|PID segment missing", "MSA|AA|R78C|Event not used",
		"BTS|3|count mismatch")
	s.wantStory(t, "broken exchanged exchanged exchanged")
	s.wantLogged(t, 1, "level=WARN msg=\"batch at fault\"")

	s = newSite(d).open(t)
	p = s.dial(t)
	p.wantBatch(fileHeader+batchHeader+a03("R78D")+"BTS|1\r"+strings.Replace(batchHeader, "B78", "C78", 1)+a03("R78E")+a03("R78F")+"BTS|2\rFTS|2\r",
		header("FHS", 4, "F78"), header("BHS", 5, "B78"), "MSA|AA|R78D|Event not used", "BTS|1",
		header("BHS", 6, "C78"), "MSA|AA|R78E|Event not used", "MSA|AA|R78F|Event not used", "BTS|2", "FTS|2")
	p.wantBatch(strings.Replace(batchHeader, `^~\&`, `^^^^`, 1)+a03("R78G")+"BTS|1\r",
		header("BHS", 8, "B78"), "MSA|AA|R78G|Event not used", "BTS|1|encoding characters not usable")
	p.wantBatch(batchHeader+a03("R78H", `^~\&|PAS`, "^|PAS")+a03("R78I", `^~\&|PAS`, "^^^^|PAS")+"BTS|2\r",
		header("BHS", 11, "B78"), "MSA|AA|R78H|Event not used", "MSA|AR|R78I|Encoding characters not usable", "BTS|2")
	s.wantStory(t, "exchanged exchanged exchanged broken exchanged exchanged exchanged")

	s = newSite(d)
	s.handler.BatchAnswer = exchange.BatchSingle
	p = s.open(t).dial(t)
	for _, tt := range []struct{ batch, want string }{
		{a03("R78J") + a03("R78K"), "MSA|AA|R78J|Event not used"},
		{a03("R78L") + adt("A03", "R78M", "PV1||N") + a03("R78N"), "MSA|AE|R78L|PID segment missing"},
	} {
		p.wantBatch(batchHeader+tt.batch+"BTS\r", tt.want)
	}
	p.wantBatch(batchHeader+"BTS|0\r", header("BHS", 6, "B78"), "BTS|0") // there is no message to answer
}

func row79(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	p := s.dial(t)
	if got := p.wantAck(a03("R79A")+a03("R79B"), "MSA|AA|R79A|Event not used"); strings.Count(got, "MSA|") != 1 {
		t.Errorf("answer %q", got)
	}
	s.wantStory(t, "exchanged exchanged")
	s.wantFound(t, "R79A", 1)
	s.wantFound(t, "R79B", 1)
	p.wantAck(a03("R79C"), "MSA|AA|R79C|Event not used") // the next thing on the wire

	ack := `MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||ACK|R79D|P|2.4` + "\rMSA|AA|NT1\r"
	p.wantAck(ack+a03("R79E"), "MSA|AA|R79E|Event not used")
	p.wantBatch(batchHeader+ack+a03("R79F")+"BTS|2\r",
		`BHS|^~\&|NHSTRACE|RXX|PAS|RXX|20261122120000||||NT0000000006|B78`, "MSA|AA|R79F|Event not used", "BTS|1")
	p.wantBatch(batchHeader+ack+"BTS|1\r", `BHS|^~\&|NHSTRACE|RXX|PAS|RXX|20261122120000||||NT0000000007|B78`, "BTS|0")
	p.send(frame(ack + ack))
	p.wantAck(a03("R79G"), "MSA|AA|R79G|Event not used") // two answers are not answered
}

// TestFaultyMessagesKeepTheConnection: only frames that are not HL7 at all end one, three in a
// row. A message that cannot be parsed is answered, however many there are, and its record
// is found by its control id.
func TestFaultyMessagesKeepTheConnection(t *testing.T) {
	s := newSite(newDisk(t)).open(t)
	p := s.dial(t)
	faulty := func(id string) string { return a03(id) + "this is no segment\r" }
	for n := range 4 {
		id := fmt.Sprint("F", n)
		p.wantAck(faulty(id), "MSA|AE|"+id+"|A line is not a segment")
		s.wantFound(t, id, 1)
	}
	got := p.ask(`BHS|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||||B1` + "\r" + faulty("F4") + faulty("F5") + faulty("F6") + "BTS|3\r")
	if strings.Count(got, "\rMSA|AE|") != 3 || !strings.HasSuffix(got, "\rBTS|3\r") {
		t.Errorf("the batch is answered %q", got)
	}
	for _, in := range []string{"hello", "hello", "hello"} {
		p.checkAck(p.ask(in), "MSA|AR||No readable MSH")
	}
	p.wantEnd()
}
