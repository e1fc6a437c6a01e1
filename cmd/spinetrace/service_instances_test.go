package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// TestTwoInstances sends every message to two instances at once, which share a database and
// write a chain each: one of them traces, both answer the same.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	people := pdstest.People()
	sim := smsptest.NewServer(t, people)
	dsn := program.migrated(t, pg.Server(t))
	var addrs []string
	var running []*instance
	for _, chain := range []string{"one", "two"} {
		i := launchReady(t, serveSettings(dsn, sim.URL, map[string]string{
			"CHAIN": chain, "REPLY_BUDGET": "10s", "COMMIT_TIMEOUT": "9s",
		}))
		running, addrs = append(running, i), append(addrs, i.mllp)
	}
	a := &author{sender: "PAS", people: people}
	for range 10 {
		for _, f := range []form{traced[0], traced[1], queries[0], queries[2], untraced[0]} {
			both := askBoth(t, addrs, a.write(f))
			if !bytes.Equal(both[0].answer, both[1].answer) {
				t.Errorf("%s %s: two instances answer differently:\n%q\n%q", f.kind, both[0].controlID, both[0].answer, both[1].answer)
			}
		}
	}
	for _, i := range running {
		i.stop(t)
	}
	db := openJournal(t, dsn)
	asked := 0
	for _, s := range readStories(t, db) {
		n := s.count(store.Asked)
		if n > 1 {
			t.Errorf("asked %d times: %s", n, s.told())
		}
		asked += n
	}
	if n := sim.Asked(); n != asked || n == 0 {
		t.Errorf("the provider was asked %d times, %d calls are recorded", n, asked)
	}
	checkChains(t, db, dsn)
}

// TestChainHandover starts an instance while another writes its chain, as a rolling restart
// does: it listens, says why it is not ready, and takes over when the other has stopped.
func TestChainHandover(t *testing.T) {
	t.Parallel()
	sim := smsptest.NewServer(t, pdstest.People())
	dsn := program.migrated(t, pg.Server(t))
	set := serveSettings(dsn, sim.URL, map[string]string{"COMMIT_TIMEOUT": "900ms"})
	a := &author{sender: "PAS", people: pdstest.People()}
	old := launchReady(t, set)
	m := a.write(traced[0])
	first := ask(t, old.mllp, m)
	next := launch(t, set)
	var sentence string
	eventually(t, func() bool {
		sentence, _ = next.ready(t)
		return strings.Contains(sentence, `chain "main" is being written by`)
	}, func() string { return "/-/ready says " + sentence })
	checkNoAnswer(t, next.mllp, a.write(traced[0]))
	old.stop(t)
	next.awaitReady(t)
	if again := ask(t, next.mllp, m); !bytes.Equal(again.answer, first.answer) {
		t.Error("the next instance answers a resend differently")
	}
	next.stop(t)
	checkChains(t, openJournal(t, dsn), dsn)
}

// askBoth sends a message to several addresses at the same moment.
func askBoth(t *testing.T, addrs []string, m message) []answered {
	t.Helper()
	var lines []*line
	for _, addr := range addrs {
		l, err := dialLine(addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.conn.Close()
		lines = append(lines, l)
	}
	answers := make([]answered, len(lines))
	var start sync.WaitGroup
	start.Add(len(lines))
	var g errgroup.Group
	for n, l := range lines {
		g.Go(func() error {
			start.Done()
			start.Wait()
			all, err := l.talk(m)
			if err == nil {
				answers[n] = all[0]
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return answers
}
