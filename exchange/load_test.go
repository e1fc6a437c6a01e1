package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
	"spinetrace/store"
)

// row18 sends one frame for as long as anybody listens, and looks at what that costs.
func row18(t *testing.T, d *disk) {
	s := newSite(d).open(t)
	healthy, p := s.dial(t), s.dial(t)
	block := bytes.Repeat([]byte("x"), 64<<10)
	before := allocated()
	p.send("\v" + a03("R18A"))
	sent := make(chan int, 1)
	go func() { sent <- pour(p, block) }()
	if got := p.answer(); !strings.Contains(got, "\rMSA|AR|R18A|Message too large: ") {
		t.Errorf("answer %q", got)
	}
	p.wantEnd()
	if n := <-sent; n < mllp.HardFactor<<20 {
		t.Errorf("the end came after %d bytes, before the hard limit", n)
	}
	if got := allocated() - before; got > 8<<20 {
		t.Errorf("%d bytes allocated for a frame of which nothing is kept", got)
	}
	healthy.wantAck(a03("R18B"), "MSA|AA|R18B|Event not used")
	s.wantStory(t, "exchanged exchanged")
}

// pour writes block until nobody listens, and returns how many bytes that took.
func pour(w io.Writer, block []byte) (sent int) {
	for {
		n, err := w.Write(block)
		sent += n
		if err != nil {
			return sent
		}
	}
}

// allocated returns how many bytes were ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestAThousandFramesOfOneWrite: every message is stored, and every answer comes, in order.
func TestAThousandFramesOfOneWrite(t *testing.T) {
	s := newSite(newDisk(t)).open(t)
	p := s.dial(t)
	askThousand(p, 0)
	if n := len(s.events(t)); n != 1000 {
		t.Errorf("%d events in the journal", n)
	}
}

// BenchmarkAThousandFramesOfOneWrite is that with 1,000 untraced messages of 0.3 KB, each of
// which is on disk before the next one is read.
func BenchmarkAThousandFramesOfOneWrite(b *testing.B) {
	s := newSite(newDisk(b)).open(b)
	p := s.dial(b)
	for round := 0; b.Loop(); round++ {
		askThousand(p, round)
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "msg/s")
}

// askThousand writes a thousand frames at once and checks the answers.
func askThousand(p *sender, round int) {
	p.t.Helper()
	id := func(i int) string { return fmt.Sprintf("M%dF%d", round, i) }
	var in strings.Builder
	for i := range 1000 {
		in.WriteString(frame(a03(id(i))))
	}
	written := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p, in.String())
		written <- err
	}()
	for i := range 1000 {
		p.checkAck(p.answer(), "MSA|AA|"+id(i)+"|Event not used")
	}
	if err := <-written; err != nil {
		p.t.Error(err)
	}
}

// forgetful is a journal for tests of what happens before it.
type forgetful struct{}

func (forgetful) Commit(context.Context, store.Commit) (store.Receipt, error) {
	return store.Receipt{}, nil
}

func (forgetful) Answer(context.Context, store.ID) ([]byte, bool, error) { return nil, false, nil }

// TestCorpusSplitAtEveryByte: the socket yields two kilobytes of frames, good and odd, in two
// reads, and the answers are the same wherever the first one ended.
func TestCorpusSplitAtEveryByte(t *testing.T) {
	corpus := frame(a28("C1")) + "\n\x00" + frame(a28("C2", "\r", "\n")) + // LF and NUL between, segments by LF
		"\v" + a28("C3", "HALVORSEN", "HALV\x1cORSEN") + "\x1c" + // FS within, no CR behind
		"\v" + a03("given up") + frame(adt("A28", "C4", numbered, "PRIMROSE", "REN\xc3\xa9E")) +
		"\v\x1c\r" + "HELLO" + "\v\v" + a03("C5") + "\x1c\n" + frame(a03("C6", "|", "$")) +
		frame("\xef\xbb\xbf"+a28("C7", "\r", "\r\n", "1 MADEUP", strings.Repeat("1 MADEUP ", 20)))
	s := newSite(newDisk(t))
	s.handler.Journal = forgetful{}
	s.handler.NewControlID = func() string { return "NT0000000001" }
	at := 0 // how much of the stream was read, by the one connection there is
	s.tap = &tap{read: func(c *net.TCPConn, b []byte) (int, error) {
		round, done := at/len(corpus), at%len(corpus)
		until := len(corpus)
		if split := round + 1; done < split {
			until = split
		}
		n, err := c.Read(b[:min(len(b), until-done)])
		at += n
		return n, err
	}}
	s.open(t)
	p := s.dial(t)
	var first string
	for split := 1; split < len(corpus); split++ {
		p.send(corpus)
		var answers string
		for n := range 7 {
			got := p.answer()
			if separator := got[3:4]; !strings.Contains(got, fmt.Sprint("\rMSA", separator, "AA", separator, "C", n+1, separator)) {
				t.Fatalf("split behind byte %d: answer %d is %q", split, n+1, got)
			}
			answers += got
		}
		if first == "" {
			first = answers
		}
		if answers != first {
			t.Fatalf("split behind byte %d: other answers:\n%q\n%q", split, answers, first)
		}
	}
	t.Logf("%d bytes", len(corpus))
}

// TestMutatedFrames is row 80's hostile half: whatever a frame holds, it gets one answer,
// unless it is an answer itself, and nothing else comes.
func TestMutatedFrames(t *testing.T) {
	const connections = 20
	groups := 50 // of two mutated frames: 2,000 in all
	if large() {
		groups = 25_000 // a million
	}
	s := newSite(newDisk(t))
	if large() { // a line each, kept in memory, would be what takes the time
		s.handler.Log = slog.New(slog.NewTextHandler(&s.notes, &slog.HandlerOptions{Level: slog.LevelError}))
		s.handler.Done, s.server.ErrorLog, s.server.Count, s.server.ConnState = nil, nil, nil, nil
	}
	s.open(t)
	var senders errgroup.Group
	for n := range connections {
		m, p := mutator{rand.New(rand.NewPCG(80, uint64(n)))}, s.dial(t)
		senders.Go(func() error {
			for g := range groups {
				if err := m.talk(p, fmt.Sprintf("P%dG%d", n, g)); err != nil {
					return fmt.Errorf("connection %d, group %d: %w", n, g, err)
				}
			}
			return nil
		})
	}
	if err := senders.Wait(); err != nil {
		t.Error(err)
	}
	s.wantLogged(t, 0, "panic")
	t.Logf("%d mutated frames, %d events in the journal", 2*connections*groups, s.disk.last(t)-s.since)
}

// large tells whether tests may take minutes and gigabytes.
func large() bool { return os.Getenv("SPINETRACE_TEST_LARGE") == "1" }

// mutator writes frames that no sender meant.
type mutator struct{ *rand.Rand }

// seeds are what it begins with.
var seeds = []string{
	a28("S1"), a03("S2", "\r", "\n"), adt("A28", "S3", numbered, "|2.4", "|2.4||||||8859/1", "PRIMROSE", "REN\xe9E"),
	"BHS|^~\\&|PAS\r" + a03("S4") + a03("S5") + "BTS|2\r",
	`MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||QBP^Q22^QBP_Q21|S6|P|2.5` + "\r" +
		`QPD|Q22^Find Candidates^HL70471|T1|@PID.5.1.1^HALVORSEN~@PID.7.1^19620417~@PID.8^F` + "\rRCP|I\r",
	`MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||QRY^A19|S7|P|2.3` + "\r" + `QRD|20261122|R|I|T1|||1^RD|9990000018^HALVORSEN^PRIMROSE|DEM` + "\r",
}

// group returns two mutated frames and a good one of that control id, and how many answers
// they get. Three unreadable frames in a row would end the connection: it makes none.
func (m mutator) group(last string) (in string, answers int) {
	for {
		in = m.mutated() + m.mutated() + frame(a03(last))
		answers, unreadable := expected([]byte(in))
		if unreadable < 3 {
			return in, answers
		}
	}
}

// talk sends a group whose good message has the control id last, and checks that every frame
// is answered, and that one last.
func (m mutator) talk(p *sender, last string) error {
	in, answers := m.group(last)
	if _, err := io.WriteString(p, in); err != nil {
		return err
	}
	for n := range answers {
		got, err := p.next()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(got, "MSH") && !strings.HasPrefix(got, "BHS") {
			return fmt.Errorf("not an answer: %q", got)
		}
		if ours := strings.Contains(got, "\rMSA|AA|"+last+"|Event not used\r"); ours != (n == answers-1) {
			return fmt.Errorf("answer %d of %d: %q", n+1, answers, got)
		}
	}
	return nil
}

// mutated changes up to eight places of a frame, its marks included.
func (m mutator) mutated() string {
	b := []byte(frame(seeds[m.IntN(len(seeds))]))
	const odd = "\v\x1c\r\n|^~\\&\x00\x06\x15\"MSH\xe9\xff"
	for n := 1 + m.IntN(8); n > 0 && len(b) > 0; n-- {
		at := m.IntN(len(b))
		until := min(len(b), at+1+m.IntN(16))
		switch m.IntN(5) {
		case 0:
			b[at] = byte(m.IntN(256))
		case 1:
			b[at] = odd[m.IntN(len(odd))]
		case 2:
			b = append(b[:at:at], b[until:]...)
		case 3:
			b = append(b[:until:until], b[at:]...)
		default:
			b = b[:at]
		}
	}
	return string(b)
}

// expected tells how many answers a stream of frames gets, and how many frames that are not
// HL7 follow each other in it.
func expected(stream []byte) (answers, longest int) {
	run := 0
	for r := mllp.NewReader(bytes.NewReader(stream), 0); ; {
		body, err := r.Next()
		if errors.Is(err, io.EOF) {
			return answers, longest
		}
		if err != nil { // never at the end of a good frame
			return 0, 3
		}
		if string(body) == "\x06" || string(body) == "\x15" {
			continue // a commit of release 2
		}
		if hl7v2.Head(body) == nil {
			run++
		} else {
			run = 0
		}
		longest = max(longest, run)
		if !isAnswer(body) {
			answers++
		}
	}
}

// isAnswer tells a frame that must not be answered.
func isAnswer(body []byte) bool {
	batch := hl7v2.Split(body)
	switch {
	case batch.Header != nil:
		return false
	case len(batch.Messages) > 1:
		body = batch.Messages[0]
	}
	m, err := hl7v2.Parse(body)
	if err != nil {
		return false
	}
	code, _, _ := m.Type()
	return code == "ACK" || m.Count("MSA") > 0
}
