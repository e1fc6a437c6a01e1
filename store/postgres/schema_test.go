package postgres_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"spinetrace/internal/pgtest"
	"spinetrace/store"
	"spinetrace/store/postgres"
)

// refusal starts a store and returns why it does not.
func refusal(t *testing.T, dsn string) string {
	t.Helper()
	err := open(t, dsn, store.Options{}).Start(t.Context())
	if err == nil {
		t.Fatal("Start() = nil")
	}
	return err.Error()
}

func TestStartSaysWhatToDo(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{Password: "correct horse"})
	dsn := srv.NewDatabase(t, "")
	network := pgtest.NewProxy(t, srv.Socket()).DSN(t, dsn)
	for name, tt := range map[string]struct{ dsn, want string }{
		"wrong password": {strings.Replace(dsn, "correct", "wrong", 1), "correct user or password"},
		"no such user":   {strings.Replace(dsn, "postgres:c", "nobody:c", 1), "correct user or password"},
		"no database":    {srv.DSN("missing"), "create it"},
		"no schema":      {dsn, "run `spinetrace migrate up`"},
		"no TLS":         {strings.Replace(network, "sslmode=disable", "sslmode=require", 1), "sslmode=disable"},
	} {
		t.Run(name, func(t *testing.T) {
			got := refusal(t, tt.dsn)
			if !strings.Contains(got, tt.want) {
				t.Errorf("Start() error = %q, want one that says %q", got, tt.want)
			}
			for _, secret := range []string{"correct horse", "correct%20horse", "wrong"} {
				if strings.Contains(got, secret) {
					t.Errorf("Start() error = %q repeats the password", got)
				}
			}
		})
	}
}

func TestStartKnowsItsSchema(t *testing.T) {
	for name, tt := range map[string]struct{ change, want string }{
		"older":                 {"delete from schema_version", "has no schema"},
		"newer, still fit":      {"insert into schema_version values (1000, 1)", ""},
		"newer, not fit":        {"insert into schema_version values (1000, 1000)", "needs a newer program"},
		"role without its role": {"revoke select on schema_version from spinetrace_runtime", "grant it the role"},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := newDatabase(t)
			exec(t, query(t, dsn), tt.change)
			err := open(t, as(t, dsn, "spinetrace_runtime"), store.Options{}).Start(t.Context())
			if tt.want == "" && err != nil {
				t.Errorf("Start() error = %v", err)
			}
			if tt.want != "" && (!errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Start() error = %v, want ErrSchema that says %q", err, tt.want)
			}
		})
	}
}

// TestOwnersCommandsSayWhatToDo: what the owner's commands say is as good as what Start says.
func TestOwnersCommandsSayWhatToDo(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{Password: "correct horse"})
	dsn := srv.NewDatabase(t, "")
	bare := srv.NewDatabase(t, "")
	if err := migrate(dsn); err != nil {
		t.Fatal(err)
	}
	exec(t, query(t, bare), "create role someone login password 'correct horse'")
	exec(t, query(t, bare), "create role spinetrace_owner login password 'correct horse'")
	exec(t, query(t, bare), "grant all on schema public to spinetrace_owner")
	someone := func(dsn string) string { return strings.Replace(dsn, "postgres:c", "someone:c", 1) }
	owner := strings.Replace(bare, "postgres:c", "spinetrace_owner:c", 1)
	network := pgtest.NewProxy(t, srv.Socket()).DSN(t, dsn)
	wrong := strings.Replace(dsn, "correct", "wrong", 1)

	status := func(dsn string) error { _, err := postgres.Status(t.Context(), dsn); return err }
	up := func(dsn string) error { _, err := postgres.Migrate(t.Context(), dsn); return err }
	roles := func(dsn string) error { return postgres.ApplyRoles(t.Context(), dsn) }
	for name, tt := range map[string]struct {
		do   func(dsn string) error
		dsn  string
		want string
	}{
		"status, wrong password": {status, wrong, "correct user or password"},
		"status, no database":    {status, srv.DSN("missing"), "create it"},
		"status, no TLS":         {status, strings.Replace(network, "sslmode=disable", "sslmode=require", 1), "sslmode=disable"},
		"status, no role":        {status, someone(dsn), `user "someone" may not read the schema`},
		"up, wrong password":     {up, wrong, "correct user or password"},
		"up, no database":        {up, srv.DSN("missing"), "create it"},
		"up, not the owner":      {up, someone(dsn), "as the database's owner"},
		"roles, wrong password":  {roles, wrong, "correct user or password"},
		"roles, not superuser":   {roles, owner, "CREATEROLE"},
		"roles, no schema":       {roles, bare, "run `spinetrace migrate up` first"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.do(tt.dsn)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one that says %q", err, tt.want)
			}
		})
	}
}

// TestALoginThatMayNotWriteIsLoggedOnce: the service tries again every second.
func TestALoginThatMayNotWriteIsLoggedOnce(t *testing.T) {
	dsn := newDatabase(t)
	var log logLines
	s := start(t, as(t, dsn, "spinetrace_reader"), store.Options{Log: log.logger()})
	for n := range 3 {
		_, err := s.Commit(t.Context(), message(fmt.Sprint("M", n)))
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "grant it the role spinetrace_runtime") {
			t.Errorf("Commit() error = %v, want ErrUnavailable that names the role to grant", err)
		}
	}
	if got := log.count("does not let us write"); got != 1 {
		t.Errorf("%d log lines, want 1", got)
	}
}

func TestOpenDoesNotRepeatTheDataSource(t *testing.T) {
	for _, dsn := range []string{"postgres://u:secret@host:port/db", "postgres://u:sec ret@[::1/db", "password='secret", "host=a sslmode=secret", "%%secret"} {
		_, err := postgres.Open(dsn, store.Options{})
		if err == nil {
			t.Errorf("a data source that is none was accepted")
			continue
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec ret") {
			t.Errorf("Open() error = %q", err)
		}
	}
	if _, err := postgres.Open("postgres://host/db", store.Options{Chain: strings.Repeat("x", 51)}); err == nil {
		t.Error("a chain's name of 51 bytes was accepted")
	}
}

func TestMigrate(t *testing.T) {
	dsn := pg.NewDatabase(t, "")
	before, err := postgres.Status(t.Context(), dsn)
	if err != nil || len(before) == 0 || !before[0].Applied.IsZero() {
		t.Fatalf("Status() before = %+v, %v", before, err)
	}
	for i, want := range []int{len(before), 0} {
		if applied, err := postgres.Migrate(t.Context(), dsn); err != nil || len(applied) != want {
			t.Fatalf("Migrate() %d = %v, %v; want %d migrations", i, applied, err, want)
		}
	}
	after, err := postgres.Status(t.Context(), dsn)
	if err != nil || time.Since(after[0].Applied) > time.Hour {
		t.Errorf("Status() after = %+v, %v", after, err)
	}
}

func TestPartitions(t *testing.T) {
	dsn := newDatabase(t)
	now := time.Now().UTC()
	last := time.Date(now.Year(), now.Month()+24, 1, 0, 0, 0, 0, time.UTC)
	got := number(t, query(t, dsn), "select count(*) from pg_inherits i join pg_class c on c.oid = inhparent where c.relkind = 'p'")
	years := now.AddDate(0, 24, 1-now.Day()).Year() - now.AddDate(0, -1, 1-now.Day()).Year() + 1
	if want := 2*(1+1+24) + 4*years; got != want {
		t.Errorf("%d partitions, want %d: two tables of the month before, this, and 24 ahead, four of their years", got, want)
	}
	s := start(t, as(t, dsn, "spinetrace_runtime"), store.Options{})
	eventually(t, "partitions counted", func() bool { return !s.PartitionsUntil().IsZero() })
	if got, want := s.PartitionsUntil(), last.AddDate(0, 1, 0); !got.Equal(want) {
		t.Errorf("PartitionsUntil() = %v, want %v", got, want)
	}
}

func TestPartitionsAreToppedUpUnderReaders(t *testing.T) {
	dsn := newDatabase(t)
	db := query(t, dsn)
	now := time.Now().UTC()
	last := time.Date(now.Year(), now.Month()+24, 1, 0, 0, 0, 0, time.UTC)
	for _, table := range journalTables {
		exec(t, db, "drop table "+leafOf(table, last))
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // it only holds its locks
	if _, err := tx.Exec("select from event, exchange, body, reply, ending, mention"); err != nil {
		t.Fatal(err)
	}
	exec(t, query(t, as(t, dsn, "spinetrace_runtime")), "select spinetrace_partitions()")
	for _, table := range journalTables {
		if got := number(t, db, "select count(*) from pg_inherits where inhrelid = to_regclass('"+leafOf(table, last)+"')"); got != 1 {
			t.Errorf("%d partitions of %s for the last month, want 1", got, table)
		}
	}
}

// leafOf names the partition of a moment.
func leafOf(table string, at time.Time) string {
	if table == "event" || table == "body" {
		return table + at.UTC().Format("_2006_01")
	}
	return table + at.UTC().Format("_2006")
}

func TestMonthWithoutPartition(t *testing.T) {
	dsn := newDatabase(t)
	s := start(t, dsn, store.Options{Now: func() time.Time { return time.Now().AddDate(3, 0, 0) }})
	// Not the message's fault: it may be sent again.
	_, err := s.Commit(t.Context(), message("A"))
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "migrate up") {
		t.Errorf("Commit() error = %v, want ErrUnavailable and what to do", err)
	}
}

func TestRuntimeRoleMayOnlyAdd(t *testing.T) {
	dsn := newDatabase(t)
	runtime := as(t, dsn, "spinetrace_runtime")
	s := start(t, runtime, store.Options{})
	if s.Privileged() {
		t.Error("Privileged() = true for the runtime role")
	}
	commit(t, s, message("A"), store.Kept)
	db := query(t, runtime)
	leaf := leafOf("event", time.Now())
	statements := []string{
		"update event set doc = ''", "update exchange set nhs_sent = ''", "update reply set outcome = 1", "update body set codec = 0",
		"update ending set outcome = 1", "update mention set id = 'x'", "update chain set name = 'x'", "delete from chain",
		"select spinetrace_count_bodies('2020-01-01', gen_random_uuid(), 0::smallint, 0, 1)",
		"select spinetrace_drop_bodies('2020-01-01', gen_random_uuid(), 0::smallint, 0, 1)",
		"select spinetrace_old_bodies('2020-01-01', gen_random_uuid(), 0::smallint, 0, 1)",
		"select from " + leaf, "insert into " + leaf + " select * from event", "drop table " + leaf,
		"alter table event disable trigger all",
		"update schema_version set version = 2", "select spinetrace_partition('event', now())",
	}
	for _, table := range journalTables {
		statements = append(statements, "delete from "+table, "truncate "+table, "drop table "+table)
	}
	for _, statement := range statements {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("allowed: %s", statement)
		}
	}
	verify(t, s, "main")
}

func TestJournalRefusesItsOwner(t *testing.T) {
	dsn := newDatabase(t)
	s := start(t, dsn, store.Options{})
	if !s.Privileged() {
		t.Error("Privileged() = false for the owner")
	}
	commit(t, s, message("A"), store.Kept)
	db := query(t, dsn)
	tables := slices.Clone(journalTables)
	for _, table := range journalTables {
		tables = append(tables, leafOf(table, time.Now()))
	}
	for _, table := range tables {
		for _, statement := range []string{
			"delete from " + table, "truncate " + table,
			// As it is when somebody has seen how bodies are dropped, and does not know all of it.
			"set spinetrace.dropping = '1'; delete from " + table, "set spinetrace.dropping = ''; delete from " + table,
		} {
			if _, err := db.Exec(statement); err == nil {
				t.Errorf("allowed: %s", statement)
			}
		}
	}
	for _, statement := range []string{
		"update event set doc = ''", "update body set codec = 0", "update ending set outcome = 1", "update mention set id = 'x'",
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("allowed: %s", statement)
		}
	}
}

// journalTables are the tables that are only added to.
var journalTables = []string{"event", "exchange", "reply", "body", "ending", "mention"}

// TestPrunerMayHaveBodiesDropped, and record it, and nothing else.
func TestPrunerMayHaveBodiesDropped(t *testing.T) {
	dsn := newDatabase(t)
	then := time.Now().Add(-20 * 24 * time.Hour)
	service := start(t, as(t, dsn, "spinetrace_runtime"), store.Options{Now: func() time.Time { return then }})
	c := message("A")
	first := store.FirstID(then)
	copy(c.Exchange[:6], first[:6])
	commit(t, service, c, store.Kept)

	pruner := as(t, dsn, "spinetrace_pruner")
	db := query(t, pruner)
	statements := []string{"select from work", "select from outbox", "select from patient", "set session_replication_role = replica",
		"select spinetrace_old_bodies('2020-01-01', gen_random_uuid(), 0::smallint, 0, 1)", "insert into ending select from ending"}
	for _, table := range journalTables {
		statements = append(statements, "delete from "+table, "truncate "+table, "drop table "+table,
			"set spinetrace.dropping = '1'; delete from "+table)
	}
	for _, statement := range statements {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("allowed: %s", statement)
		}
	}
	before := then.Add(time.Minute)
	for _, role := range []string{"spinetrace_runtime", "spinetrace_reader", "spinetrace_searcher"} {
		s := start(t, as(t, dsn, role), store.Options{Chain: role + ".cli"})
		if _, err := s.CountBodies(t.Context(), before); err == nil || !strings.Contains(err.Error(), "spinetrace_pruner") {
			t.Errorf("%s: CountBodies() error = %v, want one that names the role to grant", role, err)
		}
		if _, err := s.DropBodies(t.Context(), before, nil); err == nil || !strings.Contains(err.Error(), "spinetrace_pruner") {
			t.Errorf("%s: DropBodies() error = %v, want one that names the role to grant", role, err)
		}
	}
	recorded := store.Commit{Entries: []store.Entry{store.DropEntry("clerk", before, 1)}}
	if _, err := start(t, pruner, store.Options{Chain: "forged"}).Commit(t.Context(), recorded); err == nil {
		t.Error("the pruner wrote a chain that is not one of commands")
	}
	// A clock of ours that is ahead makes nothing older.
	ahead := start(t, pruner, store.Options{Chain: "ahead.cli", Now: func() time.Time { return time.Now().AddDate(0, 1, 0) }})
	if _, err := ahead.DropBodies(t.Context(), time.Now(), nil); err == nil || !strings.Contains(err.Error(), "by the database's clock") {
		t.Errorf("DropBodies() error = %v, want one that says whose clock counts", err)
	}
	s := start(t, pruner, store.Options{Chain: "main.cli"})
	commit(t, s, recorded, store.Kept)
	if n, err := s.DropBodies(t.Context(), before, nil); n != 1 || err != nil {
		t.Errorf("DropBodies() = %d, error %v; want 1", n, err)
	}
	if w := verify(t, service, "main"); w.Dropped != 2 {
		t.Errorf("verified %d dropped bodies, want 2", w.Dropped)
	}
}

// TestBodiesAreEncrypted: without keys they can be read by who has the table, with keys not.
func TestBodiesAreEncrypted(t *testing.T) {
	dsn := newDatabase(t)
	keys, err := store.ParseBodyKeys("7:" + strings.Repeat("0f", 32))
	if err != nil {
		t.Fatal(err)
	}
	commit(t, start(t, dsn, store.Options{}), message("A"), store.Kept)
	commit(t, start(t, dsn, store.Options{Chain: "b", BodyKeys: keys}), message("B"), store.Kept)
	db := query(t, dsn)
	for key, want := range map[int]int{0: 1, 7: 0} {
		got := number(t, db, "select sum(position('MSH'::bytea in data)::bool::int) from body where key_id = $1", key)
		if got != want {
			t.Errorf("key %d: %d bodies can be read, want %d", key, got, want)
		}
	}
}

func TestReaderRecordsThatItLooked(t *testing.T) { recordsThatItLooked(t, "spinetrace_reader") }

func TestSearcherRecordsThatItLooked(t *testing.T) { recordsThatItLooked(t, "spinetrace_searcher") }

func recordsThatItLooked(t *testing.T, role string) {
	dsn := newDatabase(t)
	service := start(t, dsn, store.Options{})
	commit(t, service, message("A"), store.Kept)
	reader := as(t, dsn, role)
	looked := store.Commit{Entries: []store.Entry{{Kind: store.Looked, Facts: store.Facts{User: "auditor", Rows: 1}}}}

	s := start(t, reader, store.Options{Chain: "main.cli"})
	commit(t, s, looked, store.Kept)
	for _, chain := range []string{"main", "main.cli"} {
		if _, err := store.Verify(t.Context(), s, chain, role == "spinetrace_reader", nil); err != nil {
			t.Errorf("Verify(%s) error = %v", chain, err)
		}
	}
	const forged = `insert into event select chain, seq + 1, at, kind, exchange, '{"user":"Dr Innocent"%s}', hash from event where chain = (select id from chain where name = 'main.cli')`
	for _, login := range []string{"", `,"database_login":"somebody"`} {
		if _, err := query(t, reader).Exec(fmt.Sprintf(forged, login)); err == nil || !strings.Contains(err.Error(), "row-level security") {
			t.Errorf("a look of nobody or of another login (%s) was recorded, error = %v", login, err)
		}
	}
	if _, err := s.Commit(t.Context(), message("B")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a message by the reader: error = %v, want ErrUnavailable", err)
	}

	forger := start(t, reader, store.Options{Chain: "forged"})
	if _, err := forger.Commit(t.Context(), looked); err == nil {
		t.Error("the reader wrote a chain that is not one of commands")
	}
}

func TestOldClaimsGo(t *testing.T) {
	dsn := newDatabase(t)
	before := start(t, dsn, store.Options{Chain: "before", Now: func() time.Time { return time.Now().Add(-200 * time.Hour) }})
	for _, control := range []string{"A", "B", "C"} {
		commit(t, before, message(control), store.Kept)
	}
	s := start(t, as(t, dsn, "spinetrace_runtime"), store.Options{})
	db := query(t, dsn)
	eventually(t, "old claims deleted", func() bool { return number(t, db, "select count(*) from seen") == 0 })
	commit(t, s, message("A"), store.Kept)
}

func TestDurabilityIsNotLeftToDefaults(t *testing.T) {
	for set, want := range map[string]string{"off": "on", "local": "local", "remote_apply": "remote_apply"} {
		dsn := newDatabase(t)
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, query(t, dsn), "alter database "+strings.Trim(u.Path, "/")+" set synchronous_commit = "+set)
		got, err := open(t, dsn, store.Options{}).WriterSetting(t.Context(), "synchronous_commit")
		if err != nil || got != want {
			t.Errorf("default %s: sessions have %s, %v; want %s", set, got, err, want)
		}
	}
}

func TestPoolerIsRefused(t *testing.T) {
	err := open(t, newDatabase(t), store.Options{}).SharedBackend(t.Context())
	if err == nil || !strings.Contains(err.Error(), "pooler") {
		t.Errorf("one server process for two connections: error = %v", err)
	}
}
