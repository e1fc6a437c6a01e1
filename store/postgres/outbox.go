package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"spinetrace/store"
)

// outboxTarget is the function that changes the outbox: first the columns of what settles letters,
// then of what adds them.
var outboxTarget = target{"spinetrace_outbox", toOutbox, true, []column{
	{"positions", "bigint", oidBigint}, {"attempts", "bigint", oidBigint}, {"states", "smallint", oidSmallint},
	{"dues", "timestamptz", oidTimestamp}, {"refused", "smallint", oidSmallint}, {"reasons", "text", oidText},
	{"destinations", "text", oidText}, {"exchanges", "uuid", oidUUID}, {"control_ids", "text", oidText},
	{"kinds", "smallint", oidSmallint}, {"local_ids", "text", oidText}, {"authorities", "text", oidText},
	{"bases", "uuid", oidUUID}, {"marks", "uuid", oidUUID}, {"ats", "timestamptz", oidTimestamp}}, ""}

// outboxRows are what commits do to the outbox.
type outboxRows struct {
	dispatched []store.Dispatch
	letters    []store.Letter
}

// outboxOf returns what c does to the outbox, as it is stored.
func outboxOf(c store.Commit) (r outboxRows) {
	for _, d := range c.Dispatched {
		r.dispatched = append(r.dispatched, d.Fit())
	}
	for _, l := range c.Letters {
		r.letters = append(r.letters, l.Fit())
	}
	return r
}

func (r *outboxRows) reset() { r.dispatched, r.letters = r.dispatched[:0], r.letters[:0] }

// add adds what a commit does that ends so.
func (r *outboxRows) add(of outboxRows, status store.Status) {
	r.dispatched = append(r.dispatched, of.dispatched...)
	if status == store.Kept {
		r.letters = append(r.letters, of.letters...)
	}
}

// encode appends the rows to the columns. Letters are settled by position: two instances that change
// the same rows in different orders would wait for each other. What settles the same letter stays in
// order, and so do the letters that are added.
func (r *outboxRows) encode(c []array, at time.Time) {
	slices.SortStableFunc(r.dispatched, func(x, y store.Dispatch) int { return cmp.Compare(x.Position, y.Position) })
	for _, d := range r.dispatched {
		encodeDispatch(c, d)
		encodeLetter(c[6:], store.Letter{}, at)
	}
	for _, l := range r.letters {
		encodeDispatch(c, store.Dispatch{})
		encodeLetter(c[6:], l, at)
	}
}

// encodeDispatch appends d to its columns; the zero Dispatch is none.
func encodeDispatch(c []array, d store.Dispatch) {
	if d.Position == 0 {
		c[0].null()
	} else {
		c[0].bigint(d.Position)
	}
	c[1].bigint(int64(d.Attempt))
	c[2].smallint(int16(d.State))
	if d.State == store.Waiting {
		c[3].time(d.Due)
	} else {
		c[3].null()
	}
	if d.Refused {
		c[4].smallint(1)
	} else {
		c[4].smallint(0)
	}
	c[5].text(d.Reason)
}

// encodeLetter appends l to its columns.
func encodeLetter(c []array, l store.Letter, at time.Time) {
	c[0].text(l.Destination)
	c[1].uuid(l.Exchange)
	c[2].text(l.ControlID)
	c[3].smallint(int16(l.Kind))
	c[4].text(l.Patient.LocalID)
	c[5].text(l.Patient.Authority)
	c[6].uuid(l.Basis)
	c[7].uuid(l.Mark)
	c[8].time(at)
}

// selectLetters is followed by what to select from, which is called l, and a condition.
const selectLetters = `select l.position, l.destination, l.exchange, l.control_id, l.kind, l.local_id, l.authority, l.basis, l.mark,
	l.at, l.due, l.lease, l.attempt, l.refusals, l.state, l.reason from `

// nextSQL gives no letter that another chain could have: spinetrace_next looks at a destination for
// one taker at a time. Unlike a claim of work this one waits for the disk: the letter is sent
// without another commit in between, and a claim that was lost would let another instance send
// at the same time.
const nextSQL = selectLetters + `spinetrace_next($1, (select id from chain where name = $2), $3, $4) l`

// Next implements [store.Outbox]. It has a connection of its own, as the pool would run a statement
// twice whose answer was lost.
func (s *Store) Next(ctx context.Context, destination string, lease time.Duration) (l store.Letter, again time.Time, err error) {
	conn, err := s.reader.Conn(ctx)
	if err != nil {
		return store.Letter{}, time.Time{}, readError("next letter", err)
	}
	defer conn.Close()
	now := s.opts.Now().Truncate(time.Microsecond)
	l, err = scanLetter(conn.QueryRowContext(ctx, nextSQL, destination, s.opts.Chain, now, now.Add(lease)))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Letter{}, time.Time{}, nil
	case err != nil:
		return store.Letter{}, time.Time{}, readError("next letter", err)
	case l.Due.After(now):
		return store.Letter{}, l.Due, nil
	}
	return l, time.Time{}, nil
}

// Letters implements [store.Outbox].
func (s *Store) Letters(ctx context.Context, state store.LetterState, limit int) ([]store.Letter, error) {
	const q = selectLetters + "outbox l where state = $1 order by position limit $2"
	return s.letters(ctx, "letters", q, int16(state), max(limit, 0))
}

// Letter implements [store.Outbox].
func (s *Store) Letter(ctx context.Context, position int64) (l store.Letter, ok bool, err error) {
	l, err = scanLetter(s.reader.QueryRowContext(ctx, selectLetters+"outbox l where position = $1", position))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Letter{}, false, nil
	case err != nil:
		return store.Letter{}, false, readError("letter", err)
	}
	return l, true, nil
}

// Told implements [store.Outbox].
func (s *Store) Told(ctx context.Context, destination string, patient store.PatientKey, since time.Time, limit int) ([]store.Letter, error) {
	const q = selectLetters + `outbox l where kind = 1 and destination = $1 and local_id = $2 and authority = $3 and at >= $4
		order by destination, local_id, authority, position desc limit $5`
	patient = patient.Fit()
	return s.letters(ctx, "told", q, destination, patient.LocalID, patient.Authority, since, max(limit, 0))
}

// Piles implements [store.Piles].
func (s *Store) Piles(ctx context.Context) ([]store.Pile, error) {
	const q = `select destination, state, count(*), min(position), min(at) from outbox where state in (1, 2)
		group by destination, state order by destination, state`
	rows, err := s.reader.QueryContext(ctx, q)
	if err != nil {
		return nil, readError("piles", err)
	}
	var piles []store.Pile
	err = scan(rows, func() error {
		var p store.Pile
		err := rows.Scan(&p.Destination, &p.State, &p.Letters, &p.First, &p.Oldest)
		p.Oldest = p.Oldest.UTC()
		piles = append(piles, p)
		return err
	})
	if err != nil {
		return nil, readError("piles", err)
	}
	return piles, nil
}

func (s *Store) letters(ctx context.Context, what, query string, args ...any) ([]store.Letter, error) {
	rows, err := s.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, readError(what, err)
	}
	var letters []store.Letter
	err = scan(rows, func() error {
		l, err := scanLetter(rows)
		letters = append(letters, l)
		return err
	})
	if err != nil {
		return nil, readError(what, err)
	}
	return letters, nil
}

// scanLetter reads a row of selectLetters.
func scanLetter(row interface{ Scan(...any) error }) (l store.Letter, err error) {
	var basis, mark store.ID
	var lease sql.NullTime
	err = row.Scan(&l.Position, &l.Destination, &l.Exchange, &l.ControlID, &l.Kind, &l.Patient.LocalID, &l.Patient.Authority,
		&basis, &mark, &l.At, &l.Due, &lease, &l.Attempt, &l.Refusals, &l.State, &l.Reason)
	l.Basis, l.Mark = store.Print(basis), store.Print(mark)
	l.At, l.Due = l.At.UTC(), l.Due.UTC()
	if lease.Valid {
		l.Until = lease.Time.UTC()
	}
	return l, err
}
