package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"spinetrace/hl7v2"
	"spinetrace/internal/pgtest"
	"spinetrace/mllp"
	"spinetrace/notify"
	"spinetrace/pds"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// TestCrashes ends the service again and again at the moments when something is on its way: a
// question at the provider, an update at the PAS, a notice at the receiver, an answer to a
// sender. The load is mixed, half of the runs answer before the trace, and the neighbours have
// bad days of their own. Afterwards, seen from the outside, every AA is recorded, every traced
// change reached the PAS as one update, in order, everything that people have to look at is
// there and was told of, no trace was forgotten, and the chain holds.
//
// It waits for what a killed process had in hand, which is left alone for two minutes first. What
// is to be tried later than that, because the provider failed or answered from its local copy, has
// to be in the queue; of more runs than usual those of the first attempts are waited for as well.
func TestCrashes(t *testing.T) {
	t.Parallel()
	runs := kills(t)
	c := newCrashing(t, runs)
	for n := range runs {
		c.run(t, n)
	}
	c.sim.SetFaults()
	i := c.launch(t, runs)
	i.awaitReady(t)
	close(c.over)
	if err := c.senders.Wait(); err != nil {
		t.Fatal(err)
	}
	db := openJournal(t, c.dsn).(store.Store) // never started
	left := awaitIdle(t, db, c.rest(runs))
	_, metrics := i.get(t, "/metrics")
	i.stop(t)

	stories := readStories(t, db)
	readBodies(t, db, stories)
	checkRecorded(t, stories, &c.seen)
	checkChains(t, db, c.dsn)
	if a, differ := c.seen.differing(); differ {
		t.Errorf("I5: %s %s was answered in two ways", a.kind, a.controlID)
	}
	r := newReckoning(t, db, stories, c)
	r.checkUpdates(t, left)
	r.checkLetters(t, db)
	r.checkOrder(t)
	r.checkItems(t)
	r.checkWork(t, left)
	for _, log := range c.logs {
		checkUnnamed(t, "log", log.String())
	}
	checkUnnamed(t, "metrics", metrics)
	t.Logf("%d runs, that ended %v; %s; %d traces are to be tried later", runs, c.ends, r, len(left))
}

// scenesPerRun is how much the senders have to tell at a time.
const scenesPerRun = 60

// rest is how long the last service is given.
func (c *crashing) rest(runs int) time.Duration {
	if runs <= len(crashEnds) {
		return 130 * time.Second // a lease, and a little more
	}
	return 6 * time.Minute
}

// crashing is the neighbours of a service that does not live long, and their load.
type crashing struct {
	srv   *pgtest.Server
	dsn   string
	sim   *smsptest.Server
	ask   *doorway // in front of sim
	pas   *moodyPAS
	board *noticeBoard
	cast  *cast

	seen    book
	where   signpost
	turns   chan struct{} // each lets one sender play a scene
	over    chan struct{}
	senders *errgroup.Group
	ctx     context.Context // of the senders

	ends map[string]int // how often a run ended so
	logs []*transcript
}

func newCrashing(t *testing.T, runs int) *crashing {
	t.Helper()
	srv := pgtest.Start(t, pgtest.Options{Fsync: true})
	people := newCast(t, (runs+1)*scenesPerRun*3)
	c := &crashing{
		srv: srv, dsn: program.migrated(t, srv), cast: people,
		sim:   smsptest.New(people.known, crashFaults...),
		pas:   &moodyPAS{refused: people.refused},
		board: new(noticeBoard),
		turns: make(chan struct{}, scenesPerRun), over: make(chan struct{}), ends: make(map[string]int),
	}
	c.ask = newDoorway(t, c.sim)
	c.pas.listen(t)
	c.board.listen(t)
	c.senders, c.ctx = errgroup.WithContext(t.Context())
	for n := range 8 {
		s := &player{insistent: insistent{author: author{sender: fmt.Sprintf("PAS%02d", n)}, where: &c.where, seen: &c.seen, over: c.over}, turns: c.turns, cast: people}
		c.senders.Go(func() error { return s.run(c.ctx) })
	}
	return c
}

// crashFaults are the provider's bad days. An answer from a local copy is worth a trace of its
// own, five minutes later.
var crashFaults = []smsptest.Fault{
	{Rate: 0.3, Delay: 30 * time.Millisecond},
	{Rate: 0.05, Delay: 2500 * time.Millisecond}, // longer than the reply may take
	{Rate: 0.06, Do: "503"},
	{Rate: 0.02, Do: "reset"},
	{Rate: 0.03, Do: "code:SMSP-0003"},
}

// settings are those of the n-th run: half of them answer before the trace.
func (c *crashing) settings(n int) map[string]string {
	answer := "traced"
	if (n+n/len(crashEnds))%2 == 1 {
		answer = "plain"
	}
	return serveSettings(c.dsn, c.ask.URL, map[string]string{
		"ADT_ANSWER": answer, "REPLY_BUDGET": "1500ms", "COMMIT_TIMEOUT": "1400ms", "DUPLICATE_WINDOW_QUERY": "1h",
		"BACKEND_TIMEOUT": "5s", "BACKEND_ATTEMPTS": "1", "LOG_LEVEL": "debug",
		"PAS_ADDR": c.pas.addr, "PAS_ANSWER_TIMEOUT": "10s", "WEBHOOK_URL": c.board.URL,
	})
}

// An end is how a run ends.
type end struct {
	name  string
	await func(*crashing, *testing.T)            // the moment
	how   func(*crashing, *testing.T, *instance) // nil: by kill -9
}

// crashEnds are gone through one after the other.
var crashEnds = []end{
	{"before the PAS answered", func(c *crashing, t *testing.T) { c.catch(t, &c.pas.trap, 1+rand.IntN(12), true) }, nil},
	{"between answers", (*crashing).someAnswers, nil},
	{"before the provider answered", func(c *crashing, t *testing.T) { c.catch(t, &c.ask.trap, 1+rand.IntN(30), true) }, nil},
	{"after the database", (*crashing).someAnswers, func(c *crashing, t *testing.T, _ *instance) {
		c.srv.Kill(t)
		c.srv.Restart(t)
		c.someAnswers(t)
	}},
	{"when the PAS had answered", func(c *crashing, t *testing.T) { c.catch(t, &c.pas.trap, 1+rand.IntN(12), false) }, nil},
	{"when told to stop", (*crashing).someAnswers, func(_ *crashing, t *testing.T, i *instance) { i.stop(t) }},
	{"before the receiver answered", func(c *crashing, t *testing.T) { c.catch(t, &c.board.trap, 1+rand.IntN(2), true) }, nil},
	{"at the start", func(*crashing, *testing.T) {}, nil},
}

// run starts the service, lets it work, and ends it.
func (c *crashing) run(t *testing.T, n int) {
	t.Helper()
	if rand.IntN(3) == 0 {
		c.pas.upset()
	}
	if rand.IntN(6) == 0 {
		c.board.upset()
	}
	i := c.launch(t, n)
	c.prompt()
	e := crashEnds[n%len(crashEnds)]
	c.ends[e.name]++
	e.await(c, t)
	if e.how != nil {
		e.how(c, t, i)
	}
	i.kill()
	c.openTraps()
}

func (c *crashing) launch(t *testing.T, n int) *instance {
	t.Helper()
	i := launch(t, c.settings(n))
	c.logs = append(c.logs, i.output)
	c.where.set(i.mllp)
	return i
}

// prompt lets the senders play on.
func (c *crashing) prompt() {
	for range scenesPerRun - len(c.turns) {
		c.turns <- struct{}{}
	}
}

func (c *crashing) someAnswers(t *testing.T) {
	t.Helper()
	c.prompt()
	awaitAnswers(t, c.ctx, &c.seen, 1+rand.IntN(60))
}

// catch returns when n more have come to the trap's owner. If it holds, the last of them gets no
// answer until the trap is opened.
func (c *crashing) catch(t *testing.T, trap *trap, n int, hold bool) {
	t.Helper()
	sprung := trap.set(n, hold)
	select {
	case <-sprung:
	case <-c.ctx.Done():
		t.Fatal("a sender has given up")
	case <-time.After(patience):
		t.Fatal("the service has nothing to say to its neighbours")
	}
}

func (c *crashing) openTraps() {
	for _, trap := range []*trap{&c.pas.trap, &c.ask.trap, &c.board.trap} {
		trap.open()
	}
}

// trap tells when somebody has been called so many times, and can hold the last call up.
type trap struct {
	mu     sync.Mutex
	left   int
	sprung chan struct{}
	opened chan struct{} // nil: no call is held up
}

func (r *trap) set(n int, hold bool) (sprung <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left, r.sprung = n, make(chan struct{})
	if hold {
		r.opened = make(chan struct{})
	}
	return r.sprung
}

// open lets go what is held up, and holds nothing up any more.
func (r *trap) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = 0
	if r.opened != nil {
		close(r.opened)
		r.opened = nil
	}
}

// step is one call.
func (r *trap) step() {
	r.mu.Lock()
	r.left--
	opened := r.opened
	hit := r.left == 0
	if hit {
		close(r.sprung)
	}
	r.mu.Unlock()
	if hit && opened != nil {
		<-opened
	}
}

// doorway stands before the provider.
type doorway struct {
	*httptest.Server
	trap trap
}

func newDoorway(t *testing.T, provider http.Handler) *doorway {
	d := new(doorway)
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.trap.step()
		provider.ServeHTTP(w, r)
	}))
	t.Cleanup(d.Close)
	t.Cleanup(d.trap.open)
	return d
}

// moodyPAS takes updates, at one address for the whole test, and keeps every frame.
type moodyPAS struct {
	refused map[string]bool // local numbers that it does not know
	trap    trap
	addr    string

	mu     sync.Mutex
	got    []delivered
	known  map[string]bool // control ids
	mood   bool            // it refuses the next new update for now, or hangs up on it
	upsets int
}

// delivered is a frame that the PAS got.
type delivered struct {
	id    string // MSH-10
	bytes string
	code  string // MSA-1 of what was answered; "" if nothing was
	at    time.Time
}

// upset makes the PAS behave badly once.
func (p *moodyPAS) upset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mood = true
}

func (p *moodyPAS) listen(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	srv := &mllp.Server{Handler: p}
	done := make(chan error)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		p.trap.open()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-done
	})
}

var errSilence = errors.New("no answer")

// HandleMLLP implements [mllp.Handler].
func (p *moodyPAS) HandleMLLP(_ context.Context, _ netip.AddrPort, _ *tls.ConnectionState, msg []byte) ([]byte, error) {
	m, err := hl7v2.Parse(msg)
	if err != nil {
		return nil, err
	}
	d := delivered{id: m.Get(msh10), bytes: string(msg), at: time.Now()}
	d.code = p.judge(d.id, m.Repetitions(identifiersBack))
	p.mu.Lock()
	p.got = append(p.got, d)
	p.mu.Unlock()
	p.trap.step()
	if d.code == "" {
		return nil, errSilence
	}
	return []byte("MSH|^~\\&|PAS|RXX|SPINETRACE|RXX|20261122120000||ACK^A31|1|P|2.4\rMSA|" + d.code + "|" + d.id + "\r"), nil
}

// judge says what an update is answered.
func (p *moodyPAS) judge(id string, ids []hl7v2.Repetition) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.known[id]
	if p.known == nil {
		p.known = make(map[string]bool)
	}
	p.known[id] = true
	for _, cx := range ids {
		if p.refused[cx.Component(1)] {
			return "AE"
		}
	}
	if !first || !p.mood {
		return "AA"
	}
	p.mood = false
	p.upsets++
	return []string{"AR", ""}[p.upsets%2]
}

// noticeBoard takes notices, and keeps their keys.
type noticeBoard struct {
	*httptest.Server
	trap trap

	mu     sync.Mutex
	keys   map[int64][]string // of each item, one for every notice
	mood   bool               // it refuses the next new notice for now
	upsets int
}

func (b *noticeBoard) upset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mood = true
}

func (b *noticeBoard) listen(t *testing.T) {
	b.keys = make(map[int64][]string)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n notify.Notice
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Errorf("a notice cannot be read: %v", err)
		}
		status := b.judge(n.Item, r.Header.Get("Idempotency-Key"))
		b.trap.step()
		w.WriteHeader(status)
	}))
	t.Cleanup(b.Close)
	t.Cleanup(b.trap.open)
}

func (b *noticeBoard) judge(item int64, key string) (status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys[item] = append(b.keys[item], key)
	if b.mood && len(b.keys[item]) == 1 {
		b.mood = false
		b.upsets++
		return http.StatusServiceUnavailable
	}
	return http.StatusNoContent
}

// cast is the patients, each in one scene only.
type cast struct {
	people  []pdstest.Person
	known   *pdstest.Population // whom Spine knows
	refused map[string]bool     // local numbers that the PAS does not know

	mu   sync.Mutex
	next int
}

// What is the matter with a patient; most are plain. They come in groups of groupSize.
const (
	replacedNumber = 0 // the next one's took its place
	successor      = 1 // nobody tells of him
	withdrawn      = 2 // the number was withdrawn
	stranger       = 3 // Spine does not know him
	unwelcome      = 4 // the PAS refuses what is told of him
	groupSize      = 20
)

// Nothing but our patients has these beginnings.
const crashFamily, crashGiven, crashPostcode = "CRASHLEY", "PERPETUA", "LS99"

// crashWords is what identifies one of them, in whatever case.
var crashWords = regexp.MustCompile(`(?i)` + crashFamily + `|` + crashGiven + `|` + crashPostcode + `|999\d{7}|\b19[3-8]\d{5}\b`)

func newCast(t *testing.T, n int) *cast {
	t.Helper()
	c := &cast{people: make([]pdstest.Person, n), refused: make(map[string]bool)}
	numbers := inventNumbers(n)
	var known []pdstest.Person
	for i := range c.people {
		p := &c.people[i]
		born, err := pds.ParseDate(fmt.Sprintf("%04d%02d%02d", 1930+i%60, 1+i/60%12, 1+i/720%28))
		if err != nil {
			t.Fatal(err)
		}
		p.BirthTime, p.Record = born.Digits(), pds.Patient{
			NHSNumber: numbers[i], Family: crashFamily + letters(i), Given: []string{crashGiven}, BirthDate: born, Sex: pds.SexFemale,
		}
		p.Record.Home.Lines[1], p.Record.Home.Lines[3], p.Record.Home.Postcode = "7 FICTION MEWS", "LEEDS", crashPostcode+" 1AA"
		switch i % groupSize {
		case replacedNumber:
			if i+1 < n {
				p.SupersededBy = numbers[i+1]
			}
		case withdrawn:
			p.Invalidated = true
		case unwelcome:
			c.refused[localID(p)] = true
		}
		if i%groupSize != stranger {
			known = append(known, *p)
		}
	}
	var err error
	if c.known, err = pdstest.NewPopulation(known); err != nil {
		t.Fatal(err)
	}
	return c
}

// inventNumbers returns n NHS numbers that are never issued.
func inventNumbers(n int) []pds.NHSNumber {
	var all []pds.NHSNumber
	for i := 0; len(all) < n; i++ {
		if number, err := pds.ParseNHSNumber(fmt.Sprintf("999%07d", i)); err == nil {
			all = append(all, number)
		}
	}
	return all
}

// letters writes a number in letters.
func letters(n int) string {
	text := ""
	for range 4 {
		text += string(rune('A' + n%26))
		n /= 26
	}
	return text
}

// draw returns a patient who was in no scene yet, and what is the matter with him.
func (c *cast) draw() (p *pdstest.Person, matter int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next%groupSize == successor {
		c.next++
	}
	if c.next >= len(c.people) {
		return nil, 0
	}
	p, matter = &c.people[c.next], c.next%groupSize
	c.next++
	return p, matter
}

// player is an insistent sender that has a turn for every scene.
type player struct {
	insistent
	turns <-chan struct{}
	cast  *cast
}

// run plays until over is closed. What was begun is delivered.
func (s *player) run(ctx context.Context) error {
	defer func() {
		if s.line != nil {
			s.line.conn.Close()
		}
	}()
	for {
		select {
		case <-s.over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-s.turns:
		}
		if err := s.play(ctx, s.scene()); err != nil {
			return err
		}
	}
}

// play sends the messages of a scene. Of those that are alone some are forgotten if they are not
// answered at once.
func (s *player) play(ctx context.Context, scene []message) error {
	if len(scene) == 1 && rand.IntN(4) == 0 {
		if _, err := s.try(scene[0]); errors.Is(err, errWrongAnswer) {
			return err
		}
		return nil
	}
	for _, m := range scene {
		if err := s.deliver(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// The kinds of messages that tell of one patient more than once, or of one number twice.
const (
	changed = "A31 of a patient who has changed"
	twin    = "A31 of another record with the number"
	merge   = "A40"
)

// scene is what there is to tell about one patient, or two.
func (s *player) scene() []message {
	p, matter := s.cast.draw()
	if p == nil {
		return nil // more was told than anybody expected
	}
	withNumber, any := traced[1+2*rand.IntN(2)], traced[rand.IntN(len(traced))]
	switch matter {
	case replacedNumber, withdrawn:
		return []message{s.write(withNumber, p)}
	case stranger:
		return []message{s.write(traced[0], p)}
	case unwelcome:
		return []message{s.write(any, p)}
	}
	switch turn := rand.IntN(20); {
	case turn < 3:
		return []message{s.write(any, p), s.change(p)}
	case turn < 5:
		return []message{s.write(withNumber, p), s.double(p)}
	case turn < 7:
		return s.merge(p)
	case turn < 9:
		return []message{s.write(queries[rand.IntN(len(queries))], p)}
	case turn < 10:
		return []message{s.write(untraced[rand.IntN(3)], p)}
	case turn < 12:
		return s.again(s.write(any, p))
	}
	return []message{s.write(any, p)}
}

func (s *player) write(f form, p *pdstest.Person) message {
	s.n++
	return f.write(fmt.Sprintf("%s-%06d", s.sender, s.n), s.sender, p)
}

// change tells of a patient who has moved, or has another name, by which Spine does not know her.
func (s *player) change(p *pdstest.Person) message {
	now := *p
	if rand.IntN(2) == 0 {
		now.Record.Home.Postcode = crashPostcode + " 9ZZ"
	} else {
		now.Record.Family += "-" + now.Record.Family
	}
	m := s.write(traced[1], &now)
	m.kind, m.person = changed, p
	return m
}

// double tells of another record of a patient.
func (s *player) double(p *pdstest.Person) message {
	m := s.write(traced[1], p)
	id := localID(p)
	m.kind, m.bytes = twin, []byte(strings.Replace(string(m.bytes), "|"+id+"^", "|M"+id[1:]+"^", 1))
	return m
}

// merge tells of a patient and of another, whom the first turns out to be.
func (s *player) merge(p *pdstest.Person) []message {
	q, matter := s.cast.draw()
	if q == nil || matter <= unwelcome {
		return []message{s.write(traced[0], p)}
	}
	return []message{s.write(traced[0], p), s.write(traced[0], q), s.write(form{merge, "AA", func(id, sender string, q *pdstest.Person) string {
		return msh(id, sender, "ADT^A40^ADT_A39", "P") + pid(q, "", "NSTS03") + "MRG|" + localID(p) + "^^^RXX^MR\r"
	}}, q)}
}

// again is a message, and some message that somebody sent before.
func (s *player) again(m message) []message {
	old, ok := s.seen.pick(rand.IntN(1_000_000))
	if !ok || old.query || old.ack != "AA" {
		return []message{m, m}
	}
	return []message{m, old}
}
