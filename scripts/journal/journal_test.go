package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"spinetrace/internal/pgtest"
	"spinetrace/store"
	"spinetrace/store/postgres"
)

var pg pgtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(pg.Main(m)) }

// filled is a database with 600 exchanges of half a year, by two instances.
func filled(t *testing.T) (dsn string) {
	t.Helper()
	srv := pg.Server(t)
	return srv.NewDatabase(t, srv.Template(t, "filled", func(dsn string) error {
		if code := run(context.Background(), fillArgs(dsn), io.Discard, t.Output()); code != 0 {
			return fmt.Errorf("fill: exit code %d", code)
		}
		return nil
	}))
}

func fillArgs(dsn string) []string {
	return []string{"fill", "--store", dsn, "--exchanges", "600", "--months", "6", "--chains", "2"}
}

func open(t *testing.T, dsn string) *postgres.Store {
	t.Helper()
	db, err := postgres.Open(dsn, store.Options{Chain: "test"})
	if err == nil {
		err = db.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func searched(t *testing.T, db store.Audit, s store.Search) []store.Exchange {
	t.Helper()
	if s.Limit == 0 {
		s.Limit = 1000
	}
	found, err := db.Search(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestFilledJournalVerifies(t *testing.T) {
	db := open(t, filled(t))
	for _, chain := range []string{"main", "main2"} {
		w, err := store.Verify(t.Context(), db, chain, true, nil)
		if err != nil || w.Events < 200 || w.Bodies < w.Events {
			t.Errorf("Verify(%s) = %d events, %d bodies, error %v; want hundreds, with bodies", chain, w.Events, w.Bodies, err)
		}
	}
}

// TestFilledJournalIsFoundByWhatItSays: no row that is searched differs from the events.
func TestFilledJournalIsFoundByWhatItSays(t *testing.T) {
	found := func(m store.Mismatch) { t.Errorf("%+v", m) }
	if n, err := store.VerifyRows(t.Context(), open(t, filled(t)), found, nil); n != 600 || err != nil {
		t.Errorf("VerifyRows() = %d exchanges, error %v; want 600", n, err)
	}
}

// TestFilledJournalIsFound: every exchange is found by each of the things that it holds.
func TestFilledJournalIsFound(t *testing.T) {
	db := open(t, filled(t))
	all := searched(t, db, store.Search{})
	if len(all) != 600 {
		t.Fatalf("Search() = %d exchanges, want 600", len(all))
	}
	first, last := all[len(all)-1].At, all[0].At
	if first.Format("2006-01") != "2025-12" || last.Format("2006-01") != "2026-05" {
		t.Errorf("exchanges from %v to %v, want them from December 2025 to May 2026", first, last)
	}
	outcomes := make(map[store.Outcome]int)
	for _, x := range all {
		outcomes[x.Outcome]++
		for _, s := range []store.Search{{ControlID: x.ControlID}, {LocalID: x.LocalID}, {NHSNumber: x.NHSNumber}, {NHSNumber: x.NHSFound}, {User: x.User}} {
			if s != (store.Search{}) && !holds(searched(t, db, s), x.ID) {
				t.Errorf("exchange %s is not found by what it holds", x.ID)
			}
		}
		checkStory(t, db, x)
	}
	for _, o := range []store.Outcome{store.NotTraced, store.Verified, store.Traced} {
		if outcomes[o] < 20 {
			t.Errorf("%d exchanges were %v, want more", outcomes[o], o)
		}
	}
}

func holds(found []store.Exchange, id store.ID) bool {
	for _, x := range found {
		if x.ID == id {
			return true
		}
	}
	return false
}

// checkStory looks for what is left of a rehearsal in the events of an exchange, and for the exchange
// by its calls.
func checkStory(t *testing.T, db store.Audit, x store.Exchange) {
	t.Helper()
	for e, err := range db.Events(t.Context(), store.Query{Exchange: x.ID}) {
		if err != nil {
			t.Fatal(err)
		}
		facts, err := e.Facts()
		if err != nil {
			t.Fatal(err)
		}
		digests, err := e.Digests()
		if err != nil {
			t.Fatal(err)
		}
		parts, _, err := db.Parts(t.Context(), e)
		if err != nil || len(parts) != len(digests) {
			t.Fatalf("exchange %s, %v: %d bodies, error %v; want %d", x.ID, e.Kind, len(parts), err, len(digests))
		}
		texts := []string{e.Doc}
		for _, p := range parts {
			texts = append(texts, string(p.Data))
		}
		for _, text := range texts {
			for _, word := range []string{"PATTERN", "127.0.0.1", numbers.current, numbers.former, wordTime, wordXMLTime} {
				if strings.Contains(text, word) {
					t.Errorf("an event of %s, %v, still has %s", x.ID, e.Kind, word)
				}
			}
		}
		if facts.MessageID != "" && !holds(searched(t, db, store.Search{MessageID: facts.MessageID}), x.ID) {
			t.Errorf("exchange %s is not found by its call", x.ID)
		}
	}
}

func TestFillRefusesAJournalOfSomebody(t *testing.T) {
	var said bytes.Buffer
	if code := run(t.Context(), fillArgs(filled(t)), io.Discard, &said); code != 1 || !strings.Contains(said.String(), errFull.Error()) {
		t.Errorf("fill of a full store = %d, %q; want 1 and %q", code, said.String(), errFull)
	}
}

func TestRehearsalsEndAsTheyShould(t *testing.T) {
	patterns, err := rehearse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shares := 0
	for _, p := range patterns {
		shares += p.share
		var got store.Outcome
		for _, c := range p.commits {
			for _, end := range []*store.Closing{c.Close, c.Late} {
				if end != nil {
					got = end.Outcome
				}
			}
		}
		if got != p.outcome {
			t.Errorf("%s ended as %v, want %v", p.name, got, p.outcome)
		}
	}
	if shares != 1000 {
		t.Errorf("the shares add up to %d, want 1000", shares)
	}
}

func TestSameSeedMakesTheSame(t *testing.T) {
	patterns, err := rehearse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 2, 29, 9, 0, 0, 0, time.UTC)
	made := func(seed uint64, n int64) []store.Commit {
		p := newTroupe(patterns, 1000, seed, true).exchange(n, at)
		var all []store.Commit
		for _, c := range p.commits {
			all = append(all, p.commit(c, at))
		}
		return all
	}
	for n := range int64(50) {
		if diff := cmp.Diff(made(1, n), made(1, n)); diff != "" {
			t.Errorf("exchange %d differs from itself:\n%s", n, diff)
		}
		if cmp.Equal(made(1, n), made(2, n)) {
			t.Errorf("exchange %d is the same with another seed", n)
		}
	}
}

func TestMeasure(t *testing.T) {
	program := filepath.Join(t.TempDir(), "spinetrace")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/spinetrace")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var out bytes.Buffer
	args := []string{"measure", "--store", filled(t), "--program", program, "--runs", "2"}
	if code := run(t.Context(), args, &out, t.Output()); code != 0 {
		t.Fatalf("measure = %d, want 0", code)
	}
	for _, q := range questions {
		if !strings.Contains(out.String(), "\n"+q.name+"  ") {
			t.Errorf("nothing was measured for %q:\n%s", q.name, out.String())
		}
	}
	if n := strings.Count(out.String(), "\nverify "); n != 2 {
		t.Errorf("verified %d times, want twice:\n%s", n, out.String())
	}
}

func TestWrongUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"nothing":         nil,
		"unknown":         {"empty"},
		"no store":        {"fill"},
		"nothing to make": {"fill", "--store", "postgres://", "--exchanges", "0"},
		"an argument":     {"measure", "--store", "postgres://", "now"},
	} {
		if code := run(t.Context(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%s: exit code %d, want 2", name, code)
		}
	}
}
