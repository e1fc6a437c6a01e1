package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// TestPolicy is the whole policy in one: whatever messages, answers of Spine, failures and orders,
// promises 1 to 6 of the contract hold, and what is always true is. Everything is judged from the
// outside: by what was handed in and what came back, by Spine, by the PAS and by the journal. What
// is allowed is in policy_model_test.go, from the specification alone.
func TestPolicy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) { testPolicy(t, dir) })
}

func testPolicy(t *rapid.T, dir string) {
	p := newPolicy(t, dir)
	defer p.close()
	for range rapid.IntRange(2, 22).Draw(t, "steps") {
		p.pass(choose(p, "pause", []time.Duration{time.Second, time.Second, time.Second, 20 * time.Second, 2 * time.Minute, 2 * time.Minute, 20 * time.Minute, 61 * time.Minute, 25 * time.Hour, 8 * 24 * time.Hour}))
		p.step()
		p.check()
	}
	p.heal()
	p.checkEnd()
}

// policy is a service on a store of its own, with a Spine and a PAS that do what a script says. Its
// workers run in steps of their own, so that what happens is decided by the draw alone.
type policy struct {
	*rapid.T
	gate    *policyStore
	path    string
	handler *exchange.Handler
	relay   *exchange.Relay

	lock   sync.Mutex // guards the four that follow: they are read and written by the service
	clock  time.Time
	log    bytes.Buffer
	serial int
	wrong  []string // what was seen to be wrong while the service was at work

	retrace time.Duration
	profile exchange.UpdateProfile
	slow    bool // Spine is

	lines   []line   // what Spine says next; the last one stays
	acks    []string // what the PAS answers next; "" nothing, then AA
	current *handed  // what is being handed in, if Spine may keep it waiting

	history []string
	handed  []*handed
	judged  int // how many of them were checked
	answers []*answer
	taken   []taken
	calls   map[string]int    // by exchange
	weighed map[string][]shot // the index as it was when an exchange was taken up
	stories []*story
	byID    map[string]*story
	seen    int64 // the last event of the journal that stories know
}

// line is what Spine says to one question, and what happens meanwhile.
type line struct {
	outcome   pds.Outcome
	fails     *pds.Error // in place of an outcome
	number    string     // that it names, unless it confirms the one asked about
	other     bool       // its record differs
	calls     int        // that the question takes
	meanwhile string     // a message that comes before it answers
	late      bool       // the sender is answered first
}

func (l line) String() string {
	s := l.outcome.String() + " " + l.number
	if l.fails != nil {
		s = l.fails.Error()
	}
	if l.calls > 1 {
		s += fmt.Sprintf(", %d calls", l.calls)
	}
	if l.late {
		s += ", late"
	}
	return s
}

// handed is a message that was handed in, and what came back.
type handed struct {
	text    string
	at      time.Time
	reply   string // "" none
	err     error
	calls   int // that it caused before its answer
	trouble string
	index   shot  // as it was before
	echo    *echo // it repeats an update of ours
	query   *question22

	cancel   context.CancelFunc
	answered chan struct{}
}

// answer is what Spine said to a question, and the index as it was then.
type answer struct {
	id    string
	req   pds.Request
	line  line
	named string // the number it named
	at    time.Time
	index shot
}

// taken is a message that the PAS was sent.
type taken struct {
	text, ack string
	at        time.Time
}

// The pools are small, so that numbers and people collide.
var (
	policyKeys    = []store.PatientKey{{Authority: "RXX", LocalID: "L5550001"}, {Authority: "RXX", LocalID: "L5550002"}, {Authority: "RXX", LocalID: "L5550003"}, {Authority: "RYY", LocalID: "L5550001"}, {Authority: "RYY", LocalID: "L5550004"}}
	policyNumbers = []string{"9990000018", "9990000026", "9990000034", "9990000042"}
	policySecrets = append([]string{
		"HALVORSEN", "BIRKSEN", "PRIMROSE", "ANNA", "NATIONALSEN", "L5550", "99900000", "999 000", "19620417", "19700101", "20261110", "LS99",
		"1962-04-17", "1970-01-01", "MADEUP", "HALV*", "UNKNOWN",
	}, policyNumbers...)
)

func newPolicy(t *rapid.T, dir string) *policy {
	folder, err := os.MkdirTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	p := &policy{
		T: t, path: folder, clock: noon(), gate: &policyStore{disk: &disk{}},
		calls: make(map[string]int), weighed: make(map[string][]shot), byID: make(map[string]*story),
	}
	p.gate.policy = p
	p.openStore()
	p.retrace = rapid.SampledFrom([]time.Duration{0, 168 * time.Hour}).Draw(t, "RetraceAfter")
	p.profile = rapid.SampledFrom([]exchange.UpdateProfile{exchange.UpdateMinimal, exchange.UpdateCopy}).Draw(t, "UpdateProfile")
	plain, details, enhanced := rapid.Bool().Draw(t, "Plain"), rapid.Bool().Draw(t, "Details"), rapid.Bool().Draw(t, "Enhanced")
	p.handler = &exchange.Handler{Plain: plain, Details: details, Enhanced: enhanced}
	p.start()
	p.tell("plain %t, details %t, enhanced %t, retrace after %v, profile %d", plain, details, enhanced, p.retrace, p.profile)
	return p
}

func (p *policy) openStore() {
	db, err := sqlite.Open(filepath.Join(p.path, "journal.db"), store.Options{Now: p.now})
	if err == nil {
		err = db.Start(context.Background())
	}
	if err != nil {
		p.Fatal(err)
	}
	p.gate.disk.db = db
}

// start makes a new process: nothing of the one before is left but what is on disk.
func (p *policy) start() {
	log := slog.New(slog.NewTextHandler(p, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.handler = &exchange.Handler{
		Tracer: p, Journal: p.gate, Index: p.gate, Queue: p.gate, Audit: p.gate, Outbox: p.gate, Backlog: p.gate,
		Application: "NHSTRACE", ODS: "RXX", Now: p.now, Log: log, NewControlID: p.newControlID, Slow: func() bool { return p.slow },
		Plain: p.handler.Plain, Details: p.handler.Details, Enhanced: p.handler.Enhanced,
		RetraceAfter: p.retrace, Updates: true, UpdateProfile: p.profile,
		DeferredTraces: 1, WorkDeadline: 1_000_000 * time.Hour, // it counts from ids, which the machine's clock makes
		Budget: patience, CommitTimeout: patience,
	}
	p.relay = &exchange.Relay{
		Destination: exchange.ToPAS, Sender: p, Outbox: p.gate, Journal: p.gate, Audit: p.gate, Overtaken: p.handler.Overtaken,
		Grace: 1, CommitTimeout: patience, Now: p.now, Log: log,
	}
}

func (p *policy) close() {
	if err := p.handler.Drain(context.Background()); err != nil {
		p.Error(err)
	}
	if err := p.gate.disk.db.Close(); err != nil {
		p.Error(err)
	}
	_ = os.RemoveAll(p.path) // the test's own folder goes in the end anyway
}

func (p *policy) now() time.Time {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.clock
}

func (p *policy) pass(d time.Duration) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.clock = p.clock.Add(d)
}

func (p *policy) newControlID() string {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.serial++
	return fmt.Sprintf("NT%010d", p.serial)
}

// Write makes p the place that the log is written to.
func (p *policy) Write(b []byte) (int, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.log.Write(b)
}

// tell adds a line to the history.
func (p *policy) tell(format string, args ...any) {
	p.history = append(p.history, fmt.Sprintf("%s  %s", p.now().Format("02 15:04:05"), fmt.Sprintf(format, args...)))
}

// fail ends the test with its history. What it fails with must be the same each time, for a shorter
// history to be looked for: names that are drawn by the service are left out.
func (p *policy) fail(format string, args ...any) {
	p.Logf("what happened:\n%s\n\nthe log:\n%s", strings.Join(p.history, "\n"), p.log.String())
	p.Fatalf("%s", drawnNames.ReplaceAllString(fmt.Sprintf(format, args...), "..."))
}

var drawnNames = regexp.MustCompile(`\bST[A-Z2-7]{18}\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)

// choose draws one of some values.
func choose[T any](p *policy, what string, values []T) T {
	return rapid.SampledFrom(values).Draw(p.T, what)
}

// drawn draws a number below another.
func (p *policy) drawn(what string, of int) int { return rapid.IntRange(0, of-1).Draw(p.T, what) }

// once tells true one time of n.
func (p *policy) once(what string, n int) bool { return p.drawn(what, n) == n-1 }

// step is one thing that happens.
func (p *policy) step() {
	p.slow = p.once("Spine is slow", 8)
	switch n := p.drawn("step", 40); {
	case n < 16:
		p.script()
		p.hand(&handed{text: p.adt(true)}, true)
	case n < 20:
		p.resend()
	case n < 23:
		p.script()
		q := p.query()
		p.hand(&handed{text: q.text, query: &q}, true)
	case n < 26:
		p.script()
		p.work()
	case n < 32:
		p.acks = rapid.SliceOfN(rapid.SampledFrom([]string{"AA", "AA", "AE", "AR", "CA", "", "another"}), 1, 3).Draw(p.T, "the PAS answers")
		p.deliver()
	case n < 36:
		p.script()
		p.resound()
	case n < 38:
		p.closeItem()
	default:
		p.restart()
	}
}

// script draws what Spine says next, and what happens meanwhile.
func (p *policy) script() {
	p.lines = nil
	for range 1 + p.drawn("answers", 2) {
		l := line{calls: 1, number: choose(p, "number named", policyNumbers), other: p.once("the record differs", 3)}
		switch n := p.drawn("Spine says", 16); {
		case n < 4:
			l.outcome = pds.Matched
		case n < 12:
			l.outcome = []pds.Outcome{pds.Superseded, pds.NoMatch, pds.ManyMatches, pds.Invalidated, pds.NotVerified, pds.OldStyle, pds.Stale, pds.Refused}[n-4]
		default:
			l.fails = []*pds.Error{
				{Class: pds.SpineUnavailable, Retry: true},
				{Class: pds.Busy, Status: 503, Retry: true, RetryAfter: 10 * time.Minute},
				{Class: pds.AccessDenied, Status: 403},
				{Class: pds.InputInvalid, Code: "1000", Status: 500},
			}[n-12]
		}
		if p.once("two calls", 5) {
			l.calls = 2
		}
		if p.once("something happens meanwhile", 6) {
			l.meanwhile = p.adt(false)
		}
		l.late = p.once("late", 6)
		p.lines = append(p.lines, l)
	}
}

// hand hands a message in. While Spine is asked about it, more may happen.
func (p *policy) hand(x *handed, outer bool) {
	var ctx context.Context
	ctx, x.cancel = context.WithCancel(context.Background())
	defer x.cancel()
	x.at, x.answered, x.index = p.now(), make(chan struct{}), p.shoot()
	if outer {
		p.gate.draw(p)
		p.current = x
	}
	x.trouble = p.gate.trouble
	p.tell("<- %s%s", show(x.text), note(x.trouble))
	calls := p.allCalls()
	want, again := p.stored(x)
	reply, err := p.handler.HandleMLLP(ctx, peerAddr, nil, []byte(x.text))
	x.reply, x.err, x.calls = string(reply), err, p.allCalls()-calls
	p.handed = append(p.handed, x)
	p.tell("-> %s%s", show(x.reply), note(fmt.Sprint(err)))
	close(x.answered)
	if !outer {
		return
	}
	p.current = nil
	if err := p.handler.Drain(context.Background()); err != nil {
		p.fail("Drain: %v", err)
	}
	p.gate.calm()
	letters := p.letters()
	p.read()
	p.checkHanded(x)
	if !again {
		return
	}
	switch {
	case x.reply != want && (x.trouble == "" || positive(x.reply)):
		p.fail("P3: a resend is answered %q, not as before %q", x.reply, want)
	case x.calls > 0:
		p.fail("P3: a resend asks Spine %d times", x.calls)
	case p.letters() != letters:
		p.fail("P3: a resend causes an update")
	}
}

func note(s string) string {
	if s == "" || s == "<nil>" {
		return ""
	}
	return "  (" + s + ")"
}

// show makes segments readable.
func show(text string) string {
	if text == "" {
		return "nothing"
	}
	return strings.ReplaceAll(strings.TrimSuffix(text, "\r"), "\r", "\n                  ")
}

// resend hands an earlier message in again.
func (p *policy) resend() {
	if len(p.handed) == 0 {
		return
	}
	first := p.handed[max(0, len(p.handed)-1-p.drawn("how long ago", 6))]
	again := &handed{text: first.text, query: first.query, echo: first.echo}
	if rapid.Bool().Draw(p.T, "with the time of now") {
		fields := strings.SplitN(first.text, "|", 8)
		fields[6] = p.now().Format("20060102150405")
		again.text = strings.Join(fields, "|")
	}
	p.script()
	p.hand(again, true)
}

// work makes the traces that are due.
func (p *policy) work() {
	p.gate.draw(p)
	p.tell("the worker works%s", note(p.gate.trouble))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p.gate.idle = cancel
	p.handler.Work(ctx)
	if err := p.handler.Drain(context.Background()); err != nil {
		p.fail("Drain: %v", err)
	}
	p.gate.calm()
}

// deliver sends the PAS what it can be sent.
func (p *policy) deliver() {
	p.read()
	p.gate.draw(p)
	p.tell("the relay delivers; the PAS answers %q%s", p.acks, note(p.gate.trouble))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p.gate.idle = cancel
	p.relay.Run(ctx)
	p.gate.calm()
}

// restart ends the process, and starts another on the same disk.
func (p *policy) restart() {
	if rapid.Bool().Draw(p.T, "the store too") {
		if err := p.gate.disk.db.Close(); err != nil {
			p.fail("Close: %v", err)
		}
		p.openStore()
	}
	p.start()
	n, err := p.handler.Recover(context.Background(), p.gate, "main")
	p.tell("restarted: %d unanswered, %v", n, err)
	if err != nil {
		p.fail("Recover: %v", err)
	}
}

// closeItem closes one, as a clerk would.
func (p *policy) closeItem() {
	open := p.items()
	if len(open) == 0 {
		return
	}
	i := open[p.drawn("item", len(open))]
	p.tell("a clerk closes item %d: %v %v", i.Number, i.Kind, i.Patient)
	_, err := p.gate.disk.Commit(context.Background(), store.Commit{
		Exchange: i.Exchange,
		Entries:  []store.Entry{{Kind: store.ItemClosed, Facts: store.Facts{User: "clerk", Item: i.Number, Reason: "solved"}}},
		Closures: []store.Closure{{Number: i.Number, By: "clerk", Why: "solved"}},
	})
	if err != nil {
		p.fail("closing an item: %v", err)
	}
}

// heal lets everything go well for as long as it takes.
func (p *policy) heal() {
	p.slow, p.gate.well = false, true
	for n := 0; n < 40 && (n == 0 || p.unfinished()); n++ {
		p.lines, p.acks = []line{{outcome: pds.Matched, number: policyNumbers[3], calls: 1}}, nil
		p.work()
		p.check()
		p.deliver()
		p.check()
		p.pass(time.Hour)
	}
}

// unfinished tells whether anything is still to be made or sent.
func (p *policy) unfinished() bool {
	work, err := p.gate.disk.Pending(context.Background(), false, 1000)
	if err != nil {
		p.fail("the queue cannot be read: %v", err)
	}
	letters, err := p.gate.disk.Letters(context.Background(), store.Waiting, 1)
	if err != nil {
		p.fail("the outbox cannot be read: %v", err)
	}
	return len(letters) > 0 || slices.ContainsFunc(work, func(w store.Work) bool { return w.Kind != store.SixWeeks || !w.Due.After(p.now()) })
}

// Trace makes p the back end. A question may take several calls.
func (p *policy) Trace(ctx context.Context, req pds.Request) (pds.Result, error) {
	l := p.lines[0]
	if len(p.lines) > 1 {
		p.lines = p.lines[1:]
	} else {
		p.lines = []line{{outcome: l.outcome, fails: l.fails, number: l.number, other: l.other, calls: 1}}
	}
	for n := range l.calls {
		if n > 0 {
			req.Recorder.Answered(pds.Answer{Body: []byte("in between")})
		}
		call := pds.Call{Backend: "smsp", Operation: req.Want.String(), NHSNumber: req.NHSNumber, Body: []byte("question")}
		if err := req.Recorder.Asking(ctx, call); err != nil {
			return pds.Result{}, &pds.Error{Class: pds.Unrecorded, Err: err}
		}
		p.called(req)
	}
	if l.meanwhile != "" {
		p.tell("meanwhile")
		current := p.current
		p.current = nil
		p.hand(&handed{text: l.meanwhile}, false)
		p.current = current
	}
	if current := p.current; l.late && current != nil {
		current.cancel()
		<-current.answered // p.current may be another's by then
	}
	res, named := l.result(req)
	if l.fails == nil {
		req.Recorder.Answered(pds.Answer{Code: res.Code, NHSNumber: res.NHSNumber, Body: []byte("answer")})
	} else {
		req.Recorder.Answered(pds.Answer{Status: l.fails.Status})
	}
	who := req.Who
	p.tell("   Spine, of %s: %v %s^%s %s %s %s %s: %v", req.ID[len(req.ID)-4:], req.Want, who.Family, who.Given, who.BirthDate.Digits(), who.Sex.Code(), who.Postcode, req.NHSNumber.Digits(), l)
	p.answers = append(p.answers, &answer{req.ID, req, l, named, p.now(), p.shoot()})
	if l.fails != nil {
		return pds.Result{}, l.fails
	}
	return res, nil
}

// result is the answer of a Spine that says nothing impossible: of a number that is asked about it
// confirms that one, or names another; a search finds somebody, or not.
func (l *line) result(req pds.Request) (res pds.Result, named string) {
	search := req.NHSNumber.IsZero()
	switch {
	case search && l.outcome == pds.Superseded:
		l.outcome = pds.Matched
	case search && (l.outcome == pds.Invalidated || l.outcome == pds.NotVerified || l.outcome == pds.OldStyle),
		l.outcome == pds.Superseded && l.number == req.NHSNumber.Digits():
		l.outcome = pds.NoMatch
	}
	res = pds.Result{Outcome: l.outcome, Code: l.outcome.String(), Reason: "a rule"}
	if l.fails != nil {
		return res, ""
	}
	switch l.outcome {
	case pds.Matched, pds.Stale:
		named = l.number
		if !search {
			named = req.NHSNumber.Digits()
		}
	case pds.Superseded:
		named = l.number
	default:
		return res, ""
	}
	res.NHSNumber = pds.MustNHSNumber(named)
	if req.Want == pds.DetailsByNumber || req.Want == pds.DetailsBySearch {
		res.Patient = &pds.Patient{NHSNumber: res.NHSNumber, Family: req.Who.Family, BirthDate: req.Who.BirthDate, Sex: req.Who.Sex}
		if l.other {
			res.Patient.Family, res.Patient.Given = "NATIONALSEN", []string{"ANNA"}
		}
	}
	return res, named
}

// called notes a call of Spine, which must be on disk by now, and must ask for nobody in particular.
func (p *policy) called(req pds.Request) {
	p.calls[req.ID]++
	asked := 0
	for e, err := range p.gate.disk.Events(context.Background(), store.Query{Chain: "main", From: 1}) {
		if err != nil {
			p.note("the journal cannot be read: %v", err)
		}
		if e.Kind == store.Asked && e.Exchange.String() == req.ID {
			asked++
		}
	}
	if asked < p.calls[req.ID] {
		p.note("P2: call %d of %s is not on disk", p.calls[req.ID], req.ID)
	}
	if strings.ContainsAny(req.Who.Family+req.Who.Given+req.Who.Postcode, "*?%") {
		p.note("P5: a wildcard is asked")
	}
}

// note keeps what is wrong until the test can be ended: the service's own goroutines cannot.
func (p *policy) note(format string, args ...any) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}

func (p *policy) allCalls() int {
	n := 0
	for _, calls := range p.calls {
		n += calls
	}
	return n
}

// Send makes p the PAS.
func (p *policy) Send(_ context.Context, msg []byte) ([]byte, error) {
	ack := "AA"
	if len(p.acks) > 0 {
		ack, p.acks = p.acks[0], p.acks[1:]
	}
	p.tell("   PAS <- %s  (%s)", show(string(msg)), ack)
	p.taken = append(p.taken, taken{string(msg), ack, p.now()})
	if what := p.overtaken(string(msg)); what != "" {
		p.note("I4: %s", what)
	}
	switch ack {
	case "":
		return nil, errors.New("no answer")
	case "another":
		return []byte(strings.Replace(pasAck("AA", string(msg)), "MSA|AA|", "MSA|AA|X", 1)), nil
	}
	return []byte(pasAck(ack, string(msg))), nil
}

// policyStore is a store that fails when it is told to.
type policyStore struct {
	*disk
	policy *policy
	well   bool   // it fails no more
	idle   func() // called when a worker has nothing to do any more, or cannot

	lock    sync.Mutex
	trouble string
	passing int // reads, or commits, that go well before it fails
	lost    int // commits in all that were kept, and said not to be
}

// draw draws what fails during the next step.
func (g *policyStore) draw(p *policy) {
	if g.well || !p.once("the store fails", 5) {
		return
	}
	trouble := choose(p, "trouble", []string{"down", "blind", "fails", "fails", "loses", "loses"})
	n := 0
	if trouble != "down" {
		n = p.drawn("after", 4)
	}
	g.lock.Lock()
	defer g.lock.Unlock()
	g.trouble, g.passing = trouble, n
}

func (g *policyStore) calm() {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.trouble, g.idle = "", nil
}

var errPolicyStore = fmt.Errorf("%w: by the test", store.ErrUnavailable)

// fails tells whether an act fails, and lets the worker that waits for it end.
func (g *policyStore) fails(commit bool) error {
	g.lock.Lock()
	defer g.lock.Unlock()
	counts := g.trouble == "blind" && !commit || g.trouble == "fails" && commit
	if counts {
		g.passing--
	}
	if g.trouble != "down" && !(counts && g.passing < 0) {
		return nil
	}
	if g.idle != nil {
		g.idle()
	}
	return errPolicyStore
}

// loses tells whether a commit that was kept is said not to be: once.
func (g *policyStore) loses() bool {
	g.lock.Lock()
	defer g.lock.Unlock()
	if g.trouble != "loses" {
		return false
	}
	g.passing--
	if g.passing != -1 {
		return false
	}
	g.lost++
	if g.idle != nil {
		g.idle()
	}
	return true
}

func (g *policyStore) rest() {
	g.lock.Lock()
	defer g.lock.Unlock()
	if g.idle != nil {
		g.idle()
	}
}

// Commit implements [store.Journal].
func (g *policyStore) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	if err := g.fails(true); err != nil {
		return store.Receipt{}, err
	}
	r, err := g.disk.Commit(ctx, c)
	if err == nil && g.loses() {
		return store.Receipt{}, errPolicyStore
	}
	return r, err
}

// Answer implements [store.Journal].
func (g *policyStore) Answer(ctx context.Context, id store.ID) ([]byte, bool, error) {
	if err := g.fails(false); err != nil {
		return nil, false, err
	}
	return g.disk.Answer(ctx, id)
}

// Claim implements [store.Queue].
func (g *policyStore) Claim(ctx context.Context, n int, lease time.Duration) ([]store.Work, error) {
	if err := g.fails(false); err != nil {
		return nil, err
	}
	items, err := g.disk.Claim(ctx, n, lease)
	if err != nil || len(items) == 0 {
		g.rest()
	}
	for _, w := range items {
		id := w.Exchange.String()
		g.policy.weighed[id] = append(g.policy.weighed[id], g.policy.shoot())
	}
	return items, err
}

// Next implements [store.Outbox].
func (g *policyStore) Next(ctx context.Context, destination string, lease time.Duration) (store.Letter, time.Time, error) {
	if err := g.fails(false); err != nil {
		return store.Letter{}, time.Time{}, err
	}
	l, again, err := g.disk.Next(ctx, destination, lease)
	if err != nil || l.Position == 0 {
		g.rest()
	}
	return l, again, err
}

// Told implements [store.Outbox].
func (g *policyStore) Told(ctx context.Context, destination string, patient store.PatientKey, since time.Time, limit int) ([]store.Letter, error) {
	if err := g.fails(false); err != nil {
		return nil, err
	}
	return g.disk.Told(ctx, destination, patient, since, limit)
}

// Items implements [store.Backlog].
func (g *policyStore) Items(ctx context.Context, q store.ItemQuery) ([]store.Item, error) {
	if err := g.fails(false); err != nil {
		return nil, err
	}
	return g.disk.Items(ctx, q)
}

// Patient implements [store.Index].
func (g *policyStore) Patient(ctx context.Context, key store.PatientKey) (store.Patient, bool, error) {
	if err := g.fails(false); err != nil {
		return store.Patient{}, false, err
	}
	return g.disk.Patient(ctx, key)
}

// Named implements [store.Index].
func (g *policyStore) Named(ctx context.Context, localID string, limit int) ([]store.Patient, error) {
	if err := g.fails(false); err != nil {
		return nil, err
	}
	return g.disk.Named(ctx, localID, limit)
}

// Holders implements [store.Index].
func (g *policyStore) Holders(ctx context.Context, nhsNumber string, limit int) ([]store.Patient, error) {
	if err := g.fails(false); err != nil {
		return nil, err
	}
	return g.disk.Holders(ctx, nhsNumber, limit)
}

// Events implements [store.Audit].
func (g *policyStore) Events(ctx context.Context, q store.Query) iter.Seq2[store.Event, error] {
	if err := g.fails(false); err != nil {
		return func(yield func(store.Event, error) bool) { yield(store.Event{}, err) }
	}
	return g.disk.Events(ctx, q)
}

// Parts implements [store.Audit].
func (g *policyStore) Parts(ctx context.Context, e store.Event) ([]store.Part, bool, error) {
	if err := g.fails(false); err != nil {
		return nil, false, err
	}
	return g.disk.Parts(ctx, e)
}

// adt draws a message about a patient. One that comes while another is in hand has a control id of
// its own.
func (p *policy) adt(outer bool) string {
	odd := p.once("odd", 3) // else it is one that may be traced
	may := func(what string, ordinary, all []string) string {
		if odd {
			ordinary = all
		}
		return choose(p, what, ordinary)
	}
	event := may("event", []string{"A28", "A31", "A28", "A31", "A08", "A04", "A40"}, []string{"A28", "A31", "A02", "A03", "A40", "A40", "A47", "A29"})
	var keys []store.PatientKey
	var ids []string
	for range choose(p, "local numbers", []int{1, 1, 1, 1, 1, 1, 1, 2, 0}) {
		if key := choose(p, "local number", policyKeys); !slices.Contains(keys, key) {
			keys = append(keys, key)
			ids = append(ids, cx(key))
		}
	}
	numbers := may("NHS numbers", []string{"", "", "9990000018", "9990000018", "9990000026", "9990000034", "999 000 0026,9990000026"}, []string{"", "9990000019", `""`, "9990000019,9990000018", "9990000026,9990000034", "9990000042"})
	for n := range strings.SplitSeq(numbers, ",") {
		if n == "" {
			continue
		}
		at := 0
		if rapid.Bool().Draw(p.T, "last") {
			at = len(ids)
		}
		ids = slices.Insert(ids, at, n+choose(p, "form", []string{"^^^NHS^NH", "^^^NHS"}))
	}
	name := may("name", []string{"HALVORSEN^PRIMROSE", "HALVORSEN^PRIMROSE", "HALVORSEN^PRIMROSE", "BIRKSEN^ANNA^^^^^L"}, []string{"HALVORSEN^PRIMROSE", "BIRKSEN^ANNA", "", `""`, "HALV*^ANNA", "UNKNOWN^UNKNOWN"})
	born := may("birth date", []string{"19620417", "19620417", "19620417", "19700101"}, []string{"19620417", "19700101", "", "20261110", "20240230"})
	sex := may("sex", []string{"F", "F", "F", "M"}, []string{"F", "M", "", "Q"})
	home := may("address", []string{"", "1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H"}, []string{"", "^^^^LS99 1AA^^H", "^^^^LS99 1A*"})
	reliability := may("status", []string{"", "NSTS02", "ED~NSTS02", "NSTS03"}, []string{"", "NSTS01", "NSTS04", "NSTS04~AL", "NSTS05", "NSTS06", "NSTS07", "NSTS08"})
	if len(ids) == 0 && strings.Trim(name, `"`) == "" {
		name = "BIRKSEN^ANNA" // else it would be refused
	}
	recorded := p.now().Add(-time.Duration(choose(p, "recorded", []int{0, 0, 0, 0, 0, 1, 90, 3000})) * time.Minute).Format("20060102150405")
	id := fmt.Sprintf("M%d", len(p.history))
	if outer && len(p.handed) > 0 && p.once("a control id again", 8) {
		id = headerField(p.handed[p.drawn("whose", len(p.handed))].text, 10)
	} else if !outer {
		id = fmt.Sprintf("I%d-%d", len(p.history), len(p.lines))
	}
	accept := ""
	if p.once("asks for a commit", 6) {
		accept = "|||AL"
	}
	text := fmt.Sprintf("MSH|^~\\&|%s|RXX|NHSTRACE|RXX|%s||ADT^%s|%s|P|2.4%s\rEVN||%s\r", choose(p, "sender", []string{"PAS", "PAS", "PAS", "ENGINE"}), p.now().Format("20060102150405"), event, id, accept, recorded)
	text += strings.TrimRight(fmt.Sprintf("PID|1||%s||%s||%s|%s|||%s|||||||||||||||||||||%s", strings.Join(ids, "~"), name, born, sex, home, reliability), "|") + "\r"
	if event == "A40" || event == "A47" {
		text += "MRG|" + cx(choose(p, "number that goes", policyKeys)) + "\r"
	}
	return text
}

// question22 is a question, and what the contract says it lacks.
type question22 struct {
	text   string
	key    store.PatientKey // the local number it asks about
	number string           // the NHS number it asks about
	faulty bool             // it may be refused

	// words tells that it describes the patient beside the local number. Then it is about whom it
	// describes, and that another record holds the number found is no reason not to tell it.
	words bool
}

// query draws a question.
func (p *policy) query() question22 {
	q := question22{}
	id := fmt.Sprintf("Q%d", len(p.history))
	number := choose(p, "asked about", append([]string{"9990000019"}, policyNumbers...))
	key := choose(p, "local number asked about", policyKeys)
	born := choose(p, "birth date asked", []string{"19620417", "19620417", "19700101", ""})
	name := choose(p, "name asked", []string{"HALVORSEN", "HALVORSEN", "BIRKSEN", "HALV*", ""})
	sex := choose(p, "sex asked", []string{"F", "F", "M", ""})
	filters := func(values ...string) string {
		var all []string
		for n := 0; n < len(values); n += 2 {
			if values[n+1] != "" {
				all = append(all, "@PID."+values[n]+"^"+values[n+1])
			}
		}
		return strings.Join(all, "~")
	}
	valid := slices.Contains(policyNumbers, number)
	switch p.drawn("form of the question", 7) {
	case 0:
		q.key = key
		q.text = q22(id, filters("3.1", key.LocalID, "3.4", key.Authority, "3.5", "MR"))
		q.faulty = true // the index may not have what is missing
	case 1:
		q.key, q.words = key, name+born+sex != ""
		q.text = q22(id, filters("3.1", key.LocalID, "3.4", key.Authority, "3.5", "MR", "5.1.1", name, "7", born, "8", sex))
		q.faulty = born == "" || name == "" || sex == "" || name == "HALV*"
	case 2:
		q.number = number
		q.text = q22(id, filters("3.1", number, "3.4", "NHS", "5.1.1", name, "7", born))
		q.faulty = !valid || born == "" || name == "HALV*"
	case 3:
		q.text = q22(id, filters("5.1.1", name, "5.2", "PRIMROSE", "7", born, "8", sex, "11.5", "LS99 1AA"))
		q.faulty = name == "" || born == "" || sex == "" || name == "HALV*"
	case 4:
		q.key = key
		q.text = a19(id, qrd(fmt.Sprintf("%s^^^^^^^^%s^^^^MR", key.LocalID, key.Authority), "DEM"))
		q.faulty = true
	case 5:
		q.number = number
		q.text = a19(id, qrd(number+"^^^^^^^^NHS^^^^NH", "DEM")+"QRF|X||||"+born+"\r")
		q.faulty = !valid || born == ""
	default:
		q.key = key
		q.text = q23(id, fmt.Sprintf("%s^^^%s^MR|^^^NHS", key.LocalID, key.Authority))
		q.faulty = true
	}
	return q
}

// echo is what an update came back as.
type echo struct {
	of  string // its control id
	own bool   // it says that it is ours
}

// resound hands in an update that the PAS was sent, as systems do that pass everything on.
func (p *policy) resound() {
	if len(p.taken) == 0 {
		return
	}
	sent := p.taken[max(0, len(p.taken)-1-p.drawn("which update", 3))]
	e := &echo{of: headerField(sent.text, 10), own: true}
	text := strings.Replace(sent.text, "|"+e.of+"|", fmt.Sprintf("|E%d|", len(p.history)), 1)
	renamed := strings.Replace(text, "MSH|^~\\&|NHSTRACE|", "MSH|^~\\&|PAS|", 1)
	anonymous := strings.Replace(renamed, "|||NHSTRACE|", "|||CLERK|", 1)
	switch p.drawn("under whose name", 4) {
	case 0:
	case 1:
		text = renamed
	case 2:
		text, e.own = anonymous, false
	default:
		text, e.own = anonymous, false
		for n := range 8 {
			text = strings.Replace(text, fmt.Sprintf("NSTS%02d", n+1), "", 1)
		}
	}
	refused := sent.ack == "AE" || sent.ack == "AR" || sent.ack == "CA" // and so will not be passed on
	if !e.own && (refused || !p.latest(sent)) {
		return
	}
	p.hand(&handed{text: text, echo: e}, true)
}

func (p *policy) items() []store.Item {
	all, err := p.gate.disk.Items(context.Background(), store.ItemQuery{Limit: 1000})
	if err != nil {
		p.fail("items: %v", err)
	}
	return all
}

// shot is the index at a moment.
type shot map[store.PatientKey]store.Patient

func (p *policy) shoot() shot {
	all := make(shot)
	for _, key := range policyKeys {
		e, ok, err := p.gate.disk.Patient(context.Background(), key)
		if err != nil {
			p.note("the index cannot be read: %v", err)
		}
		if ok {
			all[key] = e
		}
	}
	return maps.Clone(all)
}
