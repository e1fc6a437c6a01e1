package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
	"spinetrace/store"
)

const (
	stalledSenders = 200
	stalledCalls   = 16 // at a time
)

// TestStall lets 200 senders trace at once at a back end that takes questions and never
// answers. Each is told "trace pending" in time; goroutines and memory stay within bounds
// that know the number of senders and not of messages; a message that needs no trace is
// dealt with as ever. Once the breaker is open and the back end known to be slow, an ADT is
// answered before its trace. When the back end is well again, so are the traces, with
// nobody's help.
func TestStall(t *testing.T) {
	for backend := range providers {
		t.Run(backend, func(t *testing.T) {
			t.Parallel() // with each other, and nothing else
			checkStall(t, backend)
		})
	}
}

func checkStall(t *testing.T, backend string) {
	people := pdstest.People()
	sim := providers[backend](t, people)
	dsn := program.migrated(t, pg.Server(t))
	i := launchReady(t, beside(dsn, sim, map[string]string{
		"BACKEND_CONCURRENCY": fmt.Sprint(stalledCalls), "BACKEND_TIMEOUT": "6s", "BACKEND_ATTEMPTS": "1",
		"REPLY_BUDGET": "4s", "COMMIT_TIMEOUT": "3900ms", "MLLP_MAX_CONNS_PER_ADDR": "1000",
	}))
	db := openJournal(t, dsn)
	a := &author{sender: "PAS", people: plain(t, people)}
	if well := ask(t, i.mllp, a.write(traced[1])); well.text != "Verified" {
		t.Fatalf("before the stall: answered %s %q, want AA Verified", well.code, well.text)
	}
	before := i.size(t)
	sim.SetFaults(simulator.Fault{Do: "hang"})
	crowd := newCrowd(t, i.mllp)
	asked := sim.Asked()

	first := crowd.sendAll(a)
	eventually(t, func() bool { return sim.Asked() >= asked+stalledCalls }, func() string { return "the places at the back end are never full" })
	checkUntraced(t, i, a)
	i.checkSize(t, "with every place at the back end taken", before)
	crowd.pending(t, first)
	for range 8 {
		crowd.pending(t, crowd.sendAll(a))
		i.checkSize(t, "as the stall goes on", before)
	}
	checkUntraced(t, i, a)
	checkAnsweredFirst(t, i, db, a)

	sim.SetFaults()
	recovers(t, i, a)
	crowd.leave(t)
	i.stop(t)
	stories := awaitTraces(t, db)
	for _, m := range crowd.sent {
		if _, ok := storyAbout(stories, m); !ok {
			t.Errorf("the journal does not hold %s once", m.controlID)
		}
	}
	checkChains(t, db, dsn)
}

// plain are the people who can be traced by number and by name.
func plain(t *testing.T, people *pdstest.Population) *pdstest.Population {
	t.Helper()
	var list []pdstest.Person
	for n := range people.Len() {
		if p := people.At(n); len(list) < 5 && p.Record.BirthDate.Full() {
			list = append(list, *p)
		}
	}
	five, err := pdstest.NewPopulation(list)
	if err != nil {
		t.Fatal(err)
	}
	return five
}

// storyAbout returns the one story of a message.
func storyAbout(stories map[store.ID]*story, m message) (s *story, ok bool) {
	n := 0
	for _, other := range stories {
		if other.facts[0].ControlID == m.controlID {
			s, n = other, n+1
		}
	}
	return s, n == 1
}

// crowd are many senders, each on a line of its own.
type crowd struct {
	lines []*line
	sent  []message
}

func newCrowd(t *testing.T, addr string) *crowd {
	t.Helper()
	c := new(crowd)
	for range stalledSenders {
		l, err := dialLine(addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.conn.Close() }) // closed already, unless the test fails
		c.lines = append(c.lines, l)
	}
	return c
}

// sendAll has each send an ADT at once. What it returns waits for the answers.
func (c *crowd) sendAll(a *author) (answers func() ([]answered, error)) {
	var g errgroup.Group
	all := make([]answered, len(c.lines))
	for n, l := range c.lines {
		m := a.write(traced[n%2])
		c.sent = append(c.sent, m)
		g.Go(func() error {
			got, err := l.talk(m)
			if err == nil {
				all[n] = got[0]
			}
			return err
		})
	}
	return func() ([]answered, error) { return all, g.Wait() }
}

// pending checks that everybody was told so.
func (c *crowd) pending(t *testing.T, answers func() ([]answered, error)) {
	t.Helper()
	all, err := answers()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		checkPending(t, a)
	}
}

func (c *crowd) leave(t *testing.T) {
	t.Helper()
	for _, l := range c.lines {
		if err := l.hangUp(); err != nil {
			t.Error(err)
		}
	}
}

// checkUntraced checks that a message that needs no back end is dealt with.
func checkUntraced(t *testing.T, i *instance, a *author) {
	t.Helper()
	if got := ask(t, i.mllp, a.write(untraced[0])); got.text != "Event not used" {
		t.Errorf("an A03 is answered %s %q beside the stall", got.code, got.text)
	}
}

// checkAnsweredFirst checks that an ADT is answered before anybody is asked about it, as long
// as the back end is slow.
func checkAnsweredFirst(t *testing.T, i *instance, db store.Audit, a *author) {
	t.Helper()
	eventually(t, func() bool { return i.metric(t, "spinetrace_backend_slow") == 1 }, func() string { return "the back end never counts as slow" })
	eventually(t, func() bool { return i.metric(t, "spinetrace_backend_breaker_open") == 1 }, func() string { return "the breaker never opens" })
	m := a.write(traced[1])
	checkPending(t, ask(t, i.mllp, m))
	s, ok := storyAbout(awaitTraces(t, db), m)
	if !ok {
		t.Fatal("the journal does not hold the ADT once")
	}
	if words := s.told(); !strings.HasPrefix(words, "exchanged") && !strings.HasPrefix(words, "received replied") {
		t.Errorf("an ADT was not answered at once: %s", words)
	}
}

// recovers waits until an ADT is told the result of its trace again.
func recovers(t *testing.T, i *instance, a *author) {
	t.Helper()
	var last answered
	eventually(t, func() bool {
		last = ask(t, i.mllp, a.write(traced[1]))
		return last.text == "Verified"
	}, func() string { return "no trace is waited for again: the last ADT is told " + last.text })
}

// size is what a process takes.
type size struct{ goroutines, heap float64 }

// mostGoroutines is what the stall may add: a few for each sender and for each call.
const mostGoroutines = 4*stalledSenders + 8*stalledCalls

func (i *instance) size(t *testing.T) size {
	t.Helper()
	return size{i.metric(t, "go_goroutines"), i.metric(t, "go_memstats_heap_inuse_bytes")}
}

func (i *instance) checkSize(t *testing.T, when string, before size) {
	t.Helper()
	now := i.size(t)
	t.Logf("%s: %.0f goroutines more than before, %.1f MiB of heap", when, now.goroutines-before.goroutines, now.heap/(1<<20))
	// Below its limit the collector is lazy: how much of the heap is garbage is not known.
	if now.goroutines-before.goroutines > mostGoroutines || now.heap > memoryLimit {
		t.Errorf("%s the service grew from %+v to %+v", when, before, now)
	}
}

// metric reads one that has no labels.
func (i *instance) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, page := i.get(t, "/metrics")
	for line := range strings.Lines(page) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
