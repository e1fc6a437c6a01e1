package sqlite

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"spinetrace/migrations"
	"spinetrace/store"
)

// TestOlderJournalsCanBeSearched: what was written before there was an index of calls, and of late
// ends, is found by them all the same.
func TestOlderJournalsCanBeSearched(t *testing.T) {
	path := newPath(t)
	write(t, path, "")
	one, two := store.NewID(), store.NewID()
	migrateTo(t, path, 4, func(db *sql.DB) {
		for _, id := range []store.ID{one, two} {
			_, err := db.Exec(`insert into exchange (id, at, application, facility, control_id, type, local_id, nhs_sent, chain, seq)
				values (?, 1, '', '', 'A', 'ADT^A28', '', '', 1, 1)`, id[:])
			must(t, err)
		}
		_, err := db.Exec("insert into chain (name, created) values ('old', 1)")
		must(t, err)
		for i, e := range []struct {
			kind store.Kind
			id   store.ID
			doc  string
		}{
			{store.Asked, one, `{"message_id":"m1","tracking_id":"t1"}`}, {store.Answered, one, `{"answer_message_id":"a1","nhs_number_found":"9990000034"}`},
			{store.Answered, two, `{"nhs_number_found":"none"}`},
			{store.Asked, two, `{"message_id":"m1"}`}, {store.Received, two, `{"message_id":"none"}`},
			{store.Finished, one, `{"outcome":"unfinished"}`}, {store.Finished, one, `{"outcome":"traced","nhs_number_found":"9990000026"}`},
			{store.Finished, one, `{"outcome":"no match"}`},
		} {
			_, err := db.Exec("insert into event (chain, seq, at, kind, exchange, doc, hash) values (1, ?, ?, ?, ?, ?, zeroblob(32))",
				i+1, i, int64(e.kind), e.id[:], e.doc)
			must(t, err)
		}
		_, err = db.Exec(`insert into patient (local_id, authority, told_at, told_exchange, told_nhs, told_status, told_print, told_doc,
			found_at, found_exchange, found_print, found_outcome, found_nhs, found_status, moved_at, moved_exchange, into_local_id, into_authority, touched)
			values ('OLD', '', 1, ?1, '', '', zeroblob(16), '', 1, ?1, zeroblob(16), 0, '', '', 2, ?2, 'NEW', '', 2)`, one[:], two[:])
		must(t, err)
	})
	s := start(t, path, store.Options{})
	for name, tt := range map[string]struct {
		s    store.Search
		want []store.ID
	}{
		"a call of two":     {store.Search{MessageID: "m1"}, []store.ID{two, one}},
		"an answer":         {store.Search{MessageID: "a1"}, []store.ID{one}},
		"not of a call":     {store.Search{MessageID: "none"}, nil},
		"as it ended first": {store.Search{Outcome: store.Traced, NHSNumber: "9990000026"}, []store.ID{one}},
		"a number of Spine": {store.Search{NHSNumber: "9990000034"}, []store.ID{one}},
		"of no digits":      {store.Search{NHSNumber: "none"}, nil},
		"merged away":       {store.Search{LocalID: "OLD"}, []store.ID{two}},
	} {
		tt.s.Limit = 9
		found, err := s.Search(deadline(t), tt.s)
		must(t, err)
		var got []store.ID
		for _, x := range found {
			got = append(got, x.ID)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestOlderJournalsMentionWhatDiffers: a number that a column has costs no row.
func TestOlderJournalsMentionWhatDiffers(t *testing.T) {
	path := newPath(t)
	write(t, path, "")
	id := store.NewID()
	migrateTo(t, path, 5, func(db *sql.DB) {
		for _, statement := range []string{
			`insert into exchange (id, at, application, facility, control_id, type, local_id, nhs_sent, chain, seq) values (?1, 1, '', '', 'A', 'ADT^A28', 'R1', '9990000018', 1, 1)`,
			`insert into reply (exchange, at, outcome, nhs_found, chain, seq) values (?1, 1, 4, '9990000026', 1, 1)`,
			`insert into ending (exchange, at, outcome, nhs_found) values (?1, 1, 4, '9990000034')`,
			`insert into event (chain, seq, at, kind, exchange, doc, hash) values (1, 1, 1, 6, ?1, '{"nhs_number_sent":"9990000018","nhs_number_found":"9990000026"}', zeroblob(32)),
				(1, 2, 1, 15, ?1, '{"nhs_number_found":"9990000034"}', zeroblob(32)), (1, 3, 1, 6, ?1, '{"nhs_number_found":"9990000042"}', zeroblob(32))`,
		} {
			_, err := db.Exec(statement, id[:])
			must(t, err)
		}
	})
	s := start(t, path, store.Options{})
	r, err := s.reader()
	must(t, err)
	var all string
	must(t, r.db.QueryRow("select group_concat(id) from mention").Scan(&all))
	if all != "nhs:9990000042" {
		t.Errorf("mentioned are %s", all)
	}
}

// migrateTo brings an empty file to an older schema, and fills it.
func migrateTo(t *testing.T, path string, version int64, fill func(*sql.DB)) {
	t.Helper()
	db, err := sql.Open("sqlite", dataSource(path, "journal_mode(wal)"))
	must(t, err)
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.SQLite(), goose.WithDisableGlobalRegistry(true))
	must(t, err)
	_, err = p.UpTo(deadline(t), version)
	must(t, err)
	_, err = db.Exec(fmt.Sprintf("pragma application_id = %d", application))
	must(t, err)
	fill(db)
}

// TestBodiesAreNotDeletedByHand: only the store knows how.
func TestBodiesAreNotDeletedByHand(t *testing.T) {
	path := newPath(t)
	keep(t, start(t, path, store.Options{}), 1)
	db, err := sql.Open("sqlite", dataSource(path))
	must(t, err)
	defer db.Close()
	for _, statement := range []string{
		"delete from body", "update body set codec = 0", "delete from event", "delete from exchange", "delete from reply",
		"insert into ending values (zeroblob(16), 1, 1, ''); delete from ending", "insert into mention values ('1', zeroblob(16)); delete from mention",
		"update ending set outcome = 2", "update mention set id = '2'",
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("allowed: %s", statement)
		}
	}
}
