package postgres

import (
	"bytes"
	"context"
	"time"

	"spinetrace/store"
)

// What belongs to nothing, of a time or of the exchanges that began in it.
const (
	strayEvents = "select count(*) from event where at >= $1 and at < $2 and chain not in (select id from chain)"
	strayBodies = `select count(*) from body b where exchange > $1 and exchange <= $2 and not exists (
		select from event e where e.chain = b.chain and e.seq = b.seq and e.exchange = b.exchange and e.exchange > $1 and e.exchange <= $2)`
	strayExchanges = `select count(*) from (select distinct exchange from event where exchange > $1 and exchange <= $2) e
		where not exists (select from exchange x where x.id = e.exchange)`
)

// Count implements [store.Audit].
func (s *Store) Count(ctx context.Context, chain string, upTo int64) (int64, error) {
	const q = `select count(*) from event where at >= $1 and at < $2
		and chain = (select id from chain where name = $3) and seq <= $4`
	months, err := s.months(ctx)
	if err != nil {
		return 0, readError("count", err)
	}
	n, err := s.countBetween(ctx, q, moments(months), chain, upTo)
	if err != nil {
		return 0, readError("count", err)
	}
	return n, nil
}

// Strays implements [store.Audit].
func (s *Store) Strays(ctx context.Context, bodies bool) (found store.Strays, err error) {
	months, err := s.months(ctx)
	if err == nil {
		found.Events, err = s.countBetween(ctx, strayEvents, moments(months))
	}
	if err == nil && bodies {
		found.Bodies, err = s.countBetween(ctx, strayBodies, identities(months))
	}
	if err == nil && bodies {
		found.Exchanges, err = s.countBetween(ctx, strayExchanges, identities(months))
	}
	if err != nil {
		return store.Strays{}, bodiesError("strays", err)
	}
	return found, nil
}

// countBetween adds up what a statement counts between each two of the bounds: over all years at once it
// would take longer than a reader waits for an answer.
func (s *Store) countBetween(ctx context.Context, q string, bounds []any, args ...any) (sum int64, err error) {
	for i := range len(bounds) - 1 {
		var n int64
		if err := s.reader.QueryRowContext(ctx, q, append(bounds[i:i+2:i+2], args...)...).Scan(&n); err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// months returns the beginnings of the months that the journal has partitions for, the oldest first.
func (s *Store) months(ctx context.Context) (months []time.Time, err error) {
	const q = `select to_timestamp(right(c.relname, 7) || '+00', 'YYYY_MMTZH') from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = 'event'::regclass order by 1`
	rows, err := s.reader.QueryContext(ctx, q) //nolint:sqlclosecheck // scan closes them
	if err != nil {
		return nil, err
	}
	err = scan(rows, func() error {
		var month time.Time
		err := rows.Scan(&month)
		months = append(months, month.UTC())
		return err
	})
	return months, err
}

// moments bounds each of the months.
func moments(months []time.Time) (bounds []any) {
	for _, m := range months {
		bounds = append(bounds, m)
	}
	if n := len(months); n > 0 {
		bounds = append(bounds, months[n-1].AddDate(0, 1, 0))
	}
	return bounds
}

// identities bounds the ids of each of the months, from the one behind zero, which is that of no exchange.
// The first has all before it, and the last all behind it: an id that somebody forged may tell any time.
func identities(months []time.Time) []any {
	bounds := []any{make([]byte, len(store.ID{}))}
	for _, m := range months[min(1, len(months)):] {
		id := store.FirstID(m)
		bounds = append(bounds, id[:])
	}
	return append(bounds, bytes.Repeat([]byte{0xff}, len(store.ID{})))
}
