package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"spinetrace/store"
)

// reindexPage is how many entries one transaction makes anew, or looks through: commits wait
// for it.
const reindexPage = 500

// A job is work for the connection that writes, in a transaction of its own.
type job struct {
	do   func(*writer) error
	done chan error // holds one, so that the writer never waits for a caller
}

// work has the writing goroutine do something.
func (s *Store) work(ctx context.Context, do func(*writer) error) error {
	if err := errors.Join(s.usable(), ctx.Err()); err != nil {
		return gone(err)
	}
	j := job{do, make(chan error, 1)}
	select {
	case s.jobs <- j:
	case <-s.closing:
		return unavailable(errors.New("closing"))
	case <-ctx.Done():
		return gone(ctx.Err())
	}
	// A job is short. Who left it alone could not know what its do still uses.
	return <-j.done
}

// perform does a job. The error says that w is of no more use.
func (s *Store) perform(w *writer, j job) error {
	if w == nil {
		j.done <- cmp.Or(s.usable(), unavailable(errNoWriter))
		return nil
	}
	err := w.within(j.do)
	if err != nil {
		s.suspend(err)
		err = unavailable(err)
	}
	j.done <- err
	return err
}

// within runs do in a transaction. After an error it is unknown what the file holds.
func (w *writer) within(do func(*writer) error) error {
	if err := w.inPlace(); err != nil {
		return err
	}
	if _, err := w.begin.Exec(); err != nil {
		return explain("begin", err)
	}
	if err := do(w); err != nil {
		return explain("write", err) // the connection is dropped, and the transaction with it
	}
	_, err := w.commit.Exec()
	return explain("commit", err)
}

// Reindex implements [store.Index].
func (s *Store) Reindex(ctx context.Context, asOf time.Time, entries iter.Seq[store.Patient]) (kept, deleted int, err error) {
	r := reindexing{asOf: asOf, stale: asOf.Add(-store.ReindexSlack)}
	var page []store.Patient
	renew := func(w *writer) error { return r.renew(w, page) }
	for p := range entries {
		if err := p.Check(); err != nil {
			return 0, 0, fmt.Errorf("sqlite: reindex: %w", err)
		}
		if page = append(page, p.Fit()); len(page) < reindexPage {
			continue
		}
		if err := s.work(ctx, renew); err != nil {
			return 0, 0, err
		}
		page = page[:0]
	}
	if err := s.work(ctx, renew); err != nil {
		return 0, 0, err
	}
	for !r.done {
		if err := s.work(ctx, r.sweep); err != nil {
			return r.kept, r.deleted, err
		}
	}
	return r.kept, r.deleted, nil
}

// reindexing is one making anew of the index. A row that was touched up to stale is as before;
// the others were made anew, or changed by commits meanwhile.
type reindexing struct {
	asOf  time.Time
	stale time.Time

	end           store.PatientKey // of what was swept
	done          bool
	kept, deleted int
}

// renew writes a page of entries: over what is stale, merged into what is not.
func (r *reindexing) renew(w *writer, page []store.Patient) error {
	for _, p := range page {
		known, touched, ok, err := w.known(p.Key)
		if err != nil {
			return err
		}
		if ok && touched.After(r.stale) {
			p = known.Merge(p)
		}
		if err := w.put(p, latest(r.asOf, touched)); err != nil {
			return err
		}
	}
	return nil
}

// sweep deletes the stale rows of a page, and counts the others.
func (r *reindexing) sweep(w *writer) error {
	from, seen := r.end, 0
	rows, err := w.keys.Query(from.LocalID, from.Authority, reindexPage)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		seen++
		if err := rows.Scan(&r.end.LocalID, &r.end.Authority); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	n, err := r.delete(w, from)
	r.kept, r.deleted = r.kept+seen-n, r.deleted+n
	r.done = seen < reindexPage
	return err
}

// delete deletes the stale rows that follow a key, up to the end of the page.
func (r *reindexing) delete(w *writer, from store.PatientKey) (int, error) {
	n, err := changed(w.sweep.Exec(from.LocalID, from.Authority, r.end.LocalID, r.end.Authority, r.stale.UnixMicro()))
	return int(n), err
}
