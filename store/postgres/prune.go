package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"spinetrace/store"
)

const (
	// dropPage is how many bodies go with one statement: few enough that it is short.
	dropPage = 2000
	// countPage is how many are counted by one.
	countPage = 200_000
)

// CountBodies implements [store.Pruner]. It needs the role spinetrace_pruner, or the owner.
func (s *Store) CountBodies(ctx context.Context, before time.Time) (int64, error) {
	const q = "select found, exchange, chain, seq from spinetrace_count_bodies($1, $2::uuid, $3::smallint, $4::bigint, $5::integer)"
	n, err := s.bodyPages(ctx, q, before, countPage, func(int64) {})
	if err != nil {
		return 0, pruneError("count bodies", err)
	}
	return n, nil
}

// DropBodies implements [store.Pruner]. It needs the role spinetrace_pruner, or the owner: the
// database deletes them by a function of its own, which goes by its own clock.
func (s *Store) DropBodies(ctx context.Context, before time.Time, progress func(dropped int64)) (int64, error) {
	if err := store.CheckAge(s.opts.Now(), before); err != nil {
		return 0, err
	}
	if progress == nil {
		progress = func(int64) {}
	}
	const q = "select dropped, exchange, chain, seq from spinetrace_drop_bodies($1, $2::uuid, $3::smallint, $4::bigint, $5::integer)"
	n, err := s.bodyPages(ctx, q, before, dropPage, progress)
	if err != nil {
		return n, pruneError("drop bodies", err)
	}
	return n, nil
}

// bodyPages runs a statement on page after page of bodies. It returns how many it counted, those
// before an error included. A statement that is run twice, as the pool may do, counts less and does
// no harm.
func (s *Store) bodyPages(ctx context.Context, q string, before time.Time, page int, progress func(int64)) (total int64, err error) {
	var end bodyPlace
	for {
		var n int64
		err := s.reader.QueryRowContext(ctx, q, before, end.exchange[:], end.chain, end.seq, page).
			Scan(&n, &end.exchange, &end.chain, &end.seq)
		if errors.Is(err, sql.ErrNoRows) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		total += n
		progress(total)
	}
}

// bodyPlace is the key of a body.
type bodyPlace struct {
	exchange store.ID
	chain    int16
	seq      int64
}

// pruneError says whose right it is, and whose clock decides.
func pruneError(doing string, err error) error {
	if f := (*fault)(nil); errors.As(clean(err), &f) {
		switch f.code {
		case "42501":
			return fmt.Errorf("postgres: %s: this login may not: give it the role spinetrace_pruner, which `spinetrace migrate roles` makes", doing)
		case "22023":
			return fmt.Errorf("postgres: %s: by the database's clock they are not old enough", doing)
		}
	}
	return readError(doing, err)
}
