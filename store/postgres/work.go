package postgres

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"spinetrace/store"
)

// workTarget is the function that changes the queue. Being read by the insert into event, it and the
// other functions are run before the other targets, in every shape, and in their order.
var workTarget = target{"spinetrace_work", toWork, false, []column{
	{"exchanges", "uuid", oidUUID}, {"acts", "smallint", oidSmallint}, {"local_ids", "text", oidText},
	{"authorities", "text", oidText}, {"kinds", "smallint", oidSmallint}, {"dues", "timestamptz", oidTimestamp},
	{"reasons", "text", oidText}, {"attempts", "bigint", oidBigint}}, ""}

// act is one thing that a commit does to the queue.
type act struct {
	exchange store.ID
	act      int16
	patient  store.PatientKey
	kind     store.WorkKind
	due      time.Time // zero: as it was
	reason   string
	attempt  int
}

// The acts, as spinetrace_work knows them.
const (
	addWork int16 = 1 + iota
	workDone
	workAgain
	parkWork
)

// actsOf returns what c does to the queue, in order.
func actsOf(c store.Commit) []act {
	var acts []act
	for _, s := range c.Settled {
		s = s.Fit()
		a := act{exchange: s.Exchange, act: workDone, due: s.Again, reason: s.Reason, attempt: s.Attempt}
		switch {
		case s.Park:
			a.act = parkWork
		case !s.Again.IsZero():
			a.act = workAgain
		}
		acts = append(acts, a)
	}
	for _, w := range c.Work {
		w = w.Fit()
		acts = append(acts, act{w.Exchange, addWork, w.Patient, w.Kind, w.Due, w.Reason, 0})
	}
	return acts
}

// encodeActs appends the acts to the columns, by exchange: two instances that change the same rows
// in different orders would wait for each other. Those of one exchange stay in order.
func encodeActs(c []array, acts []act) {
	slices.SortStableFunc(acts, func(x, y act) int { return bytes.Compare(x.exchange[:], y.exchange[:]) })
	for _, a := range acts {
		c[0].uuid(a.exchange)
		c[1].smallint(a.act)
		c[2].text(a.patient.LocalID)
		c[3].text(a.patient.Authority)
		c[4].smallint(int16(a.kind))
		if a.due.IsZero() {
			c[5].null()
		} else {
			c[5].time(a.due)
		}
		c[6].text(a.reason)
		c[7].bigint(int64(a.attempt))
	}
}

// workColumns are what scanWork reads, of a table or a query called w.
const workColumns = `w.exchange, w.local_id, w.authority, w.kind, w.due, w.lease, w.attempt, w.reason, w.parked `

// claimSQL claims what has been due for longest. Its order and its limit make it read work_ready
// from the front; a row that somebody is just claiming, or settling, is passed over.
//
// It does not wait for the disk: before a claim has consequences, a commit must say so, which
// waits for all that was logged before it.
const claimSQL = `with ready as materialized (
		select exchange, greatest(due, lease) as since from work
		where not parked and greatest(due, lease) <= $1
		order by parked, greatest(due, lease), exchange limit $2 for update skip locked)
	update work w set attempt = w.attempt + 1, lease = $3
	from ready r, (select set_config('synchronous_commit', 'off', true) offset 0) quick
	where w.exchange = r.exchange
	returning ` + workColumns + `, r.since`

// Claim implements [store.Queue]. It has a connection of its own, as the pool would run a
// statement twice whose answer was lost.
func (s *Store) Claim(ctx context.Context, n int, lease time.Duration) ([]store.Work, error) {
	conn, err := s.reader.Conn(ctx)
	if err != nil {
		return nil, readError("claim", err)
	}
	defer conn.Close()
	now := s.opts.Now()
	rows, err := conn.QueryContext(ctx, claimSQL, now, max(n, 0), now.Add(lease))
	if err != nil {
		return nil, readError("claim", err)
	}
	type claimed struct {
		work  store.Work
		since time.Time
	}
	var found []claimed
	err = scan(rows, func() error {
		var c claimed
		err := scanWork(rows, &c.work, &c.since)
		found = append(found, c)
		return err
	})
	if err != nil {
		return nil, readError("claim", err)
	}
	slices.SortFunc(found, func(a, b claimed) int {
		return cmp.Or(a.since.Compare(b.since), bytes.Compare(a.work.Exchange[:], b.work.Exchange[:]))
	})
	work := make([]store.Work, len(found))
	for i, c := range found {
		work[i] = c.work
	}
	return work, nil
}

// Pending implements [store.Queue].
func (s *Store) Pending(ctx context.Context, parked bool, limit int) ([]store.Work, error) {
	const q = "select " + workColumns + "from work w where parked = $1 order by parked, greatest(due, lease), exchange limit $2"
	rows, err := s.reader.QueryContext(ctx, q, parked, max(limit, 0))
	if err != nil {
		return nil, readError("pending", err)
	}
	var work []store.Work
	err = scan(rows, func() error {
		var w store.Work
		err := scanWork(rows, &w)
		work = append(work, w)
		return err
	})
	if err != nil {
		return nil, readError("pending", err)
	}
	return work, nil
}

// scanWork reads a row of workColumns, and what follows them.
func scanWork(row interface{ Scan(...any) error }, w *store.Work, more ...any) error {
	var lease sql.NullTime
	err := row.Scan(append([]any{&w.Exchange, &w.Patient.LocalID, &w.Patient.Authority, &w.Kind, &w.Due, &lease,
		&w.Attempt, &w.Reason, &w.Parked}, more...)...)
	w.Due = w.Due.UTC()
	if lease.Valid {
		w.Until = lease.Time.UTC()
	}
	return err
}

// NextDue implements [store.Queue].
func (s *Store) NextDue(ctx context.Context) (due time.Time, ok bool, err error) {
	const q = "select greatest(due, lease) from work where not parked order by parked, greatest(due, lease), exchange limit 1"
	err = s.reader.QueryRowContext(ctx, q).Scan(&due)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, false, nil
	case err != nil:
		return time.Time{}, false, readError("next due", err)
	}
	return due.UTC(), true, nil
}
