package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"spinetrace/store"
)

const addWork = `insert into work (exchange, local_id, authority, kind, due, lease, attempt, reason, parked)
	values (?, ?, ?, ?, ?, 0, 0, ?, 0)
	on conflict (exchange) do update set kind = excluded.kind, due = excluded.due, reason = excluded.reason, parked = 0`

// whereClaimed is met by the item of an exchange if it is as an attempt left it, or the attempt is 0.
const whereClaimed = `where exchange = ? and (? = 0 or attempt = ? and lease <> 0)`

const selectWork = `select exchange, local_id, authority, kind, due, lease, attempt, reason, parked from work `

// requeue does to the queue what a commit says; late says that it came too late to close.
func (w *writer) requeue(c *call, late bool) error {
	for _, s := range c.settled {
		if err := w.settle(s); err != nil {
			return err
		}
	}
	if late {
		return nil
	}
	for _, item := range c.work {
		_, err := w.addWork.Exec(item.Exchange[:], item.Patient.LocalID, item.Patient.Authority, int64(item.Kind),
			item.Due.UnixMicro(), item.Reason)
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) settle(s store.Settlement) (err error) {
	again := sql.NullInt64{Int64: s.Again.UnixMicro(), Valid: !s.Again.IsZero()}
	if s.Park || again.Valid {
		_, err = w.workAgain.Exec(again, s.Reason, s.Park, s.Exchange[:], s.Attempt, s.Attempt)
	} else {
		_, err = w.workDone.Exec(s.Exchange[:], s.Attempt, s.Attempt)
	}
	return err
}

// Claim implements [store.Queue].
func (s *Store) Claim(ctx context.Context, n int, lease time.Duration) (work []store.Work, err error) {
	err = s.work(ctx, func(w *writer) error {
		now := w.now()
		work, err = w.lend(now, now.Add(lease).UTC().Truncate(time.Microsecond), max(n, 0))
		return err
	})
	if err != nil {
		return nil, err
	}
	return work, nil
}

// lend gives items away until a time.
func (w *writer) lend(now, until time.Time, n int) ([]store.Work, error) {
	rows, err := w.ready.Query(now.UnixMicro(), n)
	if err != nil {
		return nil, err
	}
	work, err := scanWork(rows)
	if err != nil {
		return nil, err
	}
	for i := range work {
		item := &work[i]
		item.Attempt, item.Until = item.Attempt+1, until
		if _, err := w.claimWork.Exec(until.UnixMicro(), item.Exchange[:]); err != nil {
			return nil, err
		}
	}
	return work, nil
}

// scanWork reads all rows of selectWork.
func scanWork(rows *sql.Rows) (work []store.Work, err error) {
	defer rows.Close()
	for rows.Next() {
		var item store.Work
		var due, lease int64
		err := rows.Scan(&item.Exchange, &item.Patient.LocalID, &item.Patient.Authority, &item.Kind, &due, &lease, &item.Attempt,
			&item.Reason, &item.Parked)
		if err != nil {
			return nil, err
		}
		item.Due = moment(due)
		if lease != 0 {
			item.Until = moment(lease)
		}
		work = append(work, item)
	}
	return work, rows.Err()
}

// Pending implements [store.Queue].
func (s *Store) Pending(ctx context.Context, parked bool, limit int) ([]store.Work, error) {
	r, err := s.reader()
	if err != nil {
		return nil, err
	}
	rows, err := r.pending.QueryContext(ctx, parked, max(limit, 0))
	if err != nil {
		return nil, explain("read the queue", err)
	}
	work, err := scanWork(rows)
	return work, explain("read the queue", err)
}

// NextDue implements [store.Queue].
func (s *Store) NextDue(ctx context.Context) (due time.Time, ok bool, err error) {
	r, err := s.reader()
	if err != nil {
		return time.Time{}, false, err
	}
	var micros int64
	err = r.nextDue.QueryRowContext(ctx).Scan(&micros)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, false, nil
	case err != nil:
		return time.Time{}, false, explain("read the queue", err)
	}
	return moment(micros), true, nil
}
