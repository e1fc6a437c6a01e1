package postgres

import (
	"context"
	"errors"
	"time"

	"spinetrace/store"
)

const (
	purgeEvery      = time.Hour
	partitionsEvery = 24 * time.Hour
	// purgeBatch is how many rows go with one statement: few enough that nobody waits.
	purgeBatch = 1000
)

// keepHouse makes partitions in time and deletes old claims and letters, on the readers' connections.
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

// purge deletes claims that no longer count, and letters that nobody asks for any more. The oldest
// lie together: an index finds them without reading the rest.
func (s *Store) purge(ctx context.Context) {
	const claims = `delete from seen where at < $1 and ctid = any (array(select ctid from seen where at < $1 limit $2))`
	const letters = `delete from outbox where ended < $1 and ctid = any (array(select ctid from outbox where ended < $1 limit $2))`
	now := s.opts.Now()
	s.chore(ctx, "delete old claims", s.purgeAll(ctx, claims, now.Add(-s.opts.ClaimWindow)))
	s.chore(ctx, "delete old letters", s.purgeAll(ctx, letters, now.Add(-store.LetterMemory)))
}

// purgeAll repeats a statement until it has little left to do.
func (s *Store) purgeAll(ctx context.Context, statement string, before time.Time) error {
	for n := int64(purgeBatch); n == purgeBatch; {
		r, err := s.reader.ExecContext(ctx, statement, before, purgeBatch)
		if err != nil {
			return err
		}
		if n, err = r.RowsAffected(); err != nil {
			return err
		}
	}
	return nil
}
