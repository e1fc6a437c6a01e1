package mllp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"spinetrace/mllp"
)

// book answers each message with "ACK " and its first twelve bytes, and records what happens.
type book struct {
	mu     sync.Mutex
	bell   chan struct{} // closed and replaced when something is recorded
	msgs   int
	faults []string // what the FaultHandler was told
	log    []error
	counts map[mllp.Event]int
	states map[mllp.ConnState]int

	before func(ctx context.Context, msg []byte) // runs in the handler
}

func (b *book) HandleMLLP(ctx context.Context, _ netip.AddrPort, _ *tls.ConnectionState, msg []byte) ([]byte, error) {
	if b.before != nil {
		b.before(ctx, msg)
	}
	b.record(func() { b.msgs++ })
	switch string(msg) {
	case "silence":
		return nil, nil
	case "refuse":
		return nil, errors.New("store unavailable")
	case "enough":
		return ackTo(msg), errors.New("not HL7")
	case "panic":
		panic("a patient's name")
	}
	return ackTo(msg), nil
}

func ackTo(msg []byte) []byte { return append([]byte("ACK "), msg[:min(12, len(msg))]...) }

func (b *book) HandleOversize(_ context.Context, _ netip.AddrPort, _ *tls.ConnectionState, head []byte, size int64) ([]byte, error) {
	b.record(func() { b.faults = append(b.faults, fmt.Sprintf("oversize %.8q", head)) })
	return []byte("AR 207"), nil
}

func (b *book) HandleBroken(_ context.Context, _ netip.AddrPort, _ *tls.ConnectionState, head []byte, size int64, reason string) {
	b.record(func() { b.faults = append(b.faults, fmt.Sprintf("%s %.8q", reason, head)) })
}

func (b *book) record(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	if b.bell != nil {
		close(b.bell)
	}
	b.bell = make(chan struct{})
}

// server returns a Server that b handles and observes.
func (b *book) server() *mllp.Server {
	b.bell = make(chan struct{})
	b.counts = make(map[mllp.Event]int)
	b.states = make(map[mllp.ConnState]int)
	return &mllp.Server{
		Handler:   b,
		ConnState: func(_ netip.AddrPort, s mllp.ConnState) { b.record(func() { b.states[s]++ }) },
		ErrorLog:  func(_ netip.AddrPort, err error) { b.record(func() { b.log = append(b.log, err) }) },
		Count:     func(e mllp.Event) { b.record(func() { b.counts[e]++ }) },
	}
}

// wait waits until ok, which is called with b locked, holds.
func (b *book) wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		b.mu.Lock()
		done, bell := ok(), b.bell
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-bell:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// waitClosed waits until n connections have ended, and returns what b holds then.
func (b *book) waitClosed(t testing.TB, n int) *book {
	t.Helper()
	then := &book{}
	b.wait(t, "the connection to end", func() bool {
		then.msgs, then.faults, then.log = b.msgs, slices.Clone(b.faults), slices.Clone(b.log)
		then.counts, then.states = maps.Clone(b.counts), maps.Clone(b.states)
		return b.states[mllp.StateClosed] >= n
	})
	return then
}

func (b *book) logged(target error) bool {
	for _, err := range b.log {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// peer is the other side of a connection.
type peer struct {
	net.Conn
	tb testing.TB
}

func dial(tb testing.TB, addr string) *peer {
	tb.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	return newPeer(tb, nc)
}

func newPeer(tb testing.TB, nc net.Conn) *peer {
	tb.Cleanup(func() { nc.Close() })
	return &peer{nc, tb}
}

func (p *peer) send(s string) {
	p.tb.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.tb.Fatal(err)
	}
}

// expect reads the answers to msgs, and no further.
func (p *peer) expect(msgs ...string) {
	p.tb.Helper()
	want := answers(msgs...)
	got := make([]byte, len(want))
	p.SetReadDeadline(time.Now().Add(patience))
	if n, err := io.ReadFull(p, got); err != nil || string(got) != want {
		p.tb.Fatalf("read %q, %v, want %q", got[:n], err, want)
	}
}

// rest reads up to the end of the connection, be it a reset.
func (p *peer) rest() string {
	p.tb.Helper()
	p.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(p)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.tb.Fatalf("the connection did not end: %v", err)
	}
	return string(got)
}

// answers returns the frames that answer msgs.
func answers(msgs ...string) string {
	var out []byte
	for _, m := range msgs {
		out = mllp.Append(out, ackTo([]byte(m)))
	}
	return string(out)
}

func TestServerAnswers(t *testing.T) {
	const hello = "\vhello\x1c\r"
	for name, tt := range map[string]struct {
		in     string // sent whole, then the peer closes its half
		want   string
		faults []string
		counts map[mllp.Event]int
		log    error
	}{
		"a frame then FIN":        {in: hello, want: answers("hello")},
		"three frames at once":    {in: "\va\x1c\r\vb\x1c\r\vc\x1c\r", want: answers("a", "b", "c")},
		"no CR then FIN":          {in: "\va\x1c", want: answers("a"), counts: map[mllp.Event]int{mllp.EventNoCR: 1}, log: mllp.ErrNoCR},
		"no CR then VT":           {in: "\va\x1c\vb\x1c\r", want: answers("a", "b"), counts: map[mllp.Event]int{mllp.EventNoCR: 1}, log: mllp.ErrNoCR},
		"LF, NUL between":         {in: hello + "\n\x00" + hello, want: answers("hello", "hello"), counts: map[mllp.Event]int{mllp.EventStray: 1}},
		"junk before":             {in: "HELLO" + hello, want: answers("hello"), faults: []string{`junk "HELLO"`}, counts: map[mllp.Event]int{mllp.EventJunk: 1}, log: mllp.ErrJunk},
		"byte-order mark":         {in: "\xef\xbb\xbf" + hello, want: answers("hello"), faults: []string{`junk "\ufeff"`}, counts: map[mllp.Event]int{mllp.EventJunk: 1}, log: mllp.ErrJunk},
		"junk of 10 KiB":          {in: strings.Repeat("junk", 2560), faults: []string{`junk "junkjunk"`}, counts: map[mllp.Event]int{mllp.EventJunk: 1}, log: mllp.ErrJunk},
		"unframed message":        {in: "MSH|^~\\&\r", faults: []string{`hl7 without frame "MSH|^~\\&"`}, counts: map[mllp.Event]int{mllp.EventJunk: 1}, log: mllp.ErrJunk},
		"HTTP":                    {in: "GET / HTTP/1.1\r\n\r\n", faults: []string{`http "GET / HT"`}, counts: map[mllp.Event]int{mllp.EventJunk: 1}, log: mllp.ErrJunk},
		"TLS":                     {in: "\x16\x03\x01\x02\x00\x01", faults: []string{`tls "\x16\x03\x01\x02\x00\x01"`}, counts: map[mllp.Event]int{mllp.EventJunk: 1}, log: mllp.ErrJunk},
		"SSH":                     {in: "SSH-2.0-OpenSSH\r\n", faults: []string{`ssh "SSH-2.0-"`}, counts: map[mllp.Event]int{mllp.EventJunk: 1}, log: mllp.ErrJunk},
		"empty frame":             {in: "\v\x1c\r" + hello, want: answers("hello"), counts: map[mllp.Event]int{mllp.EventEmpty: 1}},
		"half a frame":            {in: "\vMSH|half", faults: []string{`cut off "MSH|half"`}, log: io.ErrUnexpectedEOF},
		"frame given up":          {in: "\vMSH|part\vMSH|whole\x1c\r", want: answers("MSH|whole"), faults: []string{`abandoned "MSH|part"`}, counts: map[mllp.Event]int{mllp.EventAbandoned: 1}, log: mllp.ErrAbandoned},
		"given up for a batch":    {in: "\vMSH|part\vBHS|whole\x1c\r", want: answers("BHS|whole"), faults: []string{`abandoned "MSH|part"`}, counts: map[mllp.Event]int{mllp.EventAbandoned: 1}, log: mllp.ErrAbandoned},
		"FS in data":              {in: "\vPID|\x1cx\x1c\r", want: answers("PID|\x1cx"), counts: map[mllp.Event]int{mllp.EventFSInData: 1}},
		"VT in data":              {in: "\vPID|\vx\x1c\r", want: answers("PID|\vx")},
		"release 2 commit":        {in: "\v\x06\x1c\r\v\x15\x1c\r" + hello, want: answers("hello"), counts: map[mllp.Event]int{mllp.EventRelease2: 2}, log: mllp.ErrRelease2},
		"oversize, then normal":   {in: "\v" + strings.Repeat("x", 3<<10) + "\x1c\r" + hello, want: "\vAR 207\x1c\r" + answers("hello"), faults: []string{`oversize "xxxxxxxx"`}, counts: map[mllp.Event]int{mllp.EventOversize: 1}, log: mllp.ErrFrameTooLarge},
		"nothing to answer":       {in: "\vsilence\x1c\r" + hello, want: answers("hello")},
		"a handler's error":       {in: "\vrefuse\x1c\r" + hello},
		"an answer, then no more": {in: "\venough\x1c\r" + hello, want: answers("enough")},
		"a probe":                 {counts: map[mllp.Event]int{mllp.EventProbe: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &book{}
			srv := b.server()
			srv.MaxFrame = 2 << 10
			p := dial(t, startServer(t, srv))
			p.send(tt.in)
			if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := p.rest(); got != tt.want {
				t.Errorf("answered %q, want %q", got, tt.want)
			}
			b.waitClosed(t, 1)
			if d := cmp.Diff(tt.faults, b.faults); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.counts, b.counts, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("counts (-want +got):\n%s", d)
			}
			if tt.log != nil && (len(b.log) != 1 || !b.logged(tt.log)) {
				t.Errorf("logged %v, want one line of %v", b.log, tt.log)
			}
		})
	}
}

func TestServerAnswersWithoutEOF(t *testing.T) {
	b := &book{}
	p := dial(t, startServer(t, b.server()))
	p.send("\vone\x1c")
	p.expect("one") // though no CR came
	p.send("\r\vtwo\x1c\r")
	p.expect("two")
	for _, c := range "\vthree\x1c\r" {
		p.send(string(c))
	}
	p.expect("three")
	p.send("\vfour\x1c\r\vfi")
	p.expect("four")
	p.send("ve\x1c")
	p.send("\r")
	p.expect("five")
}

func TestServerAnswersAThousandFramesOfOneWrite(t *testing.T) {
	b := &book{}
	p := dial(t, startServer(t, b.server()))
	var in []byte
	var msgs []string
	for i := range 1000 {
		msgs = append(msgs, fmt.Sprintf("MSH|%d", i))
		in = mllp.Append(in, []byte(msgs[i]))
	}
	p.send(string(in))
	p.expect(msgs...)
}

func TestServerIgnoresProbes(t *testing.T) {
	const probes = 1000
	b := &book{}
	srv := b.server()
	srv.MaxConnsPerAddr = probes
	addr := startServer(t, srv)
	for range probes {
		dial(t, addr).Close()
	}
	b.waitClosed(t, probes)
	if b.counts[mllp.EventProbe] != probes || len(b.faults) != 0 || len(b.log) != 0 {
		t.Errorf("%d probes, faults %v, log %v; want %d and no more", b.counts[mllp.EventProbe], b.faults, b.log, probes)
	}
}

func TestServerClosesAtTheHardLimit(t *testing.T) {
	b := &book{}
	srv := b.server()
	srv.MaxFrame = 64 << 10
	p := dial(t, startServer(t, srv))
	go func() {
		block := bytes.Repeat([]byte("x"), 64<<10)
		io.WriteString(p, "\v")
		for range 10 << 20 / len(block) {
			if _, err := p.Write(block); err != nil {
				return
			}
		}
	}()
	if got, want := p.rest(), "\vAR 207\x1c\r"; got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
	b.waitClosed(t, 1)
	if d := cmp.Diff([]string{`oversize "xxxxxxxx"`}, b.faults); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

// plain is a Handler that is no FaultHandler.
type plain struct{ mllp.Handler }

func TestServerWithoutFaultHandler(t *testing.T) {
	b := &book{}
	srv := b.server()
	srv.Handler, srv.MaxFrame = plain{b}, 8
	addr := startServer(t, srv)
	for _, in := range []string{"\vlonger than eight\x1c\r\va\x1c\r", "GET / HTTP/1.1\r\n"} {
		p := dial(t, addr)
		p.send(in)
		if got := p.rest(); got != "" {
			t.Errorf("%.10q: answered %q", in, got)
		}
	}
}

func TestServerSurvivesPanics(t *testing.T) {
	b := &book{}
	addr := startServer(t, b.server())
	p := dial(t, addr)
	p.send("\vpanic\x1c\r")
	if got := p.rest(); got != "" {
		t.Errorf("answered %q", got)
	}
	got := b.waitClosed(t, 1)
	if got.states[mllp.StateActive] != 1 || got.states[mllp.StateIdle] != 1 {
		t.Errorf("states %v, want one active and one idle", got.states)
	}
	var pe *mllp.PanicError
	if len(got.log) != 1 || !errors.As(got.log[0], &pe) || strings.Contains(pe.Error(), "name") || !bytes.Contains(pe.Stack, []byte("HandleMLLP")) {
		t.Errorf("logged %v, want a panic without its text", got.log)
	}
	q := dial(t, addr)
	q.send("\vnext\x1c\r")
	q.expect("next")
}

func TestServerLimitsConnections(t *testing.T) {
	for name, tt := range map[string]struct {
		limit func(*mllp.Server)
		want  error
		full  bool // and admits another when one has left
	}{
		"in all":      {func(s *mllp.Server) { s.MaxConns = 1 }, mllp.ErrTooManyConns, true},
		"per address": {func(s *mllp.Server) { s.MaxConnsPerAddr = 1 }, mllp.ErrTooManyConns, true},
		"not allowed": {func(s *mllp.Server) { s.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, mllp.ErrNotAllowed, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := &book{}
			srv := b.server()
			tt.limit(srv)
			addr := startServer(t, srv)
			first := dial(t, addr)
			if tt.full {
				first.send("\va\x1c\r")
				first.expect("a")
			}
			second := dial(t, addr)
			if got := second.rest(); got != "" {
				t.Errorf("answered %q", got)
			}
			b.wait(t, "the refusal", func() bool { return b.states[mllp.StateRefused] > 0 && b.logged(tt.want) })
			if !tt.full {
				return
			}
			first.Close()
			b.waitClosed(t, 1)
			third := dial(t, addr)
			third.send("\vc\x1c\r")
			third.expect("c")
		})
	}
}

func TestServerKeepsServingWhileFramesAreHalfSent(t *testing.T) {
	const half = 1500
	b := &book{}
	srv := b.server()
	srv.MaxConns, srv.MaxConnsPerAddr = half+1, half+1
	addr := startServer(t, srv)
	for range half {
		dial(t, addr).send("\vMSH|half")
	}
	p := dial(t, addr)
	p.send("\vhealthy\x1c\r")
	p.expect("healthy")
}

func TestServerStates(t *testing.T) {
	b := &book{}
	srv := b.server()
	srv.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8")}
	p := dial(t, startServer(t, srv))
	p.send("\va\x1c\r\vb\x1c\r")
	p.expect("a", "b")
	p.Close()
	b.waitClosed(t, 1)
	want := map[mllp.ConnState]int{mllp.StateOpen: 1, mllp.StateActive: 2, mllp.StateIdle: 2, mllp.StateClosed: 1}
	if d := cmp.Diff(want, b.states); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestHandlerOutlivesItsPeer(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	b := &book{before: func(ctx context.Context, _ []byte) {
		close(in)
		<-out
		if ctx.Err() != nil {
			t.Errorf("the context ended with the peer: %v", ctx.Err())
		}
	}}
	p := dial(t, startServer(t, b.server()))
	p.send("\vkeep me\x1c\r")
	<-in
	p.Conn.(*net.TCPConn).SetLinger(0) // reset, so that the answer cannot be written
	p.Close()
	close(out)
	b.waitClosed(t, 1)
	if b.msgs != 1 || !b.logged(mllp.ErrAnswerLost) {
		t.Errorf("%d messages, log %v; want 1, %v", b.msgs, b.log, mllp.ErrAnswerLost)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		got  fmt.Stringer
		want string
	}{
		{mllp.StateOpen, "open"},
		{mllp.StateRefused, "refused"},
		{mllp.ConnState(9), "unknown"},
		{mllp.EventProbe, "probe"},
		{mllp.EventRelease2, "release 2"},
		{mllp.Event(-1), "unknown"},
	} {
		if tt.got.String() != tt.want {
			t.Errorf("%v, want %s", tt.got, tt.want)
		}
	}
}
