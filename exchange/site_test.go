package exchange_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"spinetrace/exchange"
	"spinetrace/mllp"
	"spinetrace/pds"
	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// patience is how long a test waits for what must happen. Nothing is asserted about how long
// it took.
const patience = 2 * time.Minute

// noon is the clock of the answers: 22 November 2026, 12:00 in London.
func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// disk is a journal in an SQLite file that a test can stop and start again.
type disk struct {
	path string
	now  func() time.Time // nil: noon
	bare bool             // what is in it was put there without messages

	mu sync.RWMutex
	db *sqlite.Store
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	d := &disk{path: filepath.Join(t.TempDir(), "journal.db")}
	d.start(t)
	t.Cleanup(func() { d.stop(t) })
	return d
}

func (d *disk) start(t testing.TB) {
	t.Helper()
	now := d.now
	if now == nil {
		now = noon
	}
	db, err := sqlite.Open(d.path, store.Options{Now: now})
	if err == nil {
		err = db.Start(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.db = db
}

func (d *disk) stop(t testing.TB) {
	t.Helper()
	if !d.bare {
		checkFound(t, d.store())
	}
	if err := d.store().Close(); err != nil {
		t.Error(err)
	}
}

// checkFound compares what messages are found by with the journal.
func checkFound(t interface{ Errorf(string, ...any) }, db store.Audit) {
	if _, err := store.VerifyRows(context.Background(), db, func(m store.Mismatch) { t.Errorf("%+v", m) }, nil); err != nil {
		t.Errorf("VerifyRows() error = %v", err)
	}
}

func (d *disk) store() *sqlite.Store {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.db
}

func (d *disk) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	return d.store().Commit(ctx, c)
}

func (d *disk) Answer(ctx context.Context, id store.ID) ([]byte, bool, error) {
	return d.store().Answer(ctx, id)
}

// Claim implements [store.Queue].
func (d *disk) Claim(ctx context.Context, n int, lease time.Duration) ([]store.Work, error) {
	return d.store().Claim(ctx, n, lease)
}

// Pending implements [store.Queue].
func (d *disk) Pending(ctx context.Context, parked bool, limit int) ([]store.Work, error) {
	return d.store().Pending(ctx, parked, limit)
}

// NextDue implements [store.Queue].
func (d *disk) NextDue(ctx context.Context) (time.Time, bool, error) { return d.store().NextDue(ctx) }

// Next implements [store.Outbox].
func (d *disk) Next(ctx context.Context, destination string, lease time.Duration) (store.Letter, time.Time, error) {
	return d.store().Next(ctx, destination, lease)
}

// Letters implements [store.Outbox].
func (d *disk) Letters(ctx context.Context, state store.LetterState, limit int) ([]store.Letter, error) {
	return d.store().Letters(ctx, state, limit)
}

// Letter implements [store.Outbox].
func (d *disk) Letter(ctx context.Context, position int64) (store.Letter, bool, error) {
	return d.store().Letter(ctx, position)
}

// Told implements [store.Outbox].
func (d *disk) Told(ctx context.Context, destination string, patient store.PatientKey, since time.Time, limit int) ([]store.Letter, error) {
	return d.store().Told(ctx, destination, patient, since, limit)
}

// Items implements [store.Backlog].
func (d *disk) Items(ctx context.Context, q store.ItemQuery) ([]store.Item, error) {
	return d.store().Items(ctx, q)
}

// Item implements [store.Backlog].
func (d *disk) Item(ctx context.Context, number int64) (store.Item, bool, error) {
	return d.store().Item(ctx, number)
}

// Heads implements [store.Audit].
func (d *disk) Count(ctx context.Context, chain string, upTo int64) (int64, error) {
	return d.store().Count(ctx, chain, upTo)
}

func (d *disk) Rows(ctx context.Context) iter.Seq2[store.Row, error] { return d.store().Rows(ctx) }

func (d *disk) Strays(ctx context.Context, bodies bool) (store.Strays, error) {
	return d.store().Strays(ctx, bodies)
}

func (d *disk) Heads(ctx context.Context) ([]store.Head, error) { return d.store().Heads(ctx) }

// Events implements [store.Audit].
func (d *disk) Events(ctx context.Context, q store.Query) iter.Seq2[store.Event, error] {
	return d.store().Events(ctx, q)
}

// Parts implements [store.Audit].
func (d *disk) Parts(ctx context.Context, e store.Event) ([]store.Part, bool, error) {
	return d.store().Parts(ctx, e)
}

// Find implements [store.Audit].
func (d *disk) Search(ctx context.Context, s store.Search) ([]store.Exchange, error) {
	return d.store().Search(ctx, s)
}

// Patient implements [store.Index].
func (d *disk) Patient(ctx context.Context, key store.PatientKey) (store.Patient, bool, error) {
	return d.store().Patient(ctx, key)
}

// Named implements [store.Index].
func (d *disk) Named(ctx context.Context, localID string, limit int) ([]store.Patient, error) {
	return d.store().Named(ctx, localID, limit)
}

// Holders implements [store.Index].
func (d *disk) Holders(ctx context.Context, nhsNumber string, limit int) ([]store.Patient, error) {
	return d.store().Holders(ctx, nhsNumber, limit)
}

// MergedInto implements [store.Index].
func (d *disk) MergedInto(ctx context.Context, localID string, limit int) ([]store.Patient, error) {
	return d.store().MergedInto(ctx, localID, limit)
}

// Entries implements [store.Index].
func (d *disk) Entries(ctx context.Context, after store.PatientKey, limit int) ([]store.Patient, error) {
	return d.store().Entries(ctx, after, limit)
}

// Reindex implements [store.Index].
func (d *disk) Reindex(ctx context.Context, asOf time.Time, entries iter.Seq[store.Patient]) (kept, deleted int, err error) {
	return d.store().Reindex(ctx, asOf, entries)
}

// last returns the sequence number of the newest event.
func (d *disk) last(t testing.TB) int64 {
	t.Helper()
	heads, err := d.store().Heads(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(heads) == 0 {
		return 0
	}
	return heads[0].Seq
}

// provider is a national service that says what a test wants, and keeps the contract of
// [pds.Recorder].
type provider struct {
	say func(ctx context.Context, req pds.Request) (pds.Result, error) // nil: no match

	mu    sync.Mutex
	asked []pds.Request
}

func (p *provider) Trace(ctx context.Context, req pds.Request) (pds.Result, error) {
	call := pds.Call{Backend: "smsp", Operation: req.Want.String(), NHSNumber: req.NHSNumber, Body: []byte("question")}
	if err := req.Recorder.Asking(ctx, call); err != nil {
		return pds.Result{}, &pds.Error{Class: pds.Unrecorded, Err: err}
	}
	p.mu.Lock()
	p.asked = append(p.asked, req)
	p.mu.Unlock()
	res, err := pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"}, error(nil)
	if p.say != nil {
		res, err = p.say(ctx, req)
	}
	req.Recorder.Answered(pds.Answer{Code: res.Code, NHSNumber: res.NHSNumber, Body: []byte("answer")})
	return res, err
}

func (p *provider) calls() []pds.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// says makes a provider that always says the same.
func says(res pds.Result) func(context.Context, pds.Request) (pds.Result, error) {
	return func(context.Context, pds.Request) (pds.Result, error) { return res, nil }
}

// notes is what the hooks of a site were told, and its log.
type notes struct {
	mu     sync.Mutex
	bell   chan struct{} // closed and replaced when something is noted
	log    bytes.Buffer
	counts map[mllp.Event]int
	states map[mllp.ConnState]int
	done   []exchange.Summary
}

func (n *notes) note(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.bell)
	n.bell = make(chan struct{})
}

// Write makes notes the place that a log is written to.
func (n *notes) Write(line []byte) (int, error) {
	n.note(func() { n.log.Write(line) })
	return len(line), nil
}

// site is the service as it is wired for a trust: a Server on a loopback socket, a Handler
// behind it, a journal on disk. Everything about it may be set before it is opened.
type site struct {
	notes
	handler  *exchange.Handler
	server   *mllp.Server
	provider *provider
	disk     *disk
	tap      *tap // nil: the sockets as they are

	addr   string
	since  int64 // the newest event before the site was opened
	serial int   // of the control ids it gives out
}

func newSite(d *disk) *site {
	s := &site{disk: d, provider: &provider{}}
	s.bell = make(chan struct{})
	s.counts = make(map[mllp.Event]int)
	s.states = make(map[mllp.ConnState]int)
	s.handler = &exchange.Handler{
		Tracer: s.provider, Journal: d, Index: d, Queue: d, Audit: d, Application: "NHSTRACE", ODS: "RXX", Now: noon,
		NewControlID: s.newControlID,
		Budget:       patience, CommitTimeout: patience, // a slow machine is not what is tested
		Log:  slog.New(slog.NewTextHandler(&s.notes, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Done: func(sum exchange.Summary) { s.note(func() { s.done = append(s.done, sum) }) },
	}
	s.server = &mllp.Server{
		Handler:   s.handler,
		ConnState: func(_ netip.AddrPort, st mllp.ConnState) { s.note(func() { s.states[st]++ }) },
		ErrorLog:  func(_ netip.AddrPort, err error) { s.handler.Log.Info("connection", "err", err) },
		Count:     func(e mllp.Event) { s.note(func() { s.counts[e]++ }) },
	}
	return s
}

func (s *site) newControlID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	return fmt.Sprintf("NT%010d", s.serial)
}

// open serves until the test ends.
func (s *site) open(t testing.TB) *site {
	t.Helper()
	s.since = s.disk.last(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	if s.tap != nil {
		s.tap.Listener = ln
		ln = s.tap
	}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ln) }()
	ctx, stop := context.WithCancel(context.Background())
	var worked sync.WaitGroup
	worked.Go(func() { s.handler.Work(ctx) })
	t.Cleanup(func() {
		stop()
		worked.Wait()
		s.shut(t, served)
	})
	return s
}

func (s *site) shut(t testing.TB, served <-chan error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; !errors.Is(err, mllp.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	if err := s.handler.Drain(ctx); err != nil {
		t.Errorf("Drain: %v", err)
	}
	for _, secret := range []string{"HALVORSEN", "PRIMROSE", "RXX1234567", "99900000", "19620417", "LS99"} {
		if strings.Contains(s.logged(), secret) {
			t.Errorf("the log holds patient data:\n%s", s.logged())
		}
	}
}

// await waits until ok, which is called with the notes locked, holds.
func (s *site) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	late := time.After(patience)
	for {
		s.mu.Lock()
		met, bell := ok(), s.bell
		s.mu.Unlock()
		if met {
			return
		}
		select {
		case <-bell:
		case <-late:
			t.Fatalf("waited in vain for %s; the log:\n%s", what, s.logged())
		}
	}
}

// awaitWork waits until no trace is left to be made.
func (s *site) awaitWork(t testing.TB) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for late := time.After(patience); ; {
		left, err := s.disk.Pending(context.Background(), false, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("waited in vain for traces to be made; the log:\n%s", s.logged())
		}
	}
}

// awaitClosed waits until so many connections have ended.
func (s *site) awaitClosed(t testing.TB, n int) {
	t.Helper()
	s.await(t, "connections to end", func() bool { return s.states[mllp.StateClosed] >= n })
}

func (s *site) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *site) counted(e mllp.Event) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[e]
}

// wantLogged checks that so many lines of the log hold a text.
func (s *site) wantLogged(t testing.TB, lines int, text string) {
	t.Helper()
	if n := strings.Count(s.logged(), text); n != lines {
		t.Errorf("%d lines of the log say %q, want %d:\n%s", n, text, lines, s.logged())
	}
}

// events returns what was written to the journal since the site was opened.
func (s *site) events(t testing.TB) []store.Event {
	t.Helper()
	var events []store.Event
	for e, err := range s.disk.store().Events(context.Background(), store.Query{Chain: "main", From: s.since + 1}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// wantStory checks the kinds of the journal's events since the site was opened, in order.
func (s *site) wantStory(t testing.TB, want string) {
	t.Helper()
	var kinds []string
	for _, e := range s.events(t) {
		kinds = append(kinds, e.Kind.String())
	}
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("journal: %q, want %q", got, want)
	}
}

// facts returns what the nth event since the site was opened says.
func (s *site) facts(t testing.TB, n int) store.Facts {
	t.Helper()
	events := s.events(t)
	if n >= len(events) {
		t.Fatalf("%d events in the journal, want more than %d", len(events), n)
	}
	f, err := events[n].Facts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// body returns the frame that came with the nth event since the site was opened.
func (s *site) body(t testing.TB, n int) string {
	t.Helper()
	parts, ok, err := s.disk.store().Parts(context.Background(), s.events(t)[n])
	if err != nil || !ok {
		t.Fatalf("bodies of event %d: kept %v, %v", n, ok, err)
	}
	frame, _ := store.FindPart(parts, store.Frame)
	return string(frame)
}

// wantAsked checks that the provider was asked so often, and returns the last question.
func (s *site) wantAsked(t testing.TB, n int) pds.Request {
	t.Helper()
	calls := s.provider.calls()
	if len(calls) != n {
		t.Fatalf("the provider was asked %d times, want %d", len(calls), n)
	}
	if n == 0 {
		return pds.Request{}
	}
	return calls[n-1]
}

// sender is a peer on its own connection.
type sender struct {
	*net.TCPConn
	t  testing.TB
	in *bufio.Reader
}

func (s *site) dial(t testing.TB) *sender {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &sender{conn.(*net.TCPConn), t, bufio.NewReader(conn)}
}

// send writes bytes as they are, in one Write.
func (p *sender) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatal(err)
	}
}

// answer reads one frame and returns what is in it. There must be nothing around it.
func (p *sender) answer() string {
	p.t.Helper()
	body, err := p.next()
	if err != nil {
		p.t.Fatal(err)
	}
	return body
}

// next is answer for a goroutine that is not the test's.
func (p *sender) next() (string, error) {
	var got []byte
	for !bytes.HasSuffix(got, []byte("\x1c\r")) {
		if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return "", err
		}
		more, err := p.in.ReadSlice('\r')
		got = append(got, more...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", fmt.Errorf("after %q: %w", got, err)
		}
	}
	body, ok := bytes.CutPrefix(got, []byte("\v"))
	body, ended := bytes.CutSuffix(body, []byte("\x1c\r"))
	if !ok || !ended || !bytes.HasSuffix(body, []byte("\r")) {
		return "", fmt.Errorf("not a frame of segments: %q", got)
	}
	return string(body), nil
}

// ask sends a message in a frame and returns its answer.
func (p *sender) ask(message string) string {
	p.t.Helper()
	p.send(frame(message))
	return p.answer()
}

// wantAck asks, and checks MSA of the answer, which it returns.
func (p *sender) wantAck(message, msa string) string {
	p.t.Helper()
	got := p.ask(message)
	p.checkAck(got, msa)
	return got
}

func (p *sender) checkAck(answer, msa string) {
	p.t.Helper()
	if segments := strings.Split(answer, "\r"); segments[1] != msa {
		p.t.Errorf("answered %q, want %q", segments[1], msa)
	}
}

// wantEnd checks that the connection ends, for whatever reason, without another byte.
func (p *sender) wantEnd() {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(p.in)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("the connection did not end: %v", err)
	}
	if len(got) > 0 {
		p.t.Errorf("%d bytes before the end: %.80q", len(got), got)
	}
}

// tap is a listener on whose connections a test has a hand.
type tap struct {
	net.Listener

	accepted func(*net.TCPConn)                          // called for each; may be nil
	read     func(c *net.TCPConn, b []byte) (int, error) // in place of Read; nil: the real one
	write    func(c *net.TCPConn, b []byte) (int, error) // in place of Write; nil: the real one
}

func (l *tap) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	if l.accepted != nil {
		l.accepted(tcp)
	}
	return tapped{tcp, l}, nil
}

type tapped struct {
	*net.TCPConn
	l *tap
}

func (c tapped) Read(b []byte) (int, error) {
	if c.l.read != nil {
		return c.l.read(c.TCPConn, b)
	}
	return c.TCPConn.Read(b)
}

func (c tapped) Write(b []byte) (int, error) {
	if c.l.write != nil {
		return c.l.write(c.TCPConn, b)
	}
	return c.TCPConn.Write(b)
}

func frame(message string) string { return "\v" + message + "\x1c\r" }

// The patient of these tests.
const (
	// unnumbered has no number: she is searched for.
	unnumbered = `PID|1||RXX1234567^^^RXX^MR||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F|||1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H|||||||||||||||||||||NSTS03`
	// numbered has a number that nobody has verified yet.
	numbered = `PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F|||1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H|||||||||||||||||||||NSTS02`
)

// adt is an ADT of that event and control id, in version 2.4, with edits: pairs of what to
// replace and with what.
func adt(event, id, pid string, edits ...string) string {
	m := `MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122115959||ADT^` + event + `|` + id + "|P|2.4\rEVN||20261122115958\r" + pid + "\r"
	return strings.NewReplacer(edits...).Replace(m)
}

// a28 is the A28 of row 1 with edits.
func a28(id string, edits ...string) string { return adt("A28", id, unnumbered, edits...) }

// a03 is a message that is stored and not traced.
func a03(id string, edits ...string) string { return adt("A03", id, unnumbered, edits...) }
