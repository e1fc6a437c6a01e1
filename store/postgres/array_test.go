package postgres

import (
	"database/sql"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/internal/pgtest"
)

// The server itself reads the arrays back.
func TestArraysArriveAsTheyWereSent(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{})
	cfg, err := parseDSN(srv.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := openPool(cfg, "test", newDialer(readTimeout), sessionSettings)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	at := time.Date(2026, 11, 22, 10, 15, 0, 123456000, time.UTC)
	want := []string{"-1", "9007199254740993", "", "\\x", "", "2026-11-22 10:15:00.123456+00", "00000000-0000-0000-0000-0000000000ff"}
	columns := []struct {
		column
		put func(a *array)
	}{
		{column{"n", "smallint", oidSmallint}, func(a *array) { a.smallint(-1) }},
		{column{"n", "bigint", oidBigint}, func(a *array) { a.bigint(9007199254740993) }},
		{column{"t", "text", oidText}, func(a *array) { a.text("") }},
		{column{"b", "bytea", oidBytea}, func(a *array) { a.bytea(nil) }},
		{column{"s", "smallint", oidSmallint}, func(a *array) { a.null() }},
		{column{"at", "timestamptz", oidTimestamp}, func(a *array) { a.time(at) }},
		{column{"id", "uuid", oidUUID}, func(a *array) { a.uuid([16]byte{15: 255}) }},
	}
	var got []string
	for _, c := range columns {
		var a array
		a.reset(c.oid)
		c.put(&a)
		c.put(&a)
		got = append(got, readBack(t, db, c.kind, a.bytes()))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arrays (-sent +received):\n%s", diff)
	}
	for _, text := range []string{"é\U0001F600", "{a,\"b\"}", "\\x00", "a\nb", "NULL"} {
		var a array
		a.reset(oidText)
		a.text(text)
		if got := readBack(t, db, "text", a.bytes()); got != text {
			t.Errorf("sent %q, received %q", text, got)
		}
	}
	var none array
	none.reset(oidText)
	if got := readBack(t, db, "text", none.bytes()); got != "" {
		t.Errorf("sent nothing, received %q", got)
	}
}

// readBack returns an array's last element as the server writes it.
func readBack(t *testing.T, db *sql.DB, kind string, sent []byte) string {
	t.Helper()
	rows, err := db.Query("select coalesce(v::text, '') from unnest($1::"+kind+"[]) v", sent)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	all = slices.Compact(all)
	if len(all) > 1 {
		t.Fatalf("the same value twice came back as %q", all)
	}
	return append(all, "")[0]
}
