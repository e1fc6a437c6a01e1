package exchange_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/exchange"
	"spinetrace/mllp"
	"spinetrace/store"
)

// depot is an outbox on disk with a relay to one receiver, at a time that the test moves.
type depot struct {
	disk  *disk
	relay *exchange.Relay
	pas   *scriptedPAS
	down  func(store.Commit) error // what the relay's commits are answered, if not nil
	done  chan exchange.Delivery   // every attempt that ended

	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

// scriptedPAS is a receiver that answers what a test says: bytes, nothing, or the end of the
// connection.
type scriptedPAS struct {
	say func(msg string) (answer string, err error)

	mu  sync.Mutex
	got []string
}

func (p *scriptedPAS) HandleMLLP(_ context.Context, _ netip.AddrPort, _ *tls.ConnectionState, msg []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, string(msg))
	answer, err := p.say(string(msg))
	if answer == "" {
		return nil, err
	}
	return []byte(answer), err
}

// says sets what is answered from now on: an MSA-1, or the end of the connection if there is none.
func (p *scriptedPAS) says(code string) {
	p.answers(func(msg string) (string, error) {
		if code == "" {
			return "", errors.New("hung up")
		}
		return ackOf(code, controlID(msg)), nil
	})
}

func (p *scriptedPAS) answers(say func(msg string) (string, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.say = say
}

// ids are the control ids of what came, in order.
func (p *scriptedPAS) ids() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, msg := range p.got {
		ids = append(ids, controlID(msg))
	}
	return strings.Join(ids, " ")
}

// ackOf is a receiver's acknowledgement, with what a careless one would say about the patient.
func ackOf(code, id string) string {
	return "MSH|^~\\&|PAS|RXX|NHSTRACE|RXX|20261122120001||ACK|A1|P|2.4\rMSA|" + code + "|" + id + "|HALVORSEN is not known\r"
}

func controlID(msg string) string { return strings.Split(msg, "|")[9] }

// newDepot is a depot whose receiver says AA. Nothing is sent before run.
func newDepot(t *testing.T) *depot {
	t.Helper()
	f := &depot{now: noon(), pas: &scriptedPAS{}, done: make(chan exchange.Delivery, 1000)}
	f.pas.says("AA")
	f.disk = &disk{path: filepath.Join(t.TempDir(), "journal.db"), now: f.time, bare: true}
	f.disk.start(t)
	t.Cleanup(func() { f.disk.stop(t) })
	f.relay = f.newRelay(t)
	t.Cleanup(func() {
		for _, secret := range []string{"HALVORSEN", "PRIMROSE", "RXX1234567"} {
			if strings.Contains(f.logged(), secret) {
				t.Errorf("the log holds patient data:\n%s", f.logged())
			}
		}
	})
	return f
}

func (f *depot) newRelay(t *testing.T) *exchange.Relay {
	return &exchange.Relay{
		Destination: exchange.ToPAS, Sender: connect(t, f.pas), Outbox: f.disk, Journal: gate{f.disk, f}, Audit: f.disk,
		CommitTimeout: patience, Grace: patience, Now: f.time, Log: slog.New(slog.NewTextHandler(f, nil)),
		Done: func(d exchange.Delivery) { f.done <- d }, Notify: exchange.Notify{store.Undelivered: {exchange.ToMail}},
	}
}

// gate is the journal as the relay has it: a test may shut it.
type gate struct {
	*disk
	f *depot
}

func (g gate) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	g.f.mu.Lock()
	down := g.f.down
	g.f.mu.Unlock()
	if down != nil {
		if err := down(c); err != nil {
			return store.Receipt{}, err
		}
	}
	return g.disk.Commit(ctx, c)
}

func (f *depot) time() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Write makes the depot the place that a log is written to.
func (f *depot) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(line)
}

func (f *depot) logged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.String()
}

var subject = store.PatientKey{Authority: "RXX", LocalID: "RXX1234567"}

// letter puts an A31 into the outbox, and returns it as it is there.
func (f *depot) letter(t *testing.T, id string, edits ...func(*store.Letter, *store.Entry)) store.Letter {
	t.Helper()
	l := store.Letter{Destination: f.relay.Destination, Exchange: store.NewID(), ControlID: id, Kind: store.Update, Patient: subject}
	e := store.Entry{
		Kind: store.Queued, Facts: store.Facts{Destination: l.Destination, ControlID: id},
		Parts: []store.Part{{Kind: store.Sent, Data: []byte(adt("A31", id, unnumbered))}},
	}
	for _, edit := range edits {
		edit(&l, &e)
	}
	c := store.Commit{Exchange: l.Exchange, Entries: []store.Entry{e}, Letters: []store.Letter{l}}
	if _, err := f.disk.Commit(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	waiting, err := f.disk.Letters(context.Background(), store.Waiting, 100)
	if err != nil {
		t.Fatal(err)
	}
	return waiting[len(waiting)-1]
}

func kind(k store.LetterKind) func(*store.Letter, *store.Entry) {
	return func(l *store.Letter, _ *store.Entry) { l.Kind = k }
}

// next makes the relay look at the outbox, and waits for one attempt to end.
func (f *depot) next(t *testing.T) exchange.Delivery {
	t.Helper()
	f.relay.Wake()
	select {
	case d := <-f.done:
		return d
	case <-time.After(patience):
		t.Fatalf("waited in vain for an attempt; the log:\n%s", f.logged())
		return exchange.Delivery{}
	}
}

// retry moves the clock to when the letter is due, and waits for an attempt. It returns how long
// that was.
func (f *depot) retry(t *testing.T, l store.Letter) time.Duration {
	t.Helper()
	due := f.read(t, l).Due
	f.mu.Lock()
	wait := due.Sub(f.now)
	f.now = due
	f.mu.Unlock()
	f.next(t)
	return wait
}

func (f *depot) read(t *testing.T, l store.Letter) store.Letter {
	t.Helper()
	l, ok, err := f.disk.Letter(context.Background(), l.Position)
	if err != nil || !ok {
		t.Fatalf("letter: %v, %v", ok, err)
	}
	return l
}

// wantState checks where a letter is, and why.
func (f *depot) wantState(t *testing.T, l store.Letter, state store.LetterState, reason string) store.Letter {
	t.Helper()
	l = f.read(t, l)
	if l.State != state || l.Reason != reason {
		t.Errorf("%s is %v: %q, want %v: %q", l.ControlID, l.State, l.Reason, state, reason)
	}
	return l
}

// last returns the newest event of a letter's exchange: its facts and the bytes that were answered.
func (f *depot) last(t *testing.T, l store.Letter) (k store.Kind, facts store.Facts, answer string) {
	t.Helper()
	events := f.events(t, l)
	e := events[len(events)-1]
	facts, err := e.Facts()
	if err != nil {
		t.Fatal(err)
	}
	parts, _, err := f.disk.Parts(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := store.FindPart(parts, store.Acknowledged)
	return e.Kind, facts, string(b)
}

func (f *depot) events(t *testing.T, l store.Letter) []store.Event {
	t.Helper()
	var events []store.Event
	for e, err := range f.disk.Events(context.Background(), store.Query{Exchange: l.Exchange}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func (f *depot) items(t *testing.T) []store.Item {
	t.Helper()
	items, err := f.disk.Items(context.Background(), store.ItemQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// start runs a relay, and returns what stops it and waits for it.
func start(r *exchange.Relay) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var ran sync.WaitGroup
	ran.Go(func() { r.Run(ctx) })
	return func() {
		cancel()
		ran.Wait()
	}
}

// TestRelayReadsTheAnswer: what becomes of a letter, what is recorded of it, who hears of it.
func TestRelayReadsTheAnswer(t *testing.T) {
	const again = "to be tried again"
	no := func(what string) string { return "mllp: send: mllp: no answer: " + what }
	for name, tt := range map[string]struct {
		code     string
		answer   string // in place of an acknowledgement with code
		edit     func(*exchange.Relay)
		kind     store.LetterKind
		state    store.LetterState
		reason   string
		refused  int
		unwanted bool // the connection's owner refuses the answer, and keeps none of it
	}{
		"AA":                         {code: "AA", state: store.Delivered},
		"AA, application level":      {code: "AA", kind: store.Acknowledgement, state: store.Delivered},
		"CA":                         {code: "CA", state: store.Parked, reason: "answered CA, which promises less than AA"},
		"CA, accepted":               {code: "CA", edit: func(r *exchange.Relay) { r.AcceptCA = true }, state: store.Delivered},
		"CA, application level":      {code: "CA", kind: store.Acknowledgement, state: store.Delivered},
		"AE":                         {code: "AE", state: store.Parked, reason: "answered AE"},
		"CR":                         {code: "CR", state: store.Parked, reason: "answered CR"},
		"AR":                         {code: "AR", state: store.Waiting, reason: "answered AR", refused: 1},
		"CE":                         {code: "CE", state: store.Waiting, reason: "answered CE", refused: 1},
		"spaces":                     {answer: ackOf(" AA ", " N1 "), state: store.Delivered},
		"a line that is no segment":  {answer: ackOf("AA", "N1") + "thank you\r", state: store.Delivered},
		"an unknown MSA-1":           {answer: ackOf("HALVORSEN", "N1"), state: store.Waiting, reason: "an answer with an unknown MSA-1"},
		"no MSA-1":                   {answer: ackOf("", "N1"), state: store.Waiting, reason: "an answer with an unknown MSA-1"},
		"to another":                 {answer: ackOf("AA", "N2"), state: store.Waiting, reason: no("the answer is to another message"), unwanted: true},
		"to nobody":                  {answer: ackOf("AA", ""), state: store.Waiting, reason: no("the answer is to another message"), unwanted: true},
		"no MSA":                     {answer: adt("A31", "N1", unnumbered), state: store.Waiting, reason: no("the answer has no MSA"), unwanted: true},
		"text":                       {answer: "HALVORSEN? Never heard of her", state: store.Waiting, reason: no("the answer is not HL7"), unwanted: true},
		"to another, and nobody saw": {answer: ackOf("AA", "N2"), edit: heedless, state: store.Waiting, reason: "the answer is to another message"},
		"text, and nobody saw":       {answer: "HALVORSEN?", edit: heedless, state: store.Waiting, reason: "the answer is not HL7"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newDepot(t)
			if tt.edit != nil {
				tt.edit(f.relay)
			}
			if tt.kind == 0 {
				tt.kind = store.Update
			}
			if tt.answer == "" {
				tt.answer = ackOf(tt.code, "N1")
			}
			f.pas.answers(func(string) (string, error) { return tt.answer, nil })
			l := f.letter(t, "N1", kind(tt.kind))
			run(t, f.relay)
			if got := f.next(t); got.State != tt.state || got.Kind != tt.kind || got.Destination != exchange.ToPAS {
				t.Errorf("Done was told %+v", got)
			}
			if got := f.wantState(t, l, tt.state, tt.reason); got.Refusals != tt.refused || !got.Until.IsZero() {
				t.Errorf("%d refusals, claimed until %v", got.Refusals, got.Until)
			}
			k, facts, kept := f.last(t, l)
			want := store.Facts{User: store.System, Destination: "pas", Letter: l.Position, ControlID: "N1", Attempt: 1, Ack: tt.code, Outcome: tt.state.String(), Reason: tt.reason}
			if tt.state == store.Waiting {
				want.Outcome = again
			}
			if tt.state == store.Delivered {
				want.Ack = either(tt.code, "AA")
			}
			if diff := cmp.Diff(want, facts); k != store.Tried || diff != "" {
				t.Errorf("%v (-want +got):\n%s", k, diff)
			}
			if tt.unwanted {
				tt.answer = ""
			}
			if kept != tt.answer {
				t.Errorf("kept %q, want %q", kept, tt.answer)
			}
			if got := len(f.items(t)); (got > 0) != (tt.state == store.Parked) {
				t.Errorf("%d items", got)
			}
		})
	}
}

// either returns a, or b if a is empty.
func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// heedless makes a relay's connection take every answer for the right one.
func heedless(r *exchange.Relay) { r.Sender.(*mllp.Client).Match = nil }

// TestRelayTriesForEver: while nobody answers the letter is tried again, with the same bytes and
// ever longer pauses, and those behind it wait for it.
func TestRelayTriesForEver(t *testing.T) {
	f := newDepot(t)
	f.pas.says("")
	l, behind := f.letter(t, "N1"), f.letter(t, "N2")
	run(t, f.relay)
	f.next(t)
	var waits []time.Duration
	for range 6 {
		waits = append(waits, f.retry(t, l))
	}
	want := []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	f.pas.says("AA")
	f.retry(t, l)
	f.next(t)
	f.wantState(t, l, store.Delivered, "")
	f.wantState(t, behind, store.Delivered, "")
	if got := f.pas.ids(); got != "N1 N1 N1 N1 N1 N1 N1 N1 N2" {
		t.Errorf("sent %s", got)
	}
	for _, msg := range f.pas.got[:8] {
		if msg != adt("A31", "N1", unnumbered) {
			t.Errorf("sent %q", msg)
		}
	}
	if n := strings.Count(f.logged(), "a destination does not take its letters"); n != 1 || !strings.Contains(f.logged(), "attempts=7") {
		t.Errorf("%d lines about a letter that waits for long:\n%s", n, f.logged())
	}
}

// TestRelayRefusals: five refusals in all park a letter, whatever came between them; and the next
// one is sent.
func TestRelayRefusals(t *testing.T) {
	f := newDepot(t)
	l, behind := f.letter(t, "N1"), f.letter(t, "N2")
	codes := []string{"AR", "", "CE", "AR", "", "AR", "AR", "CE"}
	f.pas.says(codes[0])
	run(t, f.relay)
	f.next(t)
	for _, code := range codes[1:] {
		f.wantState(t, l, store.Waiting, f.read(t, l).Reason)
		f.pas.says(code)
		f.retry(t, l)
	}
	f.next(t) // of the next one, which says CE, too
	if got := f.wantState(t, l, store.Parked, "refused 6 times, last by CE"); got.Refusals != 6 || got.Attempt != 8 {
		t.Errorf("%d refusals in %d attempts", got.Refusals, got.Attempt)
	}
	f.pas.says("AA")
	f.retry(t, behind)
	f.wantState(t, behind, store.Delivered, "")
}

// TestRelayParks: the letters behind one that is parked go on, and a person hears of it once for
// each patient.
func TestRelayParks(t *testing.T) {
	f := newDepot(t)
	f.pas.answers(func(msg string) (string, error) {
		code := map[string]string{"N3": "AA"}[controlID(msg)]
		return ackOf(either(code, "AE"), controlID(msg)), nil
	})
	l := f.letter(t, "N1")
	f.letter(t, "N2")
	good := f.letter(t, "N3")
	nobody := f.letter(t, "N4", func(l *store.Letter, _ *store.Entry) { l.Patient = store.PatientKey{} })
	run(t, f.relay)
	for range 4 {
		f.next(t)
	}
	f.wantState(t, l, store.Parked, "answered AE")
	f.wantState(t, good, store.Delivered, "")
	items := f.items(t)
	if len(items) != 2 {
		t.Fatalf("%d items", len(items))
	}
	first := items[0]
	want := `{"local_ids":["RXX^RXX1234567"],"control_id":"N2","destination":"pas","letter":2,"reason":"update answered AE"}`
	if first.Kind != store.Undelivered || first.Patient != subject || first.Times != 2 || first.Doc != want {
		t.Errorf("%v of %v, raised %d times: %s", first.Kind, first.Patient, first.Times, first.Doc)
	}
	if second := items[1]; second.Patient != (store.PatientKey{}) || second.Exchange != nobody.Exchange {
		t.Errorf("an item about %v of %v", second.Patient, second.Exchange)
	}
	told, err := f.disk.Letters(context.Background(), store.Waiting, 9)
	if err != nil || len(told) != 2 || told[0].Destination != exchange.ToMail || told[0].Kind != store.Notice {
		t.Errorf("told of it: %v, %v", told, err)
	}
	if got := strings.Count(f.logged(), "a letter is parked"); got != 3 {
		t.Errorf("%d lines:\n%s", got, f.logged())
	}
}

// TestRelaySilence: a receiver that never answers is hung up on.
func TestRelaySilence(t *testing.T) {
	f := newDepot(t)
	f.relay.Sender.(*mllp.Client).AnswerTimeout = time.Millisecond
	f.pas.answers(func(string) (string, error) { return "", nil })
	l := f.letter(t, "N1")
	run(t, f.relay)
	for range 2 {
		if d := f.next(t); d.State != store.Waiting {
			t.Errorf("told %+v", d)
		}
		f.mu.Lock()
		f.now = f.now.Add(time.Hour)
		f.mu.Unlock()
	}
	if got := f.read(t, l); got.State != store.Waiting || !strings.Contains(got.Reason, "no answer") || got.Refusals != 0 {
		t.Errorf("%v: %q, %d refusals", got.State, got.Reason, got.Refusals)
	}
}

// TestRelayStoreDown: while the end of an attempt cannot be written down, nothing else is sent and
// nothing is sent again.
func TestRelayStoreDown(t *testing.T) {
	f := newDepot(t)
	l, behind := f.letter(t, "N1"), f.letter(t, "N2")
	tries := make(chan store.Commit, 1000)
	f.down = func(c store.Commit) error {
		tries <- c
		return fmt.Errorf("down: %w", store.ErrUnavailable)
	}
	run(t, f.relay)
	first := <-tries
	for range 3 {
		f.relay.Wake()
		if diff := cmp.Diff(first, <-tries); diff != "" {
			t.Errorf("another settlement (-first +next):\n%s", diff)
		}
	}
	f.mu.Lock()
	f.down = nil
	f.mu.Unlock()
	f.next(t)
	f.next(t)
	f.wantState(t, l, store.Delivered, "")
	f.wantState(t, behind, store.Delivered, "")
	if got := f.pas.ids(); got != "N1 N2" {
		t.Errorf("sent %s", got)
	}
	if f.logged() != "" {
		t.Errorf("of which the store itself tells:\n%s", f.logged())
	}
}

// TestRelayRestart: a letter whose acknowledgement came and was not recorded before the end is sent
// again by the next process, with the same bytes.
func TestRelayRestart(t *testing.T) {
	f := newDepot(t)
	l := f.letter(t, "N1")
	answered := make(chan struct{}, 1000)
	f.down = func(store.Commit) error {
		answered <- struct{}{}
		return store.ErrUnavailable
	}
	f.relay.Grace = time.Nanosecond
	stop := start(f.relay)
	<-answered
	stop()
	<-f.done
	if got := f.read(t, l); got.State != store.Waiting || got.Until.IsZero() {
		t.Errorf("left %v, claimed until %v", got.State, got.Until)
	}
	f.disk.stop(t)
	f.disk.start(t)
	f.down = nil
	f.relay = f.newRelay(t)
	run(t, f.relay)
	f.next(t)
	f.wantState(t, l, store.Delivered, "")
	if len(f.pas.got) != 2 || f.pas.got[0] != f.pas.got[1] {
		t.Errorf("sent %q", f.pas.got)
	}
}

// TestRelayRejected: an end that the store does not take parks the letter, barely.
func TestRelayRejected(t *testing.T) {
	f := newDepot(t)
	l, behind := f.letter(t, "N1"), f.letter(t, "N2")
	f.down = func(c store.Commit) error {
		if len(c.Entries[0].Parts) > 0 {
			return fmt.Errorf("%w: not today", store.ErrRejected)
		}
		return nil
	}
	run(t, f.relay)
	f.next(t)
	f.next(t)
	for _, l := range []store.Letter{l, behind} {
		f.wantState(t, l, store.Parked, "how an attempt ended could not be recorded")
	}
	if n := strings.Count(f.logged(), "rejected by the store"); n != 2 {
		t.Errorf("%d lines:\n%s", n, f.logged())
	}
}

// TestRelayStop: what is in hand at a stop has its time of grace. An attempt that takes longer is cut
// off, and that is not the destination's fault.
func TestRelayStop(t *testing.T) {
	f := newDepot(t)
	l, behind := f.letter(t, "N1"), f.letter(t, "N2")
	sending := make(chan struct{})
	f.relay.Grace = time.Nanosecond
	f.relay.Sender = sender1(func(ctx context.Context, _ []byte) ([]byte, error) {
		close(sending)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	stop := start(f.relay)
	<-sending
	stop()
	got := f.wantState(t, l, store.Waiting, "cut short by a stop")
	if !got.Due.Equal(f.time()) || got.Refusals != 0 || !got.Until.IsZero() {
		t.Errorf("due %v, %d refusals, claimed until %v", got.Due, got.Refusals, got.Until)
	}

	f.relay = f.newRelay(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	f.pas.answers(func(msg string) (string, error) {
		close(asked)
		<-answer
		return ackOf("AA", controlID(msg)), nil
	})
	stop = start(f.relay)
	<-asked
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	close(answer)
	<-stopped
	f.wantState(t, l, store.Delivered, "")
	f.wantState(t, behind, store.Waiting, "")
}

// sender1 is a Sender that is a function.
type sender1 func(context.Context, []byte) ([]byte, error)

func (s sender1) Send(ctx context.Context, msg []byte) ([]byte, error) { return s(ctx, msg) }

// forGood is an error that will come again.
type forGood struct{ error }

func (forGood) Permanent() bool { return true }

// TestRelayPermanent: a sender that will never take a letter parks it.
func TestRelayPermanent(t *testing.T) {
	f := newDepot(t)
	f.relay.Sender = sender1(func(context.Context, []byte) ([]byte, error) {
		return nil, fmt.Errorf("send: %w", forGood{errors.New("no such place")})
	})
	l := f.letter(t, "N1")
	run(t, f.relay)
	f.next(t)
	f.wantState(t, l, store.Parked, "send: no such place")
}

// TestRelayNotices: they are written when they are sent, need no answer, and raise nothing when they
// are parked.
func TestRelayNotices(t *testing.T) {
	f := newDepot(t)
	var failing error
	f.relay.Write = func(_ context.Context, l store.Letter) ([]byte, error) {
		return []byte("notice of " + l.ControlID), failing
	}
	var sent []string
	f.relay.Sender = sender1(func(_ context.Context, msg []byte) ([]byte, error) {
		if sent = append(sent, string(msg)); strings.HasSuffix(string(msg), "2") {
			return nil, forGood{errors.New("answered 404")}
		}
		return nil, nil
	})
	bare := func(l *store.Letter, e *store.Entry) {
		l.Kind, *e = store.Notice, store.Entry{Kind: store.Replied}
	}
	one, two, three := f.letter(t, "item 1", bare), f.letter(t, "item 2", bare), f.letter(t, "item 3", bare)
	failing = errors.New("cannot be read")
	stop := start(f.relay)
	f.awaitLog(t, "cannot be read")
	stop()
	failing = nil
	run(t, f.relay)
	for range 3 {
		f.next(t)
	}
	f.wantState(t, one, store.Delivered, "")
	f.wantState(t, two, store.Parked, "answered 404")
	f.wantState(t, three, store.Delivered, "")
	if diff := cmp.Diff([]string{"notice of item 1", "notice of item 2", "notice of item 3"}, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if len(f.items(t)) != 0 {
		t.Error("a notice that is parked raised an item")
	}
}

// awaitLog keeps the relay looking until the log has a line.
func (f *depot) awaitLog(t *testing.T, text string) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for late := time.After(patience); !strings.Contains(f.logged(), text); f.relay.Wake() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("waited in vain for %q; the log:\n%s", text, f.logged())
		}
	}
}

// TestRelayWithoutBytes: a letter whose bytes are gone is parked, and the next one is sent.
func TestRelayWithoutBytes(t *testing.T) {
	f := newDepot(t)
	var gone []store.Letter
	for id, edit := range map[string]func(*store.Entry){
		"N1": func(e *store.Entry) { e.Parts = nil },
		"N2": func(e *store.Entry) { e.Facts.Destination = "forward" },
		"N3": func(e *store.Entry) { e.Facts.ControlID = "N4" },
		"N5": func(e *store.Entry) { e.Kind = store.Replied },
	} {
		gone = append(gone, f.letter(t, id, func(_ *store.Letter, e *store.Entry) { edit(e) }))
	}
	long := strings.Repeat("L", 300)
	good := f.letter(t, long)
	run(t, f.relay)
	for range 5 {
		f.next(t)
	}
	for _, l := range gone {
		f.wantState(t, l, store.Parked, "its bytes are not kept any more")
	}
	f.wantState(t, good, store.Delivered, "")
	if got := f.pas.ids(); got != long {
		t.Errorf("sent %s", got)
	}
}

// TestRelayOvertaken: a letter that is out of date is never sent, and what is to be asked instead is
// put down with it. While that cannot be told, it waits.
func TestRelayOvertaken(t *testing.T) {
	f := newDepot(t)
	l, behind := f.letter(t, "N1"), f.letter(t, "N2")
	unknown := true
	f.relay.Overtaken = func(_ context.Context, one store.Letter) (string, *store.Work, error) {
		switch {
		case one.Position != l.Position:
			return "", nil, nil
		case unknown:
			return "", nil, errors.New("the index cannot be read")
		}
		return "changed since", &store.Work{Exchange: one.Exchange, Patient: one.Patient, Kind: store.Changed, Due: f.time()}, nil
	}
	stop := start(f.relay)
	f.awaitLog(t, "it cannot be told whether a letter is overtaken")
	stop()
	unknown = false
	run(t, f.relay)
	if got := f.next(t); got.State != store.Dropped || got.Took != 0 {
		t.Errorf("told %+v", got)
	}
	f.next(t)
	f.wantState(t, l, store.Dropped, "changed since")
	f.wantState(t, behind, store.Delivered, "")
	k, facts, _ := f.last(t, l)
	want := store.Facts{User: store.System, Destination: "pas", Letter: l.Position, ControlID: "N1", Reason: "changed since"}
	if diff := cmp.Diff(want, facts); k != store.Withdrawn || diff != "" {
		t.Errorf("%v (-want +got):\n%s", k, diff)
	}
	work, err := f.disk.Pending(context.Background(), false, 9)
	if err != nil || len(work) != 1 || work[0].Exchange != l.Exchange || work[0].Kind != store.Changed {
		t.Errorf("work %v, %v", work, err)
	}
	if got := f.pas.ids(); got != "N2" {
		t.Errorf("sent %s", got)
	}
	if n := strings.Count(f.logged(), "overtaken"); n != 1 {
		t.Errorf("%d lines:\n%s", n, f.logged())
	}
}

// blindOutbox cannot be read.
type blindOutbox struct {
	*disk
	err    error
	looked chan struct{}
}

func (o blindOutbox) Next(context.Context, string, time.Duration) (store.Letter, time.Time, error) {
	o.looked <- struct{}{}
	return store.Letter{}, time.Time{}, o.err
}

// TestRelayOutboxUnreadable: one line for as long as it lasts, none if the store itself tells of it.
func TestRelayOutboxUnreadable(t *testing.T) {
	for err, lines := range map[error]int{errors.New("no such table"): 1, store.ErrUnavailable: 0} {
		f := newDepot(t)
		looked := make(chan struct{})
		f.relay.Outbox = blindOutbox{f.disk, err, looked}
		ctx, cancel := context.WithCancel(context.Background())
		var ran sync.WaitGroup
		ran.Go(func() { f.relay.Run(ctx) })
		for range 4 {
			<-looked
			f.relay.Wake()
		}
		cancel()
		go func() { // one more look may be under way
			for range looked {
				continue
			}
		}()
		ran.Wait()
		close(looked)
		if got := strings.Count(f.logged(), "the outbox cannot be read"); got != lines {
			t.Errorf("%v: %d lines:\n%s", err, got, f.logged())
		}
	}
}

// TestRelayLateAnswer: an answer that comes after its time is never taken for that of another
// letter.
func TestRelayLateAnswer(t *testing.T) {
	f := newDepot(t)
	late := ""
	f.pas.answers(func(msg string) (string, error) { // each answer is to the message before
		answer := late
		late = ackOf("AA", controlID(msg))
		return either(answer, ackOf("AA", "X")), nil
	})
	l, behind := f.letter(t, "N1"), f.letter(t, "N2")
	run(t, f.relay)
	f.next(t)
	f.wantState(t, l, store.Waiting, "mllp: send: mllp: no answer: the answer is to another message")
	f.wantState(t, behind, store.Waiting, "")
	f.retry(t, l) // which its first answer fits
	f.wantState(t, l, store.Delivered, "")
	f.next(t)
	if got := f.read(t, behind); got.State != store.Waiting {
		t.Errorf("N2 is %v by the answer to N1", got.State)
	}
}

func TestAnswers(t *testing.T) {
	msg := adt("A31", "N1", unnumbered)
	dollar := strings.ReplaceAll(ackOf("AA", "N1"), "|", "$")
	for name, tt := range map[string]struct {
		msg, ack string
		want     string
	}{
		"the answer":              {msg, ackOf("AA", "N1"), ""},
		"whatever it says":        {msg, ackOf("ZZ", "N1"), ""},
		"spaces":                  {msg, ackOf("AA", " N1  "), ""},
		"other delimiters":        {msg, dollar, ""},
		"another's":               {msg, ackOf("AA", "N11"), "the answer is to another message"},
		"nobody's":                {msg, ackOf("AA", ""), "the answer is to another message"},
		"nobody's, to no id":      {adt("A31", "", unnumbered), ackOf("AA", ""), "the answer is to another message"},
		"to what has no header":   {"PID|1", ackOf("AA", "N1"), "the answer is to another message"},
		"no MSA":                  {msg, msg, "the answer has no MSA"},
		"text":                    {msg, "OK", "the answer is not HL7"},
		"nothing":                 {msg, "", "the answer is not HL7"},
		"components are compared": {adt("A31", "N^1", unnumbered), ackOf("AA", "N^2"), "the answer is to another message"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := exchange.Answers([]byte(tt.msg), []byte(tt.ack)); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
