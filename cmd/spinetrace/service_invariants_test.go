package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
	"spinetrace/pds"
	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
	"spinetrace/store"
)

// TestInvariants sends what a trust's systems send, and what they should not, over 32
// connections at once, to a service whose provider, of either kind, has a bad day: single
// messages and batches, in either acknowledgement mode. Then it checks what is always true (I1 to I3, I5, I6 and
// I10).
func TestInvariants(t *testing.T) {
	for backend := range badDays {
		for _, mode := range []string{"original", "enhanced"} {
			t.Run(backend+" "+mode, func(t *testing.T) {
				t.Parallel()
				checkInvariants(t, backend, mode)
			})
		}
	}
}

// badDays are what goes wrong at a back end.
var badDays = map[string][]simulator.Fault{
	"smsp": append(
		// Where an answer is a bare number, nobody can see whose it is.
		badDay("getPatientDetailsBySearch", "getPatientDetailsByNHSNumber"),
		simulator.Fault{Rate: 0.03, Do: "code:SMSP-0003"},
	),
	"pds": append(
		badDay(simulator.Read, simulator.Search),
		simulator.Fault{Rate: 0.03, Do: "code:UNKNOWN_ERROR"},
	),
}

// badDay is what goes wrong anywhere. Another patient's record comes from strangers.
func badDay(strangers ...string) []simulator.Fault {
	faults := []simulator.Fault{
		{Rate: 0.03, Do: "503"},
		{Rate: 0.02, Do: "garbage"},
		{Rate: 0.02, Do: "reset"},
		{Rate: 0.02, Do: "hollow"},
		{Rate: 0.10, Delay: 50 * time.Millisecond},
		{Skip: 40, Times: 6, Delay: 6 * time.Second}, // longer than the budget
	}
	for _, op := range strangers {
		faults = append(faults, simulator.Fault{Operation: op, Rate: 0.1, Do: "stranger"})
	}
	return faults
}

func checkInvariants(t *testing.T, backend, mode string) {
	people := pdstest.People()
	sim := providers[backend](t, people, badDays[backend]...)
	dsn := program.migrated(t, pg.Server(t))
	i := launchReady(t, beside(dsn, sim, map[string]string{
		"REPLY_BUDGET": "4s", "COMMIT_TIMEOUT": "3900ms", "LOG_LEVEL": "debug", "ACK_MODE": mode,
		"DUPLICATE_WINDOW_QUERY": "1h", // a slow machine may take a minute until it sends a query again
	}))
	db := openJournal(t, dsn)
	var seen book
	var unheard quiet
	var senders errgroup.Group
	for n := range 32 {
		s := &sender{
			author: author{sender: fmt.Sprintf("PAS%02d", n), people: people, n: n},
			random: rand.New(rand.NewPCG(1, uint64(n))),
			addr:   i.mllp, seen: &seen, enhanced: mode == "enhanced", unheard: &unheard,
		}
		senders.Go(s.run)
	}
	if err := senders.Wait(); err != nil {
		t.Fatal(err)
	}
	awaitTraces(t, db)
	awaitDeferred(t, db)
	resendQuietly(t, i.mllp, sim, &seen)
	_, metrics := i.get(t, "/metrics")
	i.stop(t)

	stories := readStories(t, db)
	readBodies(t, db, stories)
	checkRecorded(t, stories, &seen)
	checkUnheard(t, stories, &unheard)
	checkChains(t, db, dsn)
	checkAsked(t, stories, sim)
	if a, differ := seen.differing(); differ {
		t.Errorf("I5: %s %s was answered in two ways", a.kind, a.controlID)
	}
	checkAnswers(t, people, seen.all)
	if n := unheard.len(); mode == "enhanced" && n < 20 {
		t.Errorf("only %d messages wanted no answer: too few to prove anything", n)
	}
	checkSilence(t, people, "log", i.output.String())
	checkSilence(t, people, "metrics", metrics)
}

// sender is one system that sends over one connection, and sometimes over another.
type sender struct {
	author
	random *rand.Rand
	addr   string
	seen   *book
	line   *line

	enhanced bool   // its messages say in MSH-15 what they want to hear
	unheard  *quiet // what it sent and wanted no answer to
	batches  int
	readable bool // what any wrote last
}

// run does a fixed number of things, and leaves in good order.
func (s *sender) run() (err error) {
	if s.line, err = dialLine(s.addr); err != nil {
		return err
	}
	defer func() { _ = s.line.conn.Close() }() // on errors; else it is closed already
	for range 14 {
		if err := s.act(s.random.IntN(10)); err != nil {
			return fmt.Errorf("%s: %w", s.sender, err)
		}
	}
	return s.line.hangUp()
}

func (s *sender) act(turn int) error {
	switch turn {
	case 0: // somebody else's message, or an old one of its own
		if m, ok := s.seen.pick(s.random.IntN(1000)); ok && m.kind != unreadable {
			return s.say(m)
		}
		return nil
	case 1: // the same twice in one breath
		m := s.any()
		return s.say(m, m)
	case 2: // the same on two connections at once
		return s.twice(s.any())
	case 3:
		return s.leaveHalfway(s.write(traced[0]))
	case 4, 5:
		return s.say(s.any(), s.any(), s.any(), s.any())
	case 6:
		return s.sayBatch()
	}
	return s.say(s.any())
}

// write is a message in the mode of the sender.
func (s *sender) write(f form) message {
	m := s.author.write(f)
	if s.enhanced && !m.query && m.ack != "" {
		m.ask([]string{"AL", "NE", "ER", "SU", ""}[s.random.IntN(5)])
	}
	return m
}

// ask fills MSH-15 and MSH-16, and tells what has to answer the message then.
func (m *message) ask(accept string) {
	const without, with = "|2.4||||||", "|2.4|||%s|NE||"
	if asked := strings.Replace(string(m.bytes), without, fmt.Sprintf(with, accept), 1); asked != string(m.bytes) {
		m.bytes, m.ack = []byte(asked), "C"+m.ack[1:]
	}
}

var msh15 = hl7v2.MustPath("MSH-15")

// heard tells whether the sender of a message wants to hear the answer that it must get.
func heard(m message) bool {
	switch hl7v2.Head(m.bytes).Get(msh15) {
	case "NE":
		return false
	case "SU":
		return m.ack == "CA"
	case "ER":
		return m.ack != "CA"
	}
	return true
}

// quiet is what all senders sent that wanted no answer, and that must be stored.
type quiet struct {
	mu  sync.Mutex
	all []message
}

func (q *quiet) add(m message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, m)
}

func (q *quiet) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.all)
}

// any writes a message of any form, but not two unreadable ones in a row: each may be sent
// twice, and three end a connection.
func (s *sender) any() message {
	for {
		forms := [][]form{traced, traced, queries, untraced}[s.random.IntN(4)]
		f := forms[s.random.IntN(len(forms))]
		if f.kind != unreadable || s.readable {
			s.readable = f.kind != unreadable
			return s.write(f)
		}
	}
}

// unreadable is the form that is no HL7.
const unreadable = "no HL7"

func (s *sender) say(messages ...message) error { return s.sayOver(s.line, messages...) }

// sayOver sends messages without waiting in between, and reads the answers that are due.
func (s *sender) sayOver(l *line, messages ...message) error {
	var frames []byte
	for _, m := range messages {
		frames = mllp.Append(frames, m.bytes)
	}
	if _, err := l.conn.Write(frames); err != nil {
		return err
	}
	for _, m := range messages {
		if !heard(m) {
			s.unheard.add(m)
			continue
		}
		reply, err := l.in.Next()
		if err != nil {
			return fmt.Errorf("%s %s: %w", m.kind, m.controlID, err)
		}
		if err := s.note(m, reply); err != nil {
			return err
		}
	}
	return nil
}

// note reads an answer and keeps it, under the code of the application level.
func (s *sender) note(m message, reply []byte) error {
	a, err := read(m, reply)
	if err != nil {
		return err
	}
	a.code = strings.Replace(a.code, "C", "A", 1)
	s.seen.add(a)
	return nil
}

// sayBatch sends a batch of up to eight messages, and reads the one that answers it. Some of
// the messages were sent before.
func (s *sender) sayBatch() error {
	s.batches++
	id := fmt.Sprintf("%s-B%d", s.sender, s.batches)
	batch := `BHS|^~\&|` + s.sender + "|RXX|SPINETRACE|RXX|20261122115959||||" + id + "\r"
	messages := make([]message, 1+s.random.IntN(8))
	for i := range messages {
		messages[i] = s.write(batched[s.random.IntN(len(batched))])
		if i > 0 && s.random.IntN(8) == 0 {
			messages[i] = messages[i-1] // the same again
		}
		batch += string(messages[i].bytes)
	}
	batch += fmt.Sprintf("BTS|%d\r", len(messages))
	if _, err := s.line.conn.Write(mllp.Append(nil, []byte(batch))); err != nil {
		return err
	}
	reply, err := s.line.in.Next()
	if err != nil {
		return fmt.Errorf("batch %s: %w", id, err)
	}
	return s.noteBatch(id, messages, hl7v2.Split(reply))
}

// noteBatch compares the answer to a batch with what its messages are due.
func (s *sender) noteBatch(id string, messages []message, answer hl7v2.Batch) error {
	if answer.Header.Get(bhs12) != id || answer.Mismatch || answer.Stray {
		return fmt.Errorf("%w to batch %s", errWrongAnswer, id)
	}
	left := answer.Messages
	for _, m := range messages {
		switch {
		case !heard(m):
			s.unheard.add(m)
			continue
		case len(left) == 0:
			return fmt.Errorf("%w to batch %s: nothing for %s", errWrongAnswer, id, m.controlID)
		}
		if err := s.note(m, left[0]); err != nil {
			return err
		}
		left = left[1:]
	}
	if len(left) > 0 {
		return fmt.Errorf("%w to batch %s: %d answers too many", errWrongAnswer, id, len(left))
	}
	return nil
}

// batched are the forms that stand in a batch.
var batched = slices.Concat(traced, untraced[:5])

// twice sends a message on this connection and on a new one at the same time.
func (s *sender) twice(m message) error {
	other, err := dialLine(s.addr)
	if err != nil {
		return err
	}
	defer other.conn.Close()
	var both errgroup.Group
	both.Go(func() error { return s.say(m) })
	both.Go(func() error { return s.sayOver(other, m) })
	if err := both.Wait(); err != nil {
		return err
	}
	return other.hangUp()
}

// leaveHalfway breaks off within a message and connects anew.
func (s *sender) leaveHalfway(m message) (err error) {
	s.seen.addHalf(m)
	if err := s.line.breakOff(m); err != nil {
		return err
	}
	s.line, err = dialLine(s.addr)
	return err
}

// resendQuietly sends what was answered AA once more, over one new connection, when nothing
// else happens: the answers are the first ones and the provider is not asked (I5).
func resendQuietly(t *testing.T, addr string, sim provider, seen *book) {
	t.Helper()
	l, err := dialLine(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.conn.Close()
	asked := sim.Asked()
	for _, a := range seen.firsts() {
		if a.query {
			continue // their window may be over by now on a slow machine
		}
		again, err := l.talk(a.message)
		if err != nil {
			t.Fatal(err)
		}
		seen.add(again...)
	}
	if n := sim.Asked() - asked; n != 0 {
		t.Errorf("I5: resends caused %d calls", n)
	}
	if err := l.hangUp(); err != nil {
		t.Error(err)
	}
}

// checkRecorded checks that every AA has its exchange, with that answer (I1), and that a
// message of which half came has none.
func checkRecorded(t *testing.T, stories map[store.ID]*story, seen *book) {
	t.Helper()
	firsts := seen.firsts()
	if len(firsts) < 100 {
		t.Errorf("only %d messages were answered AA: too few to prove anything", len(firsts))
	}
	about := make(map[string]map[store.ID]*story) // by frame: there may be thousands
	for id, s := range stories {
		if about[string(s.frame)] == nil {
			about[string(s.frame)] = make(map[store.ID]*story)
		}
		about[string(s.frame)][id] = s
	}
	for _, a := range firsts {
		s, err := find(about[string(a.bytes)], a.message)
		switch {
		case err != nil:
			t.Errorf("I1: %v", err)
		case len(s.replies) != 1 || string(s.replies[0]) != string(a.answer):
			t.Errorf("I1: %s %s: the answer stored is not the answer sent", a.kind, a.controlID)
		case s.facts[0].ControlID != a.controlID || s.facts[0].Application != a.sender:
			t.Errorf("I1: %s %s: stored under another sender or control id", a.kind, a.controlID)
		}
	}
	for _, m := range seen.half {
		for _, s := range stories {
			if s.facts[0].ControlID == m.controlID && s.count(store.Broken) == 0 {
				t.Errorf("half of %s %s counts as a message: %s", m.kind, m.controlID, s.told())
			}
		}
	}
}

// checkUnheard checks that a message is stored whether or not its sender wanted to hear of it,
// once.
func checkUnheard(t *testing.T, stories map[store.ID]*story, unheard *quiet) {
	t.Helper()
	for _, m := range unheard.all {
		if m.ack == "CR" {
			continue // kept as often as it came
		}
		if _, err := find(stories, m); err != nil {
			t.Errorf("I1: %v", err)
		}
	}
}

// awaitDeferred waits until every trace has ended that was to follow the answer.
func awaitDeferred(t *testing.T, db store.Audit) {
	t.Helper()
	open := 0
	eventually(t, func() bool {
		open = 0
		for _, s := range readStories(t, db) {
			if s.facts[0].Outcome == store.Deferred.String() && s.count(store.Finished) == 0 {
				open++
			}
		}
		return open == 0
	}, func() string { return fmt.Sprintf("%d traces that were to follow never end", open) })
}

// checkAsked checks that every question that reached the provider was announced in the
// journal, once, and that every announced one has its end.
func checkAsked(t *testing.T, stories map[store.ID]*story, sim provider) {
	t.Helper()
	announced := make(map[string]bool)
	for _, s := range stories {
		if !s.ended() {
			t.Errorf("an exchange did not end: %s", s.told())
		}
		for n, e := range s.events {
			if e.Kind == store.Asked {
				announced[s.facts[n].MessageID] = true
			}
		}
	}
	if sim.Asked() < 100 {
		t.Errorf("the provider was asked %d times: too few to prove anything", sim.Asked())
	}
	for _, q := range sim.questions() {
		if !announced[q.id] {
			t.Errorf("a question reached the provider that the journal does not hold")
		}
		if q.problem != "" {
			t.Errorf("the provider cannot read a question: %s", q.problem)
		}
	}
}

// words are what identifies a patient, one mapping for a population.
func words(people *pdstest.Population) map[string][]*pdstest.Person {
	owners := make(map[string][]*pdstest.Person)
	for n := range people.Len() {
		p := people.At(n)
		for _, w := range wordsOf(p) {
			owners[w] = append(owners[w], p)
		}
	}
	return owners
}

// wordsOf are what identifies one patient, as a field of HL7 holds it.
func wordsOf(p *pdstest.Person) []string {
	r := p.Record
	var all []string
	for _, w := range []string{r.NHSNumber.Digits(), escape(r.Family), escape(first(r.Given)), r.BirthDate.Digits(), r.Home.Postcode, localID(p)} {
		if w != "" {
			all = append(all, w)
		}
	}
	return all
}

var hl7Marks = regexp.MustCompile(`[|^~&\r]+`)

// checkAnswers checks that no answer holds what belongs to another patient than the one it
// is about, or the one whose record replaced that (I6).
func checkAnswers(t *testing.T, people *pdstest.Population, all []answered) {
	t.Helper()
	owners := words(people)
	verified := 0
	for _, a := range all {
		current := people.Current(a.person.Record.NHSNumber)
		asked := make(map[string]bool)
		for _, w := range hl7Marks.Split(string(a.bytes), -1) {
			asked[w] = true
		}
		for _, w := range hl7Marks.Split(string(a.answer), -1) {
			if of := owners[w]; len(of) > 0 && !asked[w] && !holds(of, a.person, current) && !slices.ContainsFunc(of, became(people, current)) {
				t.Errorf("I6: the answer to %s %s tells of another patient in %s", a.kind, a.controlID, segmentOf(a.answer, w))
			}
		}
		number, status := resultOf(a.answer)
		if status == "NSTS01" {
			verified++
			if number != current.Record.NHSNumber {
				t.Errorf("I6: %s %s brought another number than the patient's", a.kind, a.controlID)
			}
		}
	}
	if verified < 30 {
		t.Errorf("only %d answers brought a number home: too few to prove anything", verified)
	}
}

// became tells whether somebody is the patient under an earlier number: what a trust sent of
// the one is what the index knows of the other.
func became(people *pdstest.Population, current *pdstest.Person) func(*pdstest.Person) bool {
	return func(p *pdstest.Person) bool { return people.Current(p.Record.NHSNumber) == current }
}

// segmentOf returns the name of the first segment that holds a word.
func segmentOf(answer []byte, word string) string {
	for segment := range strings.SplitSeq(string(answer), "\r") {
		if slices.Contains(hl7Marks.Split(segment, -1), word) {
			return segment[:3]
		}
	}
	return ""
}

func holds(of []*pdstest.Person, persons ...*pdstest.Person) bool {
	for _, p := range of {
		for _, q := range persons {
			if p == q {
				return true
			}
		}
	}
	return false
}

var (
	identifiersBack = hl7v2.MustPath("PID-3")
	reliabilityBack = hl7v2.MustPath("PID-32")
)

// resultOf returns the NHS number and the status that an answer brings home.
func resultOf(answer []byte) (number pds.NHSNumber, status string) {
	m, err := hl7v2.Parse(answer)
	if err != nil {
		return number, ""
	}
	for _, r := range m.Repetitions(identifiersBack) {
		if r.Component(4) == "NHS" && r.Component(5) == "NH" {
			number, _ = pds.ParseNHSNumber(r.Component(1)) // the zero number fails the comparison
		}
	}
	for _, r := range m.Repetitions(reliabilityBack) {
		if strings.HasPrefix(r.Component(1), "NSTS") {
			status = r.Component(1)
		}
	}
	return number, status
}

// chance is what the program makes up itself in a log or a metric: times, ids and measures, in
// which a short birth date turns up sooner or later.
var chance = regexp.MustCompile(`"(time|exchange|took)":"[^"]*"|(?m: [0-9.e+-]+$)`)

// checkSilence checks that a text for operators holds nothing that identifies a patient
// (I10), in whatever case.
func checkSilence(t *testing.T, people *pdstest.Population, what, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("I10: the %s is empty: nothing is proved", what)
	}
	for _, w := range leaked(words(people), text) {
		t.Errorf("I10: the %s holds %q, which is somebody's", what, w)
	}
}

// leaked returns the words of patients that a text holds.
func leaked(owners map[string][]*pdstest.Person, text string) (found []string) {
	text = strings.ToUpper(chance.ReplaceAllString(text, ""))
	said := make(map[string]bool) // short names are in other words: SAGE in message
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		said[w] = true
	}
	for w := range owners {
		if w := strings.ToUpper(w); said[w] || len(w) > 5 && strings.Contains(text, w) {
			found = append(found, w)
		}
	}
	return found
}
