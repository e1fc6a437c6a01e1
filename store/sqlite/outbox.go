package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"spinetrace/store"
)

const addLetter = `insert into outbox (destination, exchange, control_id, kind, local_id, authority, basis, mark,
	at, due, lease, holder, attempt, refusals, state, reason, ended)
	values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 1, '', 0) on conflict do nothing`

// dispatch begins with what changes, and ends with the letter as an attempt left it; an operator's
// attempt is 0, and makes one that waits begin anew.
const dispatch = `update outbox set state = ?1, due = coalesce(?2, due), lease = 0, holder = 0, reason = ?3,
	attempt = iif(?4 = 0 and ?1 = 1, 0, attempt), refusals = iif(?4 = 0 and ?1 = 1, 0, refusals + ?5),
	ended = iif(?1 in (3, 4), ?6, 0)
	where position = ?7 and (?4 = 0 and state in (1, 2) or attempt = ?4 and state = 1 and holder = ?8)`

const selectLetters = `select position, destination, exchange, control_id, kind, local_id, authority, basis, mark,
	at, due, lease, attempt, refusals, state, reason from outbox `

// post does to the outbox what a commit says; late says that it came too late to close.
func (w *writer) post(at time.Time, late bool, c *call) error {
	for _, d := range c.dispatched {
		due := sql.NullInt64{Int64: d.Due.UnixMicro(), Valid: d.State == store.Waiting}
		_, err := w.dispatch.Exec(int64(d.State), due, d.Reason, d.Attempt, d.Refused, at.UnixMicro(), d.Position, w.chain)
		if err != nil {
			return err
		}
	}
	if late {
		return nil
	}
	for _, l := range c.letters {
		if err := w.add(at, l); err != nil {
			return err
		}
	}
	return nil
}

// add adds a letter, unless it is there.
func (w *writer) add(at time.Time, l store.Letter) error {
	_, err := w.addLetter.Exec(l.Destination, l.Exchange[:], l.ControlID, int64(l.Kind), l.Patient.LocalID, l.Patient.Authority,
		l.Basis[:], l.Mark[:], at.UnixMicro(), at.UnixMicro())
	return err
}

// Next implements [store.Outbox].
func (s *Store) Next(ctx context.Context, destination string, lease time.Duration) (l store.Letter, again time.Time, err error) {
	err = s.work(ctx, func(w *writer) error {
		now := w.now().UTC().Truncate(time.Microsecond)
		l, again, err = w.lendLetter(destination, now, now.Add(lease).Truncate(time.Microsecond))
		return err
	})
	if err != nil {
		return store.Letter{}, time.Time{}, err
	}
	return l, again, nil
}

// lendLetter gives a destination's first waiting letter away until a time, or says when it can be
// had. Another chain may have another letter than the first: since it took that one, an operator had
// an earlier one tried again.
func (w *writer) lendLetter(destination string, now, until time.Time) (l store.Letter, again time.Time, err error) {
	l, err = scanLetter(w.firstLetter.QueryRow(destination))
	if errors.Is(err, sql.ErrNoRows) {
		return store.Letter{}, time.Time{}, nil
	}
	if err != nil {
		return store.Letter{}, time.Time{}, err
	}
	var lease int64
	if err := w.otherClaim.QueryRow(destination, w.chain).Scan(&lease); err != nil {
		return store.Letter{}, time.Time{}, err
	}
	if again = latest(l.Due, moment(lease)); again.After(now) {
		return store.Letter{}, again, nil
	}
	l.Attempt, l.Until = l.Attempt+1, until
	_, err = w.claimLetter.Exec(until.UnixMicro(), w.chain, l.Position)
	return l, time.Time{}, err
}

// Letters implements [store.Outbox].
func (s *Store) Letters(ctx context.Context, state store.LetterState, limit int) ([]store.Letter, error) {
	return s.letters(func(r *readers) (*sql.Rows, error) {
		return r.letters.QueryContext(ctx, int64(state), max(limit, 0))
	})
}

// Letter implements [store.Outbox].
func (s *Store) Letter(ctx context.Context, position int64) (l store.Letter, ok bool, err error) {
	r, err := s.reader()
	if err != nil {
		return store.Letter{}, false, err
	}
	l, err = scanLetter(r.letter.QueryRowContext(ctx, position))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Letter{}, false, nil
	case err != nil:
		return store.Letter{}, false, explain("read a letter", err)
	}
	return l, true, nil
}

// Told implements [store.Outbox].
func (s *Store) Told(ctx context.Context, destination string, patient store.PatientKey, since time.Time, limit int) ([]store.Letter, error) {
	patient = patient.Fit()
	return s.letters(func(r *readers) (*sql.Rows, error) {
		return r.toldLetters.QueryContext(ctx, destination, patient.LocalID, patient.Authority, since.UnixMicro(), max(limit, 0))
	})
}

// Piles implements [store.Piles].
func (s *Store) Piles(ctx context.Context) ([]store.Pile, error) {
	r, err := s.reader()
	if err != nil {
		return nil, err
	}
	rows, err := r.piles.QueryContext(ctx)
	if err != nil {
		return nil, explain("count letters", err)
	}
	defer rows.Close()
	var piles []store.Pile
	for rows.Next() {
		var p store.Pile
		var oldest int64
		if err := rows.Scan(&p.Destination, &p.State, &p.Letters, &p.First, &oldest); err != nil {
			return nil, explain("count letters", err)
		}
		p.Oldest = moment(oldest)
		piles = append(piles, p)
	}
	return piles, explain("count letters", rows.Err())
}

// letters reads all letters of one statement into memory.
func (s *Store) letters(query func(*readers) (*sql.Rows, error)) ([]store.Letter, error) {
	r, err := s.reader()
	if err != nil {
		return nil, err
	}
	rows, err := query(r)
	if err != nil {
		return nil, explain("read letters", err)
	}
	defer rows.Close()
	var letters []store.Letter
	for rows.Next() {
		l, err := scanLetter(rows)
		if err != nil {
			return nil, explain("read letters", err)
		}
		letters = append(letters, l)
	}
	return letters, explain("read letters", rows.Err())
}

// scanLetter reads a row of selectLetters.
func scanLetter(row interface{ Scan(...any) error }) (l store.Letter, err error) {
	var basis, mark store.ID
	var at, due, lease int64
	err = row.Scan(&l.Position, &l.Destination, &l.Exchange, &l.ControlID, &l.Kind, &l.Patient.LocalID, &l.Patient.Authority,
		&basis, &mark, &at, &due, &lease, &l.Attempt, &l.Refusals, &l.State, &l.Reason)
	l.Basis, l.Mark = store.Print(basis), store.Print(mark)
	l.At, l.Due = moment(at), moment(due)
	if lease != 0 {
		l.Until = moment(lease)
	}
	return l, err
}

// notice is the letter that tells a destination of an item that was opened.
func notice(destination string, i store.Item, number int64) store.Letter {
	return store.Letter{
		Destination: destination, Exchange: i.Exchange, ControlID: fmt.Sprint("item ", number), Kind: store.Notice, Patient: i.Patient,
	}
}
