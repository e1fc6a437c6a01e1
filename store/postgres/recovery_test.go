package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spinetrace/internal/pgtest"
	"spinetrace/store"
	"spinetrace/store/postgres"
)

// within is how long a test waits for what must happen.
const within = 30 * time.Second

// eventually waits until a condition holds.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); <-tick.C {
		if condition() {
			return
		}
	}
	tb.Fatalf("not within %v: %s", within, what)
}

// resend commits until it is told what became of the message, as a sender does that gets no
// answer, and returns the exchange the message belongs to.
func resend(tb testing.TB, s store.Store, control string) store.ID {
	tb.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		c := message(control)
		ctx, cancel := context.WithTimeout(tb.Context(), time.Second)
		r, err := s.Commit(ctx, c)
		cancel()
		switch {
		case err == nil && r.Status == store.Kept:
			return c.Exchange
		case err == nil:
			return r.First
		case !errors.Is(err, store.ErrUnavailable):
			tb.Fatal(err)
		}
		<-time.After(time.Millisecond)
	}
	tb.Fatalf("message not kept within %v", within)
	return store.ID{}
}

// checkOnce sees that each message has exactly one exchange, the one that was told, with one
// event and a body.
func checkOnce(t *testing.T, dsn string, s *postgres.Store, told *sync.Map) {
	t.Helper()
	verify(t, s, "main")
	rows, err := query(t, dsn).Query(`select x.control_id, x.id,
		(select count(*) from event e where e.exchange = x.id and e.kind = $1), (select count(*) from body b where b.exchange = x.id)
		from exchange x`, store.Exchanged)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var control string
		var id store.ID
		var events, bodies int
		if err := rows.Scan(&control, &id, &events, &bodies); err != nil {
			t.Fatal(err)
		}
		if want, ok := told.LoadAndDelete(control); !ok || want != id || events != 1 || bodies != 1 {
			t.Errorf("message %s: exchange %v with %d events, %d bodies; told was %v", control, id, events, bodies, want)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	told.Range(func(control, _ any) bool {
		t.Errorf("message %s: no exchange", control)
		return true
	})
}

func TestConnectionsCutAtRandom(t *testing.T) {
	dsn := newDatabase(t)
	p := pgtest.NewProxy(t, pg.Server(t).Socket())
	s := start(t, p.DSN(t, dsn), store.Options{})
	p.Cut(100)
	var exchanges sync.Map
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for p.Left() > 0 && !t.Failed() {
				control := fmt.Sprint("PAS", next.Add(1))
				exchanges.Store(control, resend(t, s, control))
			}
		})
	}
	wg.Wait()
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	t.Logf("%d messages", next.Load())
	checkOnce(t, dsn, s, &exchanges)
}

func TestSilentNetwork(t *testing.T) {
	dsn := newDatabase(t)
	p := pgtest.NewProxy(t, pg.Server(t).Socket())
	s := start(t, p.DSN(t, dsn), store.Options{})
	commit(t, s, message("A"), store.Kept)
	p.Silence(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	lost := message("B")
	if _, err := s.Commit(ctx, lost); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error = %v, want ErrUnavailable", err)
	}
	eventually(t, "not ready", func() bool { return s.Ready() != nil })
	p.Silence(false)
	eventually(t, "ready again", func() bool { return s.Ready() == nil })
	// The server had done what it was told: only the answer was lost.
	if r := commit(t, s, message("B"), store.Duplicate); r.First != lost.Exchange {
		t.Errorf("First = %v, want %v", r.First, lost.Exchange)
	}
	verify(t, s, "main")
}

func TestServerGoesAndComesBack(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{Fsync: true})
	dsn := srv.NewDatabase(t, srv.Template(t, "migrated", migrate))
	s := start(t, dsn, store.Options{})
	var exchanges sync.Map
	for i, end := range []func(testing.TB){srv.Stop, srv.Kill} {
		opened := first(fmt.Sprint("T", i))
		commit(t, s, opened, store.Kept)
		var wg sync.WaitGroup
		for j := range 8 {
			wg.Go(func() {
				for k := range 20 {
					control := fmt.Sprint("PAS", i, j, k)
					exchanges.Store(control, resend(t, s, control))
				}
			})
		}
		end(t)
		eventually(t, "not ready", func() bool { return s.Ready() != nil })
		if _, err := s.Commit(t.Context(), message("refused")); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("while the server is away: error = %v, want ErrUnavailable", err)
		}
		// Spine was asked: this one is kept for later, though its caller does not wait.
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Commit(gone, second(opened.Exchange)); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("caller gone: error = %v, want ErrUnavailable", err)
		}
		srv.Restart(t)
		wg.Wait()
		eventually(t, "the answer is kept", func() bool {
			_, ok, err := s.Answer(t.Context(), opened.Exchange)
			return ok && err == nil
		})
	}
	exec(t, query(t, dsn), "set session_replication_role = replica; delete from exchange where control_id like 'T%'")
	checkOnce(t, dsn, s, &exchanges)
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
}

func TestStartWaitsForTheServer(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{})
	dsn := srv.NewDatabase(t, srv.Template(t, "migrated", migrate))
	srv.Stop(t)
	s := open(t, dsn, store.Options{})
	started := make(chan error, 1)
	go func() { started <- s.Start(t.Context()) }()
	eventually(t, "a reason", func() bool {
		err := s.Ready()
		return err != nil && strings.Contains(err.Error(), "connect")
	})
	srv.Restart(t)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	commit(t, s, message("A"), store.Kept)
}

func TestBackendTerminated(t *testing.T) {
	dsn := newDatabase(t)
	s := start(t, dsn, store.Options{})
	db := query(t, dsn)
	for i := range 5 {
		commit(t, s, message(fmt.Sprint("A", i)), store.Kept)
		exec(t, db, "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
		// Nobody is told anything: the commit waits for the new session.
		commit(t, s, message(fmt.Sprint("B", i)), store.Kept)
	}
	if w := verify(t, s, "main"); w.Events != 10 {
		t.Errorf("%d events, want 10", w.Events)
	}
}

// TestFsyncOffIsSaidOnce: each writing session finds it out again. The shared server runs so.
func TestFsyncOffIsSaidOnce(t *testing.T) {
	dsn := newDatabase(t)
	var log logLines
	s := start(t, dsn, store.Options{Log: log.logger()})
	exec(t, query(t, dsn), "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())")
	resend(t, s, "AFTER")
	if got := log.count("fsync=off"); got != 1 {
		t.Errorf("fsync=off was said %d times, want once", got)
	}
}

func TestLostEventsAreNamed(t *testing.T) {
	dsn := newDatabase(t)
	s := start(t, dsn, store.Options{})
	for i := range 5 {
		commit(t, s, message(fmt.Sprint("A", i)), store.Kept)
	}
	// As a standby that took over and had not received the last two.
	exec(t, query(t, dsn), `set session_replication_role = replica; delete from event where seq > 3;
		delete from exchange where seq > 3; delete from body where seq > 3; delete from seen where control_id in ('A3', 'A4');
		select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'`)
	commit(t, s, message("A4"), store.Kept)
	eventually(t, "recorded", func() bool { return number(t, query(t, dsn), "select count(*) from event where kind = 12") == 1 })
	var rewound store.Facts
	for e, err := range s.Events(t.Context(), store.Query{Chain: "main", From: 4}) {
		if err == nil && e.Kind == store.Rewound {
			rewound, err = e.Facts()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if rewound.From != 4 || rewound.To != 5 {
		t.Errorf("recorded as lost: %d to %d, want 4 to 5", rewound.From, rewound.To)
	}
	verify(t, s, "main")
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "4 to 5") {
		t.Errorf("Ready() = %v, want the lost range", err)
	}
}

func TestChainTakenWhileAway(t *testing.T) {
	dsn := newDatabase(t)
	p := pgtest.NewProxy(t, pg.Server(t).Socket())
	one := start(t, p.DSN(t, dsn), store.Options{})
	commit(t, one, message("A"), store.Kept)
	p.Refuse()
	eventually(t, "not ready", func() bool { return one.Ready() != nil })

	two := start(t, dsn, store.Options{})
	commit(t, two, message("B"), store.Kept)
	err := open(t, dsn, store.Options{ChainWait: time.Millisecond}).Start(t.Context())
	if !errors.Is(err, store.ErrChainInUse) || !strings.Contains(err.Error(), "spinetrace/main") {
		t.Errorf("third: Start() error = %v, want ErrChainInUse and the holder's name", err)
	}
	verify(t, two, "main")
}

func TestCloseDoesNotWaitForTheServer(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{})
	dsn := srv.NewDatabase(t, srv.Template(t, "migrated", migrate))
	s := open(t, dsn, store.Options{})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	opened := first("A")
	commit(t, s, opened, store.Kept)
	srv.Stop(t)
	eventually(t, "not ready", func() bool { return s.Ready() != nil })
	waiting := make(chan error, 1)
	go func() {
		_, err := s.Commit(t.Context(), second(opened.Exchange))
		waiting <- err
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Commit() error = %v, want ErrUnavailable", err)
	}
	if err := s.Start(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Start() of a closed store: error = %v, want ErrUnavailable", err)
	}
}

// Two instances get the same messages in different orders at the same time.
func TestTwoInstances(t *testing.T) {
	dsn := newDatabase(t)
	one, two := start(t, dsn, store.Options{Chain: "one"}), start(t, dsn, store.Options{Chain: "two"})
	const messages, callers = 400, 32
	var kept [messages]atomic.Int32
	var wg sync.WaitGroup
	for c := range callers {
		s := []store.Store{one, two}[c%2]
		wg.Go(func() {
			for i := c / 2; i < messages; i += callers / 2 {
				n := i
				if c%2 == 1 {
					n = messages - 1 - i
				}
				r, err := s.Commit(t.Context(), message(fmt.Sprint("PAS", n)))
				if err != nil {
					t.Error(err)
				} else if r.Status == store.Kept {
					kept[n].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for n := range kept {
		if got := kept[n].Load(); got != 1 {
			t.Errorf("message %d was kept %d times", n, got)
		}
	}
	if got := verify(t, one, "one").Events + verify(t, one, "two").Events; got != 2*messages {
		t.Errorf("%d events, want %d", got, 2*messages)
	}
}

// A storm of resends is answered in batches, each with its first exchange.
func TestResendStorm(t *testing.T) {
	s := start(t, newDatabase(t), store.Options{})
	var first [20]store.ID
	for i := range first {
		c := message(fmt.Sprint("PAS", i))
		first[i] = c.Exchange
		commit(t, s, c, store.Kept)
	}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range first {
				r, err := s.Commit(t.Context(), message(fmt.Sprint("PAS", i)))
				if want := (store.Receipt{Status: store.Duplicate, First: first[i]}); err != nil || r != want {
					t.Errorf("Commit() = %v, %v; want %v", r, err, want)
				}
			}
		})
	}
	wg.Wait()
	verify(t, s, "main")
}
