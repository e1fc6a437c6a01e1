package postgres_test

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"spinetrace/internal/pgtest"
	"spinetrace/store"
	"spinetrace/store/postgres"
)

// TestDataSourceOfSeveralHosts: a data source that could lead to a standby is refused before
// anybody connects, and nothing of it is repeated.
func TestDataSourceOfSeveralHosts(t *testing.T) {
	for dsn, fit := range map[string]bool{
		"postgres://u:sesame@a/db":   true,
		"postgres://u:sesame@a,b/db": true,
		"postgres://u:sesame@a,b/db?port=5432,5433&target_session_attrs=read-write":            true,
		"host=a,b port=5432 user=u password=sesame target_session_attrs=primary":               true,
		"host=a,b port=5432,5433,5434 user=u password=sesame":                                  false,
		"postgres://u:sesame@a,b/db?target_session_attrs=any":                                  false,
		"postgres://u:sesame@a/db?target_session_attrs=any":                                    true,
		"postgres://u:sesame@a,b/db?target_session_attrs=standby":                              false,
		"postgres://u:sesame@a,b/db?target_session_attrs=prefer-standby":                       false,
		"postgres://u:sesame@a/db?target_session_attrs=read-only":                              false,
		"postgres://u:sesame@a,b/db?target_session_attrs=sesame":                               false,
		"postgres://u:sesame@a,b:5432,5433/db":                                                 false,
		"host=a,b hostaddr=192.0.2.1,192.0.2.2 user=u password=sesame dbname=db":               true,
		"host=a,b hostaddr=192.0.2.1 user=u password=sesame dbname=db":                         false,
		"postgres://u:sesame@/db?host=/run/a,/run/b&target_session_attrs=read-write":           true,
		"postgres://u:sesame@a,b/db?target_session_attrs=read-write&load_balance_hosts=random": true,
	} {
		err := postgres.CheckDSN(dsn)
		if (err == nil) != fit {
			t.Errorf("CheckDSN(%q) = %v, want fit: %t", dsn, err, fit)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("CheckDSN(%q) = %v, which repeats the password", dsn, err)
		}
	}
}

// severalHosts returns the way to a database by addresses that are tried in order.
func severalHosts(tb testing.TB, dsn string, addrs ...string) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	var hosts, ports []string
	for _, addr := range addrs {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			tb.Fatal(err)
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	q := u.Query()
	q.Set("host", strings.Join(hosts, ","))
	q.Set("port", strings.Join(ports, ","))
	u.RawQuery = q.Encode()
	return u.String()
}

// mute is a server that takes connections and says nothing.
func mute(tb testing.TB) (addr string, taken *atomic.Int64) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	taken = new(atomic.Int64)
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			conns = append(conns, c)
		}
	})
	tb.Cleanup(func() {
		ln.Close()
		wg.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	return ln.Addr().String(), taken
}

// TestADeadHostIsTriedOnce: each of the pools finds out that the first host is silent, within the
// time that a session may take to open, and begins with the second from then on.
func TestADeadHostIsTriedOnce(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	dead, taken := mute(t)
	good := pgtest.NewProxy(t, pg.Server(t).Socket()).Addr()
	s := start(t, severalHosts(t, dsn, dead, good), store.Options{})
	db := query(t, dsn)
	for i := range 10 {
		commit(t, s, message(fmt.Sprint("A", i)), store.Kept)
		if _, _, err := s.Patient(t.Context(), store.PatientKey{LocalID: "L1"}); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'spinetrace/main' and datname = current_database()")
		commit(t, s, message(fmt.Sprint("B", i)), store.Kept)
	}
	// Two of the readers' connections may have begun at the same time.
	if got := taken.Load(); got > 5 {
		t.Errorf("the dead host was tried %d times in 10 losses of all sessions, want once for each pool", got)
	}
	verify(t, s, "main")
}

// TestEveryHostIsNamed: what is wrong with each is in one line, without the password.
func TestEveryHostIsNamed(t *testing.T) {
	t.Parallel()
	one, two := pgtest.NewProxy(t, "/nowhere"), pgtest.NewProxy(t, "/nowhere")
	one.Refuse()
	two.Refuse()
	dsn := severalHosts(t, "postgres://u:sesame@/db?sslmode=disable", one.Addr(), two.Addr())
	s := open(t, dsn, store.Options{})
	started := make(chan error, 1)
	go func() { started <- s.Start(t.Context()) }()
	eventually(t, "a reason", func() bool { return strings.Contains(s.Ready().Error(), "no host takes commits") })
	got := s.Ready().Error()
	for _, addr := range []string{one.Addr(), two.Addr()} {
		if !strings.Contains(got, addr+": ") {
			t.Errorf("Ready() = %q, which does not name %s", got, addr)
		}
	}
	if strings.Contains(got, "\n") || strings.Contains(got, "sesame") {
		t.Errorf("Ready() = %q, want one line without the password", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-started; err == nil {
		t.Error("Start() = nil")
	}
}

// TestNoHostKnowsThePassword: waiting does not mend that, unless one of the hosts is only away.
func TestNoHostKnowsThePassword(t *testing.T) {
	t.Parallel()
	srv := pgtest.Start(t, pgtest.Options{Password: "correct horse"})
	dsn := strings.Replace(srv.DSN("postgres"), "correct", "wrong", 1)
	one, two := pgtest.NewProxy(t, srv.Socket()), pgtest.NewProxy(t, srv.Socket())
	if got := refusal(t, severalHosts(t, dsn, one.Addr(), two.Addr())); !strings.Contains(got, "correct user or password") {
		t.Errorf("Start() error = %q, want one that says what to correct", got)
	}
	two.Refuse()
	s := open(t, severalHosts(t, dsn, one.Addr(), two.Addr()), store.Options{})
	started := make(chan error, 1)
	go func() { started <- s.Start(t.Context()) }()
	eventually(t, "a reason", func() bool {
		got := s.Ready().Error()
		return strings.Contains(got, two.Addr()) && strings.Contains(got, "28P01")
	})
	select {
	case err := <-started:
		t.Errorf("Start() = %v while one host is away, want it to wait", err)
	default:
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-started
}
