package main

import (
	"database/sql"
	"strings"
	"testing"
)

// asReader returns the DSN of a login that may read the journal of a new database, and no more.
func asReader(t *testing.T) string {
	t.Helper()
	dsn := migrated(t)
	setAll(t, enough(map[string]string{"STORE": dsn}))
	if code, out, errs := runCommand("migrate", "roles", "--apply"); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const login = `do $$ begin create role auditor login in role spinetrace_reader;
		exception when duplicate_object then null; end $$`
	if _, err := db.Exec(login); err != nil {
		t.Fatal(err)
	}
	return asUser(t, dsn, "auditor")
}

// TestReaderIsToldWhatItLacks: one sentence that names the role, whatever is tried.
func TestReaderIsToldWhatItLacks(t *testing.T) {
	dsn := asReader(t)
	setAll(t, enough(map[string]string{"STORE": dsn, "SMSP_URL": "http://127.0.0.1:1/"}))
	for args, want := range map[string]string{
		"check-config --connect": "\nstore: postgres: user \"auditor\" may read the journal, but not write it: grant it the role spinetrace_runtime",
		"audit reindex":          "the login may not do this: what reads the journal needs the role spinetrace_searcher or spinetrace_reader, what writes messages spinetrace_runtime (SQLSTATE 42501)\n",
	} {
		code, out, errs := runCommand(strings.Fields(args)...)
		if text := "\n" + out + errs; code != exitFailed || !strings.Contains(text, want) {
			t.Errorf("%s: exit code %d\n%s", args, code, text)
		}
	}
	r := startService(t, map[string]string{"STORE": dsn})
	waitUntil(t, "why it is not ready", func() bool {
		_, body := r.ask(t, "/-/ready")
		return strings.Contains(body, `user "auditor" may read the journal, but not write it: grant it the role spinetrace_runtime`)
	})
}
