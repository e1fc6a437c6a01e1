package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"spinetrace/store"
)

// reindexPage is how many entries one statement makes anew, or looks through: who commits
// changes to the same ones waits for it, and must not wait for as long as lock_timeout.
const reindexPage = 250

// Reindex implements [store.Index]. Its statements may safely be run twice, as the pool may do.
func (s *Store) Reindex(ctx context.Context, asOf time.Time, entries iter.Seq[store.Patient]) (kept, deleted int, err error) {
	r := reindexing{s.reader, asOf, asOf.Add(-store.ReindexSlack)}
	page := make(patientRows, reindexPage)
	for p := range entries {
		if err := p.Check(); err != nil {
			return 0, 0, fmt.Errorf("postgres: reindex: %w", err)
		}
		page.add(p.Fit())
		if len(page) < reindexPage {
			continue
		}
		if err := r.renew(ctx, page); err != nil {
			return 0, 0, readError("reindex", err)
		}
		clear(page)
	}
	if err := r.renew(ctx, page); err != nil {
		return 0, 0, readError("reindex", err)
	}
	if kept, deleted, err = r.sweep(ctx); err != nil {
		return kept, deleted, readError("reindex", err)
	}
	return kept, deleted, nil
}

// reindexing is one making anew of the index. A row that was touched up to stale is as before;
// the others were made anew, or changed by commits meanwhile.
type reindexing struct {
	db    *sql.DB
	asOf  time.Time
	stale time.Time
}

// renewSQL replaces stale rows and merges into others.
var renewSQL = func() string {
	n := 0
	t := patientTarget(fmt.Sprintf("p.touched <= $%d::timestamptz", len(patientColumns)+1))
	return t.sql(&n)
}()

// renew writes a page of entries.
func (r *reindexing) renew(ctx context.Context, page patientRows) error {
	if len(page) == 0 {
		return nil
	}
	columns := make([]array, len(patientColumns))
	for i, c := range patientColumns {
		columns[i].reset(c.oid)
	}
	page.encode(columns, r.asOf)
	var args []any
	for i := range columns {
		args = append(args, columns[i].bytes())
	}
	_, err := r.db.ExecContext(ctx, renewSQL, append(args, r.stale)...)
	return err
}

// sweepSQL deletes what is stale of the rows that follow a key. They are locked in the order in
// which commits lock them.
const sweepSQL = `with page as materialized (
		select local_id, authority, touched from patient where (local_id, authority) > ($1, $2) order by local_id, authority limit $3),
	stale as materialized (
		select local_id, authority from patient
		where (local_id, authority) in (select local_id, authority from page where touched <= $4) and touched <= $4
		order by local_id, authority for update),
	gone as (
		delete from patient p using stale s
		where (p.local_id, p.authority) = (s.local_id, s.authority) and p.touched <= $4 returning 1)
	select local_id, authority, (select count(*) from page), (select count(*) from gone)
	from page order by local_id desc, authority desc limit 1`

// sweep deletes the rows that are stale, and counts the others.
func (r *reindexing) sweep(ctx context.Context) (kept, deleted int, err error) {
	var end store.PatientKey
	for seen := reindexPage; seen == reindexPage; {
		var gone int
		err := r.db.QueryRowContext(ctx, sweepSQL, end.LocalID, end.Authority, reindexPage, r.stale).
			Scan(&end.LocalID, &end.Authority, &seen, &gone)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return kept, deleted, err
		}
		kept, deleted = kept+seen-gone, deleted+gone
	}
	return kept, deleted, nil
}
