package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/lib/pq"
	"golang.org/x/sync/errgroup"

	"spinetrace/store"
	"spinetrace/store/postgres"
)

// filling is what fill was asked for.
type filling struct {
	dsn       string
	exchanges int64
	months    int
	until     time.Time
	chains    int
	seed      uint64
	bodies    bool
	progress  io.Writer
}

// fill makes a journal in an empty store.
func fill(ctx context.Context, args []string, _, stderr io.Writer) error {
	f := filling{progress: stderr, until: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	fs := flag.NewFlagSet("journal fill", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&f.dsn, "store", "", "`postgres://…` of an empty database, as its owner; the tables are made if they are missing")
	fs.Int64Var(&f.exchanges, "exchanges", 1_000_000, "how `many`")
	fs.IntVar(&f.months, "months", 60, "`number` of months that they are spread over")
	fs.Func("until", "the `day` after the last (default 2026-06-01)", func(text string) (err error) {
		f.until, err = time.Parse(time.DateOnly, text)
		return err
	})
	fs.IntVar(&f.chains, "chains", 1, "`number` of instances that wrote it")
	fs.Uint64Var(&f.seed, "seed", 1, "another `number` makes others")
	fs.BoolVar(&f.bodies, "bodies", true, "keep the messages and envelopes")
	right := func() bool {
		return f.dsn != "" && f.exchanges >= 1 && f.exchanges <= mostExchanges && f.months >= 1 && f.chains >= 1
	}
	if err := parse(fs, args, right); err != nil {
		return err
	}
	return f.run(ctx)
}

func (f *filling) run(ctx context.Context) error {
	patterns, err := rehearse(ctx)
	if err != nil {
		return err
	}
	if err := f.prepare(ctx); err != nil {
		return err
	}
	w := &writing{filling: f, troupe: newTroupe(patterns, int(f.exchanges), f.seed, f.bodies), began: time.Now()}
	g, writing := errgroup.WithContext(ctx)
	for n := range f.chains {
		g.Go(func() error { return w.chain(writing, n) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return f.finish(ctx)
}

// from is when the first exchange begins.
func (f *filling) from() time.Time { return f.until.AddDate(0, -f.months, 0) }

// errFull protects a journal that is somebody's.
var errFull = errors.New("the store is not empty: its journal has events already")

// prepare makes the tables and the partitions of all months. The service makes those to come.
func (f *filling) prepare(ctx context.Context) error {
	if _, err := postgres.Migrate(ctx, f.dsn); err != nil {
		return err
	}
	return database(f.dsn, func(db *sql.DB) error {
		var full bool
		if err := db.QueryRowContext(ctx, "select exists (select from event)").Scan(&full); err != nil {
			return err
		}
		if full {
			return errFull
		}
		const q = `select spinetrace_partition(parent, month)
			from unnest(array['event', 'exchange', 'reply', 'body', 'ending', 'mention']) parent,
			generate_series($1::timestamp, $2::timestamp, interval '1 month') m,
			lateral (select m at time zone 'UTC' as month) u`
		_, err := db.ExecContext(ctx, q, f.from().AddDate(0, 0, 1-f.from().Day()).Format(time.DateOnly), f.until.Format(time.DateOnly))
		return err
	})
}

// finish does what the server would do in its own time, and measurements would suffer from.
func (f *filling) finish(ctx context.Context) error {
	return database(f.dsn, func(db *sql.DB) error {
		for _, q := range []string{"vacuum (freeze, analyze)", "checkpoint"} {
			if _, err := db.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	})
}

// database connects for what is not a store's work.
func database(dsn string, use func(*sql.DB) error) error {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return errors.New("--store is neither a postgres:// URL nor a list of key=value pairs")
	}
	return errors.Join(use(db), db.Close())
}

// writing is a run of fill.
type writing struct {
	*filling
	*troupe
	began time.Time

	mu   sync.Mutex
	done int64
}

// burst is how many exchanges begin at the same time: a chain's time is that of its newest event,
// so all of a batch are of one moment, and the next burst waits until these are over.
const burst = 256

// chain writes every share of bursts that is its own, as an instance with that chain would.
func (w *writing) chain(ctx context.Context, own int) (err error) {
	var clock clock
	name := "main"
	if own > 0 {
		name = fmt.Sprint("main", own+1)
	}
	db, err := postgres.Open(w.dsn, store.Options{Chain: name, Now: clock.now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	clock.set(w.from())
	if err := db.Start(ctx); err != nil {
		return err
	}
	for first := int64(own) * burst; first < w.exchanges; first += int64(w.chains) * burst {
		clock.set(w.at(first))
		if err := w.burst(ctx, db, &clock, first); err != nil {
			return err
		}
	}
	return nil
}

// at is when the nth exchange begins, if it is the first of its burst.
func (w *writing) at(n int64) time.Time {
	whole := w.until.Sub(w.from()) - time.Hour // so that the last burst ends in time
	return w.from().Add(time.Duration(float64(n) / float64(w.filling.exchanges) * float64(whole)))
}

func (w *writing) burst(ctx context.Context, db store.Journal, clock *clock, first int64) error {
	g, ctx := errgroup.WithContext(ctx)
	last := min(first+burst, w.exchanges)
	for n := first; n < last; n++ {
		at := clock.now()
		g.Go(func() error { return w.exchange(n, at).play(ctx, db, clock.now) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	w.count(last - first)
	return nil
}

// count tells how far the journal has got, every twentieth of it.
func (w *writing) count(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.done * 20 / w.exchanges
	w.done += n
	if now := w.done * 20 / w.exchanges; now > before {
		seconds := time.Since(w.began).Seconds()
		fmt.Fprintf(w.progress, "%3d %%, %d exchanges in %.0f s, %.0f a second\n", now*5, w.done, seconds, float64(w.done)/seconds)
	}
}

// clock goes on by a millisecond whenever it is read.
type clock struct{ micros atomic.Int64 }

func (c *clock) set(t time.Time) { c.micros.Store(t.UnixMicro()) }

func (c *clock) now() time.Time { return time.UnixMicro(c.micros.Add(1000)).UTC() }
