package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"spinetrace/store"
)

// dropPage is how many bodies one transaction deletes: commits wait for it.
const dropPage = 500

// oldBodies are the bodies of exchanges that began before a time and that nobody needs any more.
const oldBodies = `from body b where b.exchange < ?
	and not exists (select 1 from work w where w.exchange = b.exchange)
	and not exists (select 1 from outbox o where o.exchange = b.exchange and o.state in (1, 2))`

// CountBodies implements [store.Pruner].
func (s *Store) CountBodies(ctx context.Context, before time.Time) (n int64, err error) {
	r, err := s.reader()
	if err != nil {
		return 0, err
	}
	end := store.FirstID(before)
	err = r.db.QueryRowContext(ctx, "select count(*) "+oldBodies, end[:]).Scan(&n)
	return n, explain("count bodies", err)
}

// DropBodies implements [store.Pruner].
func (s *Store) DropBodies(ctx context.Context, before time.Time, progress func(dropped int64)) (dropped int64, err error) {
	if err := store.CheckAge(s.o.Now(), before); err != nil {
		return 0, err
	}
	end := store.FirstID(before)
	for n := int64(dropPage); n == dropPage; {
		if err := s.work(ctx, func(w *writer) (err error) {
			n, err = w.dropBodies(end)
			return err
		}); err != nil {
			return dropped, err
		}
		if dropped += n; progress != nil {
			progress(dropped)
		}
	}
	return dropped, s.forgetLog(ctx)
}

// forgetLog empties the log, in which what was overwritten in the file may still be read. No transaction
// may be open meanwhile, so it has a connection of its own.
func (s *Store) forgetLog(ctx context.Context) error {
	db, err := sql.Open("sqlite", dataSource(s.path))
	if err != nil {
		return explain("empty the log", err)
	}
	var busy bool
	var pages, moved int
	err = db.QueryRowContext(ctx, "pragma wal_checkpoint(truncate)").Scan(&busy, &pages, &moved)
	if err == nil && busy {
		err = errors.New("somebody has been reading all the while, so the file -wal still holds bodies that were dropped; the same command once more clears it")
	}
	return explain("empty the log", errors.Join(err, db.Close()))
}

// dropBodies deletes a page of bodies. The row in dropping is what the trigger asks for, and gone when
// the transaction is.
func (w *writer) dropBodies(end store.ID) (n int64, err error) {
	ctx := context.Background()
	if _, err := w.conn.ExecContext(ctx, "insert into dropping (really) values (1)"); err != nil {
		return 0, err
	}
	n, err = changed(w.conn.ExecContext(ctx, "delete from body where rowid in (select b.rowid "+oldBodies+
		" order by b.exchange, b.chain, b.seq limit ?)", end[:], dropPage))
	if err != nil {
		return 0, err
	}
	_, err = w.conn.ExecContext(ctx, "delete from dropping")
	return n, err
}
