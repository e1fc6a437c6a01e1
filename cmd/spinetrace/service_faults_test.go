package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"spinetrace/internal/pgtest"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
)

// The tests below give the database a bad day while eight senders work, and compare afterwards
// what they were answered with what the journal holds: each AA once, none lost, and nobody was
// told anything else than to come again.

// A shift is a service at work.
type shift struct {
	*instance
	people  *pdstest.Population
	before  size
	seen    book
	where   signpost
	over    chan struct{}
	senders *errgroup.Group
	ctx     context.Context // of the senders
	author  author          // beside the senders

	hungUp atomic.Int64 // how often a connection ended without an answer
	later  atomic.Int64 // how often a query was told to come again
}

// atWork starts a service with its real time limits, and its senders.
func atWork(t *testing.T, dsn string) *shift {
	t.Helper()
	people := plain(t, pdstest.People())
	sim := smsptest.NewServer(t, people, smsptest.Fault{Rate: 0.2, Delay: 20 * time.Millisecond})
	s := &shift{people: people, over: make(chan struct{}), author: author{sender: "PAS99", people: people}}
	s.instance = launchReady(t, serveSettings(dsn, sim.URL, map[string]string{
		"REPLY_BUDGET": "4s", "COMMIT_TIMEOUT": "900ms", "DUPLICATE_WINDOW_QUERY": "1h", "LOG_LEVEL": "debug",
	}))
	s.before = s.size(t)
	s.where.set(s.mllp)
	s.senders, s.ctx = errgroup.WithContext(t.Context())
	for n := range 8 {
		one := &steady{shift: s, insistent: insistent{
			author: author{sender: fmt.Sprintf("PAS%02d", n), people: people, n: n}, where: &s.where, seen: &s.seen, over: s.over,
		}}
		s.senders.Go(func() error { return one.run(s.ctx) })
	}
	s.answers(t, 100)
	return s
}

// steady is an insistent sender that does not hurry: what is to be counted afterwards grows by
// the message.
type steady struct {
	*shift
	insistent
}

const stride = 20 * time.Millisecond

func (s *steady) run(ctx context.Context) error {
	defer func() {
		if s.line != nil {
			s.line.conn.Close()
		}
	}()
	pace := time.NewTicker(stride)
	defer pace.Stop()
	forms := append(append([]form{}, traced...), untraced[0])
	if s.n%4 == 0 {
		forms = queries[:1]
	}
	for {
		select {
		case <-s.insistent.over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-pace.C:
		}
		if err := s.deliver(ctx, s.write(forms[s.n%len(forms)]), pace.C); err != nil {
			return err
		}
	}
}

// deliver sends a message until it is answered, and counts what else happens.
func (s *steady) deliver(ctx context.Context, m message, pace <-chan time.Time) error {
	for {
		a, err := s.try(m)
		switch {
		case errors.Is(err, errWrongAnswer):
			return err
		case err != nil:
			s.hungUp.Add(1)
		case a.code != "AR":
			return nil
		default:
			s.later.Add(1)
		}
		select {
		case <-pace:
		case <-ctx.Done():
			return fmt.Errorf("%s %s is never answered: %w", m.kind, m.controlID, ctx.Err())
		}
	}
}

func (s *steady) write(f form) message            { return s.insistent.write(f) }
func (s *steady) try(m message) (answered, error) { return s.insistent.try(m) }

// answers returns when so many more answers were seen.
func (s *shift) answers(t *testing.T, more int) {
	t.Helper()
	awaitAnswers(t, s.ctx, &s.seen, more)
}

// turnedAway returns when senders of either kind were told to come again, and the operator can
// read why.
func (s *shift) turnedAway(t *testing.T) (sentence string) {
	t.Helper()
	hungUp, later, ready := s.hungUp.Load(), s.later.Load(), true
	eventually(t, func() bool {
		if ready {
			if sentence, ready = s.ready(t); ready {
				return false
			}
		}
		return s.ctx.Err() != nil || s.hungUp.Load() > hungUp && s.later.Load() > later
	}, func() string {
		return fmt.Sprintf("nobody is told to come again: ready %t, %d connections closed, %d queries", ready, s.hungUp.Load()-hungUp, s.later.Load()-later)
	})
	if s.ctx.Err() != nil {
		t.Fatal(s.senders.Wait())
	}
	if strings.Contains(sentence, "\n") {
		t.Errorf("/-/ready says %q, which is more than a line", sentence)
	}
	return sentence
}

// restored returns when the service has come back by itself: it is ready, and whoever comes is
// answered. From then on senders are served as before.
func (s *shift) restored(t *testing.T) {
	t.Helper()
	since := time.Now()
	s.awaitReady(t)
	eventually(t, func() bool {
		l, err := dialLine(s.mllp)
		if err != nil {
			return false
		}
		defer l.conn.Close()
		all, err := l.talk(s.author.write(traced[1]))
		s.seen.add(all...)
		return err == nil
	}, func() string { return "nobody is answered" })
	t.Logf("back after %v", time.Since(since).Round(time.Millisecond))
	s.answers(t, 50)
}

// end lets the senders finish, stops the service, and compares.
func (s *shift) end(t *testing.T, dsn string) {
	t.Helper()
	s.checkSize(t, "at the end", s.before)
	close(s.over)
	if err := s.senders.Wait(); err != nil {
		t.Fatal(err)
	}
	_, metrics := s.get(t, "/metrics")
	s.stop(t)
	db := openJournal(t, dsn)
	stories := readStories(t, db)
	readBodies(t, db, stories)
	checkRecorded(t, stories, &s.seen)
	checkChains(t, db, dsn)
	if a, differ := s.seen.differing(); differ {
		t.Errorf("I5: %s %s was answered in two ways", a.kind, a.controlID)
	}
	for _, a := range s.seen.all {
		if a.code != "AA" {
			checkNotNow(t, a)
		}
	}
	checkSilence(t, s.people, "log", s.output.String())
	checkSilence(t, s.people, "metrics", metrics)
	t.Logf("%d answers, %d of them to come again; %d connections closed without one; %d exchanges",
		len(s.seen.all), s.later.Load(), s.hungUp.Load(), len(stories))
}

// execSQL runs statements one by one.
func execSQL(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range statements {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// crashable is a server that survives its own end, though not that of the machine: what is flushed
// when is TestKill9's to prove.
func crashable() pgtest.Options {
	return pgtest.Options{Settings: map[string]string{"full_page_writes": "on"}}
}

// TestDatabaseStoppedUnderLoad shuts the server down, as for maintenance, and kills it.
func TestDatabaseStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	srv := pgtest.Start(t, crashable())
	dsn := program.migrated(t, srv)
	s := atWork(t, dsn)
	for _, end := range []func(testing.TB){srv.Stop, srv.Kill} {
		end(t)
		s.turnedAway(t)
		s.checkSize(t, "without a database", s.before)
		srv.Restart(t)
		s.restored(t)
	}
	s.end(t, dsn)
}

// TestDatabaseRestartedUnderLoad restarts the server again and again: sessions end with 57P01, and
// new ones are refused with 57P03.
func TestDatabaseRestartedUnderLoad(t *testing.T) {
	t.Parallel()
	srv := pgtest.Start(t, crashable())
	dsn := program.migrated(t, srv)
	s := atWork(t, dsn)
	for range 5 {
		srv.Restart(t)
		s.answers(t, 40)
	}
	s.restored(t)
	s.end(t, dsn)
}

// TestDiskFull lets the tables' disk run full (53100) until there is room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := pgtest.NewDisk(t, 96<<20)
	srv := pgtest.Start(t, crashable())
	dsn := program.migrated(t, srv)
	execSQL(t, srv.DSN("postgres"), "create tablespace small location '"+disk.Dir()+"'",
		"alter database "+databaseOf(t, dsn)+" set tablespace small")
	s := atWork(t, dsn)
	disk.Fill(t, 128<<10)
	if sentence := s.turnedAway(t); !strings.Contains(sentence, "disk is full") {
		t.Errorf("/-/ready says %q, and not that the disk is full", sentence)
	}
	for range 5 {
		s.turnedAway(t)
	}
	const back = "database back in service"
	if n := strings.Count(s.output.String(), back); n != 0 {
		t.Errorf("%q was logged %d times on a full disk", back, n)
	}
	s.checkSize(t, "on a full disk", s.before)
	disk.Free(t)
	s.restored(t)
	s.end(t, dsn)
}

// TestLogDiskFull lets the disk of the database's log run full: the server panics, and does not
// come up before there is room.
func TestLogDiskFull(t *testing.T) {
	t.Parallel()
	disk := pgtest.NewDisk(t, 48<<20)
	srv := pgtest.Start(t, pgtest.Options{
		Initdb: []string{"--waldir=" + disk.Dir() + "/wal", "--wal-segsize=1"},
		Settings: map[string]string{
			"full_page_writes": "on", "max_wal_size": "8MB", "min_wal_size": "2MB", "wal_recycle": "off",
		},
	})
	dsn := program.migrated(t, srv)
	s := atWork(t, dsn)
	eventually(t, func() bool {
		disk.Fill(t, 64<<10) // again and again: a checkpoint gives room back
		return strings.Contains(srv.Log(), "PANIC") || s.ctx.Err() != nil
	}, func() string { return "the server does not panic:\n" + srv.Log() })
	s.turnedAway(t)
	s.checkSize(t, "without a log", s.before)
	disk.Free(t)
	srv.Revive(t)
	s.restored(t)
	s.end(t, dsn)
}

// TestConnectionsCut breaks 200 connections to the database, each at a random byte of what is said
// over it in either direction, some when a commit was made and before its answer came.
func TestConnectionsCut(t *testing.T) {
	t.Parallel()
	dsn := program.migrated(t, pg.Server(t))
	proxy := pgtest.NewProxy(t, pg.Server(t).Socket())
	s := atWork(t, proxy.DSN(t, dsn))
	proxy.Cut(200)
	eventually(t, func() bool { return proxy.Left() == 0 || s.ctx.Err() != nil },
		func() string { return fmt.Sprintf("%d cuts are never made", proxy.Left()) })
	s.restored(t)
	s.end(t, dsn)
}

// TestSlowDatabase delays what the database says: at first so that commits come late, then so that
// none comes in time.
func TestSlowDatabase(t *testing.T) {
	t.Parallel()
	dsn := program.migrated(t, pg.Server(t))
	proxy := pgtest.NewProxy(t, pg.Server(t).Socket())
	s := atWork(t, proxy.DSN(t, dsn))
	proxy.Delay(300 * time.Millisecond)
	s.answers(t, 20)
	s.checkSize(t, "beside a slow database", s.before)
	proxy.Delay(2500 * time.Millisecond)
	s.turnedAway(t)
	s.checkSize(t, "beside a database too slow", s.before)
	proxy.Delay(0)
	s.restored(t)
	s.end(t, dsn)
}

// A pair is a primary, a standby that every commit waits for, and the way to either.
type pair struct {
	primary, standby *pgtest.Server
	dsn              string
}

const standbyName = "second"

func newPair(t *testing.T) *pair {
	t.Helper()
	primary := pgtest.Start(t, crashable())
	dsn := program.migrated(t, primary)
	p := &pair{primary: primary, standby: primary.Standby(t, standbyName)}
	execSQL(t, primary.DSN("postgres"), "alter system set synchronous_standby_names = '"+standbyName+"'", "select pg_reload_conf()")
	p.awaitStandby(t)
	a, b := pgtest.NewProxy(t, primary.Socket()), pgtest.NewProxy(t, p.standby.Socket())
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	portA, portB := portOf(t, a.Addr()), portOf(t, b.Addr())
	u.User = url.UserPassword(u.User.Username(), secretOfPair)
	u.RawQuery = url.Values{"host": {"127.0.0.1,127.0.0.1"}, "port": {portA + "," + portB}, "sslmode": {"disable"}}.Encode()
	p.dsn = u.String()
	return p
}

// secretOfPair is asked for by nobody, and must not be told.
const secretOfPair = "opensesame"

func (p *pair) awaitStandby(t *testing.T) {
	t.Helper()
	eventually(t, func() bool {
		return querySQL(t, p.primary.DSN("postgres"), "select coalesce(max(sync_state), '') from pg_stat_replication") == "sync"
	}, func() string { return "the standby never follows" })
}

// TestFailover kills the primary while its synchronous standby is away and commits wait for it:
// what nobody was answered may be lost, and nothing else.
func TestFailover(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s := atWork(t, p.dsn)
	p.standby.Stop(t)
	s.turnedAway(t)
	if sentence := s.turnedAway(t); !strings.Contains(sentence, "synchronous_standby_names") {
		t.Errorf("/-/ready says %q, and not what commits wait for", sentence)
	}
	p.primary.Kill(t)
	p.standby.Restart(t)
	s.turnedAway(t)
	p.standby.Promote(t)
	s.restored(t)
	checkCommandsFollow(t, p)
	s.end(t, p.dsn)
	checkNotTold(t, s)
}

// TestPrimaryMadeReadOnly demotes the primary under the service, as before a switch: what it is
// asked to write ends with 25006, on sessions that live on.
func TestPrimaryMadeReadOnly(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s := atWork(t, p.dsn)
	execSQL(t, p.primary.DSN("postgres"), "alter system set default_transaction_read_only = on", "select pg_reload_conf()")
	s.turnedAway(t)
	p.standby.Promote(t)
	s.restored(t)
	left := ""
	eventually(t, func() bool {
		left = querySQL(t, p.primary.DSN("postgres"), "select count(*) from pg_stat_activity where application_name = 'spinetrace/main'")
		return left == "0"
	}, func() string { return left + " sessions go on reading what is the past" })
	p.primary.Stop(t)
	s.restored(t)
	s.end(t, p.dsn)
	checkNotTold(t, s)
	if !strings.Contains(s.output.String(), "SQLSTATE 25006") {
		t.Error("no session was told that the database is read-only: nothing is proved")
	}
}

// checkCommandsFollow checks that commands find the server that has taken over.
func checkCommandsFollow(t *testing.T, p *pair) {
	t.Helper()
	set := map[string]string{"STORE": p.dsn, "ODS": "RXX", "BACKEND": "smsp", "SMSP_URL": "http://127.0.0.1:1"}
	for _, args := range [][]string{
		{"migrate", "status"}, {"migrate", "up"}, {"audit", "head"}, {"audit", "find"}, {"check-config"},
	} {
		r := program.run(t, set, args...)
		if r.code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, secretOfPair) {
			t.Errorf("%s tells the password", strings.Join(args, " "))
		}
	}
}

// checkNotTold checks that the log holds no password.
func checkNotTold(t *testing.T, s *shift) {
	t.Helper()
	if strings.Contains(s.output.String(), secretOfPair) {
		t.Error("the log tells the password of the data source")
	}
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, ok := strings.Cut(addr, ":")
	if !ok {
		t.Fatalf("%s has no port", addr)
	}
	return port
}

func databaseOf(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}
