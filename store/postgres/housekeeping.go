package postgres

import (
	"context"
	"errors"
	"time"
)

const (
	purgeEvery      = time.Hour
	partitionsEvery = 24 * time.Hour
	// purgeBatch is how many claims go with one statement: few enough that nobody waits.
	purgeBatch = 1000
)

// keepHouse makes partitions in time and deletes old claims, on the readers' connections.
func (s *Store) keepHouse(ctx context.Context) {
	purge, partitions := time.NewTicker(purgeEvery), time.NewTicker(partitionsEvery)
	defer purge.Stop()
	defer partitions.Stop()
	s.makePartitions(ctx)
	s.purge(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-purge.C:
			s.purge(ctx)
		case <-partitions.C:
			s.makePartitions(ctx)
		}
	}
}

// chore logs what went wrong with one. A role that only reads is not meant to do it.
func (s *Store) chore(ctx context.Context, what string, err error) {
	err = clean(err)
	if f := (*fault)(nil); err == nil || ctx.Err() != nil || errors.As(err, &f) && f.code == "42501" {
		return
	}
	s.opts.Log.Warn("housekeeping failed", "chore", what, "err", err)
}

func (s *Store) makePartitions(ctx context.Context) {
	_, err := s.reader.ExecContext(ctx, "select spinetrace_partitions()")
	s.chore(ctx, "make partitions", err)
	var until time.Time
	err = s.reader.QueryRowContext(ctx, "select spinetrace_partitions_until()").Scan(&until)
	s.chore(ctx, "count partitions", err)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = until.UTC()
}

// PartitionsUntil returns the first moment that the journal has no partition for: commits
// stop then unless more are made, which happens daily, 24 months ahead. It is zero until the
// store has looked. An operator should hear of it when it is less than two months away.
func (s *Store) PartitionsUntil() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}

// purge deletes claims that no longer count. The oldest lie together: seen_at finds them
// without reading the rest.
func (s *Store) purge(ctx context.Context) {
	const q = `delete from seen where at < $1 and ctid = any (array(select ctid from seen where at < $1 limit $2))`
	before := s.opts.Now().Add(-s.opts.ClaimWindow)
	for n := int64(purgeBatch); n == purgeBatch; {
		r, err := s.reader.ExecContext(ctx, q, before, purgeBatch)
		if err != nil {
			s.chore(ctx, "delete old claims", err)
			return
		}
		if n, err = r.RowsAffected(); err != nil {
			return
		}
	}
}
