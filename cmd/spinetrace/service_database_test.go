package main

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"

	"spinetrace/hl7v2"
	"spinetrace/internal/pgtest"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
)

// TestDatabaseDown takes the database away: nothing positive is said, nobody is asked, the
// operator can read why, and the service resumes by itself when the database is back.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	srv := pgtest.Start(t, pgtest.Options{})
	dsn := program.migrated(t, srv)
	sim := smsptest.NewServer(t, pdstest.People())
	set := serveSettings(dsn, sim.URL, map[string]string{"COMMIT_TIMEOUT": "900ms", "REPLY_BUDGET": "4s"})
	a := &author{sender: "PAS", people: pdstest.People()}

	t.Run("killed", func(t *testing.T) {
		i := launchReady(t, set)
		before := a.write(traced[0])
		first := ask(t, i.mllp, before)
		if first.code != "AA" {
			t.Fatalf("answered %s %q, want AA", first.code, first.text)
		}
		srv.Kill(t)
		lost := checkSilent(t, i, a, sim)
		srv.Restart(t)
		i.awaitReady(t)
		checkResumed(t, i, lost, sim)
		if again := ask(t, i.mllp, before); string(again.answer) != string(first.answer) {
			t.Error("a resend of what was answered before the failure gets another answer")
		}
		i.stop(t)
		checkChains(t, openJournal(t, dsn), dsn)
	})
	t.Run("frozen", func(t *testing.T) {
		i := launchReady(t, set)
		thaw := freeze(t, dsn)
		lost := checkSilent(t, i, a, sim)
		thaw()
		i.awaitReady(t)
		checkResumed(t, i, lost, sim)
		i.stop(t)
		checkChains(t, openJournal(t, dsn), dsn)
	})
	t.Run("down at the start", func(t *testing.T) {
		srv.Stop(t)
		i := launch(t, set)
		lost := checkSilent(t, i, a, sim)
		srv.Restart(t)
		i.awaitReady(t)
		checkResumed(t, i, lost, sim)
		i.stop(t)
		checkChains(t, openJournal(t, dsn), dsn)
	})
}

// freeze stops the database's processes that serve the service: they neither answer nor hang
// up, like a network that swallows everything. What they were told before may still happen
// after thaw.
func freeze(t *testing.T, dsn string) (thaw func()) {
	t.Helper()
	var pids []int
	for _, field := range strings.Fields(querySQL(t, dsn,
		"select string_agg(pid::text, ' ') from pg_stat_activity where application_name = 'spinetrace/main'")) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) == 0 {
		t.Fatal("the service has no connection to the database")
	}
	thaw = sync.OnceFunc(func() {
		for _, pid := range pids {
			_ = pgtest.Resume(pid) // it may have ended
		}
	})
	t.Cleanup(thaw)
	for _, pid := range pids {
		if err := pgtest.Suspend(pid); err != nil {
			t.Fatal(err)
		}
	}
	return thaw
}

// ask sends one message over a connection of its own.
func ask(t *testing.T, addr string, m message) answered {
	t.Helper()
	l, err := dialLine(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.conn.Close()
	all, err := l.talk(m)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// checkSilent checks what happens while the database is away, and returns the messages that
// were not dealt with.
func checkSilent(t *testing.T, i *instance, a *author, sim *smsptest.Server) []message {
	t.Helper()
	asked := sim.Asked()
	adts := []message{a.write(traced[0]), a.write(traced[1]), a.write(untraced[0])}
	for _, m := range adts {
		checkNoAnswer(t, i.mllp, m)
	}
	questions := []message{a.write(queries[0]), a.write(queries[1])}
	for _, m := range questions {
		checkNotNow(t, ask(t, i.mllp, m))
	}
	eventually(t, func() bool {
		_, yes := i.ready(t)
		return !yes
	}, func() string { return "ready without a database" })
	sentence, _ := i.ready(t)
	if !strings.HasPrefix(sentence, "not ready: the store takes no commits: ") || strings.Contains(sentence, "\n") {
		t.Errorf("/-/ready says %q, which tells an operator little", sentence)
	}
	if n := sim.Asked() - asked; n != 0 {
		t.Errorf("%d questions reached the provider that could not be written down", n)
	}
	return append(adts, questions...)
}

// checkNoAnswer checks that the connection is closed without a byte.
func checkNoAnswer(t *testing.T, addr string, m message) {
	t.Helper()
	l, err := dialLine(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.conn.Close()
	if all, err := l.talk(m); !errors.Is(err, io.EOF) {
		t.Errorf("%s: %d answers, then %v; want the end of the connection", m.kind, len(all), err)
	}
}

// checkNotNow checks that a query was answered AR 207, and with nobody's data.
func checkNotNow(t *testing.T, a answered) {
	t.Helper()
	m, err := hl7v2.Parse(a.answer)
	if err != nil {
		t.Fatal(err)
	}
	fault, _ := m.Segment("ERR")
	if a.code != "AR" || !strings.Contains(fault.Raw(), "207") || m.Count("PID") > 0 {
		t.Errorf("%s: answered %s %q with %d patients, want AR 207", a.kind, a.code, a.text, m.Count("PID"))
	}
}

// checkResumed checks that all is as if nothing had happened.
func checkResumed(t *testing.T, i *instance, lost []message, sim *smsptest.Server) {
	t.Helper()
	asked := sim.Asked()
	for _, m := range lost {
		if a := ask(t, i.mllp, m); a.code != "AA" {
			t.Errorf("%s: answered %s %q, want AA", m.kind, a.code, a.text)
		}
	}
	if sim.Asked() == asked {
		t.Error("the provider was not asked")
	}
}
