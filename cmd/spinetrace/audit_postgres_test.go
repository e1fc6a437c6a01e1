package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"spinetrace/store"
	"spinetrace/store/postgres"
)

func TestAuditBesideServeOnPostgres(t *testing.T) { auditBesideServe(t, migrated(t)) }

// guarded is a database with the schema and the roles, seen by its superuser.
type guarded struct {
	*sql.DB
	dsn string
}

func newGuarded(t *testing.T) guarded {
	t.Helper()
	template := pg.Server(t).Template(t, "guarded", func(dsn string) error {
		if _, err := postgres.Migrate(context.Background(), dsn); err != nil {
			return err
		}
		return postgres.ApplyRoles(context.Background(), dsn)
	})
	dsn := pg.NewDatabase(t, template)
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return guarded{db, dsn}
}

// as returns the data source of a login that has one of the roles.
func (g guarded) as(t *testing.T, role string) string {
	t.Helper()
	login := role + "_person"
	g.exec(t, fmt.Sprintf("do $$ begin create role %s login in role %s; exception when duplicate_object or unique_violation then null; end $$", login, role))
	u, err := url.Parse(g.dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(login)
	return u.String()
}

func (g guarded) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := g.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// forge changes the journal as a superuser can, past every trigger.
func (g guarded) forge(t *testing.T, statements ...string) {
	t.Helper()
	g.exec(t, "set session_replication_role = replica; "+strings.Join(statements, "; ")+"; set session_replication_role = default")
}

// start starts a store for a role.
func (g guarded) start(t *testing.T, role, chain string, now func() time.Time) store.Store {
	t.Helper()
	db, err := postgres.Open(g.as(t, role), store.Options{Chain: chain, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// fill writes messages into a chain, by the role of the service, and names the store in the settings,
// for an auditor.
func (g guarded) fill(t *testing.T, chain string, messages int) {
	t.Helper()
	db := g.start(t, "spinetrace_runtime", chain, nil)
	defer closeStore(t, db)
	for n := range messages {
		exchanged(t, db, fmt.Sprint("M", n), store.Facts{Application: "PAS", Type: "ADT^A28", Outcome: "not traced"})
	}
	setAll(t, map[string]string{"STORE": g.as(t, "spinetrace_reader")})
}

// TestTAUD01a: neither the service nor an auditor can change the journal, or take it away.
func TestTAUD01a(t *testing.T) {
	g := newGuarded(t)
	g.fill(t, "main", 3)
	for _, role := range []string{"spinetrace_runtime", "spinetrace_reader", "spinetrace_searcher", "spinetrace_pruner"} {
		db, err := sql.Open("postgres", g.as(t, role))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for table, column := range map[string]string{
			"event": "doc", "exchange": "nhs_sent", "reply": "nhs_found", "ending": "nhs_found", "mention": "id", "body": "data",
		} {
			for _, statement := range []string{
				"update %s set " + column + " = " + column, "delete from %s", "truncate %s", "drop table %s", "alter table %s disable trigger all",
			} {
				if _, err := db.Exec(fmt.Sprintf(statement, table)); err == nil || strings.Contains(err.Error(), "does not exist") {
					t.Errorf("%s: "+statement+": %v", role, table, err)
				}
			}
		}
	}
	wantVerified(t)
}

// wantVerified checks that audit verify finds nothing.
func wantVerified(t *testing.T) {
	t.Helper()
	if code, out, errs := runCommand("audit", "verify", "--bodies"); code != exitOK {
		t.Errorf("audit verify: exit code %d\n%s%s", code, out, errs)
	}
}

// wantBroken checks that audit verify fails, and says where and why.
func wantBroken(t *testing.T, says string, args ...string) {
	t.Helper()
	code, out, errs := runCommand(append([]string{"audit", "verify"}, args...)...)
	if code != exitFailed || !strings.Contains(out, says) {
		t.Errorf("audit verify %q: exit code %d, no %q in\n%s%s", args, code, says, out, errs)
	}
}

// TestTAUD01b: one byte of one row is found by the row's number.
func TestTAUD01b(t *testing.T) {
	g := newGuarded(t)
	g.fill(t, "main", 7)
	wantVerified(t)
	g.forge(t, `update event set doc = overlay(doc placing 'X' from strpos(doc, 'PAS')) where seq = 4`)
	wantBroken(t, "BROKEN at main:4: hash does not follow")
}

// TestTAUD01c: a tail that was cut off shows in a head that was kept elsewhere, and in the chain of
// another instance without one.
func TestTAUD01c(t *testing.T) {
	const cut = "delete from event where chain = (select id from chain where name = 'main') and seq > 4"
	t.Run("kept in a file", func(t *testing.T) {
		g := newGuarded(t)
		g.fill(t, "main", 7)
		for _, flag := range []string{"", "--json"} {
			_, out, _ := runCommand(strings.Fields("audit head " + flag)...)
			file := filepath.Join(t.TempDir(), "heads")
			if err := os.WriteFile(file, []byte("# of today\n"+out), 0o600); err != nil {
				t.Fatal(err)
			}
			if code, out, errs := runCommand("audit", "verify", "--head", file); code != exitOK || strings.Contains(out, "unanchored") {
				t.Errorf("before: exit code %d\n%s%s", code, out, errs)
			}
			g.forge(t, "create table kept as select * from event where seq > 4", cut)
			wantBroken(t, "BROKEN at main:5: missing: the chain was longer once, up to 7", "--head", file)
			g.forge(t, "insert into event select * from kept", "drop table kept")
		}
	})
	t.Run("noted by another chain", func(t *testing.T) {
		g := newGuarded(t)
		g.fill(t, "main", 7)
		other := g.start(t, "spinetrace_runtime", "other", nil)
		heads, err := other.Heads(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		keep(t, other, store.Commit{Entries: []store.Entry{store.AnchorEntry(heads, "other")}})
		closeStore(t, other)
		if code, out, errs := runCommand("audit", "verify"); code != exitOK || strings.Count(out, "unanchored") != 1 || !strings.Contains(out, "unanchored: all") {
			t.Errorf("before: exit code %d\n%s%s", code, out, errs)
		}
		g.forge(t, cut)
		wantBroken(t, "BROKEN at main:5: missing: the chain was longer once, up to 7")
		g.forge(t, "delete from event where chain = (select id from chain where name = 'main')")
		wantBroken(t, "BROKEN at main:1: missing: the chain was longer once, up to 7")
	})
	t.Run("grown again", func(t *testing.T) {
		g := newGuarded(t)
		g.fill(t, "main", 7)
		_, out, _ := runCommand("audit", "head")
		g.forge(t, cut)
		g.fill(t, "main", 5)
		wantBroken(t, "BROKEN at main:7: hash is not the one it had as the head", "--kept", strings.Fields(out)[0])
	})
}

// TestTAUD01d: the roles own nothing and can pass nothing on.
func TestTAUD01d(t *testing.T) {
	g := newGuarded(t)
	for what, query := range map[string]string{
		"relations that they own":     `select count(*) from pg_class where pg_get_userbyid(relowner) like 'spinetrace%'`,
		"functions that they own":     `select count(*) from pg_proc where pg_get_userbyid(proowner) like 'spinetrace%'`,
		"grants that they can pass":   `select count(*) from information_schema.role_table_grants where grantee like 'spinetrace%' and is_grantable = 'YES'`,
		"routines that they can pass": `select count(*) from information_schema.role_routine_grants where grantee like 'spinetrace%' and is_grantable = 'YES'`,
		"memberships that they manage": `select count(*) from pg_auth_members m join pg_roles r on r.oid = m.member
			where r.rolname like 'spinetrace%' and m.admin_option`,
		"roles that are more than roles": `select count(*) from pg_roles where rolname in ('spinetrace_runtime', 'spinetrace_reader', 'spinetrace_searcher', 'spinetrace_pruner')
			and (rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolcanlogin)`,
	} {
		var n int
		if err := g.QueryRow(query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d, %v; want none", what, n, err)
		}
	}
}

// TestTAUD01e: an event that somebody inserts by hand is refused by the database, or found.
func TestTAUD01e(t *testing.T) {
	const insert = `insert into event select chain, %s, at, kind, exchange, doc, hash from event where seq = 4`
	g := newGuarded(t)
	g.fill(t, "main", 7)
	for role, refused := range map[string]bool{
		"spinetrace_runtime": false, "spinetrace_reader": true, "spinetrace_searcher": true, "spinetrace_pruner": true,
	} {
		db, err := sql.Open("postgres", g.as(t, role))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(fmt.Sprintf(insert, "4")); err == nil {
			t.Errorf("%s: a number that is taken was accepted", role)
		}
		if _, err := db.Exec(fmt.Sprintf(insert, "8")); (err != nil) != refused {
			t.Errorf("%s: an event behind the end of the service's chain: %v", role, err)
		}
	}
	wantBroken(t, "BROKEN at main:8: hash does not follow")
}

// TestTAUD01h: nothing deletes an event. What clears away is a command of its own, for a role of its
// own, that takes bodies only and writes a row; how long they are kept is the trust's to say.
func TestTAUD01h(t *testing.T) {
	g := newGuarded(t)
	rows, err := g.Query(`select grantee, table_name, privilege_type from information_schema.role_table_grants
		where grantee like 'spinetrace%' and privilege_type in ('UPDATE', 'DELETE', 'TRUNCATE')
		and table_name ~ '^(event|exchange|reply|ending|mention|body|chain)'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var grantee, table, privilege string
		if err := rows.Scan(&grantee, &table, &privilege); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s may %s %s", grantee, privilege, table)
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	deletes := regexp.MustCompile(`(?i)(delete\s+from|truncate|detach\s+partition|drop\s+table)\s+(public\.)?(event|exchange|reply|ending|mention)\b`)
	for _, pattern := range []string{"../../store/*/*.go", "../../store/*.go", "../../migrations/*/*.sql", "*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if found := deletes.Find(text); found != nil && !strings.HasSuffix(file, "_test.go") && !strings.Contains(file, "storetest") {
				t.Errorf("%s: %s", file, found)
			}
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil || !strings.Contains(string(readme), "How long records are kept is the trust's to decide") {
		t.Errorf("the manual does not say whose duty retention is: %v", err)
	}
}

// TestDropBodiesOnPostgres: only who has the role can, and the service cannot.
func TestDropBodiesOnPostgres(t *testing.T) {
	g := newGuarded(t)
	g.fill(t, "main", 1)
	old := time.Now().AddDate(0, 0, -20)
	db := g.start(t, "spinetrace_runtime", "old", func() time.Time { return old })
	for range 3 {
		withBodies(t, db, idAt(old))
	}
	withBodies(t, db, store.NewID())
	closeStore(t, db)
	for _, role := range []string{"spinetrace_runtime", "spinetrace_reader", "spinetrace_searcher"} {
		setAll(t, map[string]string{"STORE": g.as(t, role)})
		code, out, errs := runCommand("audit", "drop-bodies", "--before", "240h", "--reason", "retention", "--yes")
		if code != exitFailed || !strings.Contains(errs, "spinetrace_pruner") {
			t.Errorf("%s: exit code %d\n%s%s", role, code, out, errs)
		}
	}
	setAll(t, map[string]string{"STORE": g.as(t, "spinetrace_pruner")})
	wantDropped(t, "the bodies of 3 events are dropped\n")
	setAll(t, map[string]string{"STORE": g.as(t, "spinetrace_reader")})
	wantVerified(t)
	wantShownDropped(t)
	var bodies int
	if err := g.QueryRow("select count(*) from body").Scan(&bodies); err != nil || bodies != 1 {
		t.Errorf("%d events have bodies, %v; want 1", bodies, err)
	}
}

// TestTAUD03: the columns of an event must all be filled, and the rows of a traced message have what
// is required of each.
func TestTAUD03(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		g := newGuarded(t)
		var nullable string
		err := g.QueryRow(`select coalesce(string_agg(column_name, ', '), '') from information_schema.columns
			where table_name = 'event' and is_nullable = 'YES'`).Scan(&nullable)
		if err != nil || nullable != "" {
			t.Errorf("columns of an event that may be null: %q, %v", nullable, err)
		}
		requiredItems(t, g.as(t, "spinetrace_runtime"))
	})
	t.Run("SQLite", func(t *testing.T) { requiredItems(t, "sqlite:"+filepath.Join(t.TempDir(), "journal.db")) })
}

// requiredItems looks at every row that a service and a command write.
func requiredItems(t *testing.T, dsn string) {
	r := startService(t, map[string]string{"STORE": dsn})
	r.waitReady(t)
	for _, message := range []string{sampleA28("C1"), fromUser("C2", "JBLOGGS", "")} {
		if _, err := r.send(t, message); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, errs := runCommand("audit", "find", "--as", "auditor"); code != exitOK {
		t.Fatal(errs)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[store.Kind]bool)
	for _, chain := range []string{r.cfg.Chain, r.cfg.Chain + ".cli"} {
		started := false
		for _, e := range r.eventsOf(t, chain) {
			seen[e.Kind] = true
			started = started || e.Kind == store.Started
			lacking := lacks(e.Doc, "chain", "seq", "at", "kind", "user")
			if !started { // a service's are in the row of its start, which all others come behind
				lacking = append(lacking, lacks(e.Doc, "software", "configuration")...)
			}
			if lacking = append(lacking, lacks(e.Doc, required[e.Kind]...)...); len(lacking) > 0 {
				t.Errorf("%v lacks %q: %s", e.Kind, lacking, e.Doc)
			}
			checkUser(t, e)
		}
	}
	for kind := range required {
		if !seen[kind] {
			t.Errorf("there is no event %v", kind)
		}
	}
}

// required are the items of a kind of event, beside those that every event has.
var required = map[store.Kind][]string{
	store.Started:  {"software", "configuration", "host"},
	store.Clocked:  {"details"},
	store.Received: {"peer", "application", "facility", "control_id", "type", "local_id", "nhs_number_sent", "bodies"},
	store.Asked:    {"attempt", "backend", "operation", "endpoint", "message_id", "tracking_id", "payload_id", "bodies"},
	store.Answered: {"attempt", "http_status", "code", "answer_message_id", "took_us", "bodies"},
	store.Replied:  {"ack", "outcome", "nhs_number_found", "nhs_number_status", "bodies"},
	store.Looked:   {"filters", "software", "configuration"},
	store.Stopped:  nil,
}

// lacks returns the items that a document does not have.
func lacks(doc string, items ...string) (missing []string) {
	for _, item := range items {
		if !strings.Contains(doc, `"`+item+`":`) {
			missing = append(missing, item)
		}
	}
	return missing
}

// checkUser: a row of a message is of its user; one of a look of who looks; all others of the system.
func checkUser(t *testing.T, e store.Event) {
	t.Helper()
	f, err := e.Facts()
	if err != nil {
		t.Fatal(err)
	}
	want := map[bool]string{true: "auditor", false: store.System}[e.Kind == store.Looked]
	if e.Exchange != (store.ID{}) && f.User == "JBLOGGS" {
		return
	}
	if f.User != want {
		t.Errorf("%v is of %q, want %q", e.Kind, f.User, want)
	}
}
