package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"spinetrace/store"
)

const openItem = `insert into item (kind, subject, local_id, authority, nhs_number, exchange, doc, opened, latest, times)
	values (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`

const countItem = `update item set nhs_number = ?, exchange = ?, doc = ?, latest = max(latest, ?), times = times + 1
	where kind = ? and subject = ? and closed is null`

const closeItem = `update item set closed = ?, closed_by = ?, why = ? where number = ? and closed is null`

const selectItems = `select number, kind, subject, local_id, authority, nhs_number, exchange, doc,
	opened, latest, times, closed, coalesce(closed_by, ''), coalesce(why, '') from item `

const andSelected = `and number > ? and ? in (0, kind) order by number limit ?`

// note does to the items what a commit says; late says that it came too late to close.
func (w *writer) note(at time.Time, late bool, c *call) error {
	for _, one := range c.Closures {
		if _, err := w.closeItem.Exec(at.UnixMicro(), one.By, one.Why, one.Number); err != nil {
			return err
		}
	}
	if late {
		return nil
	}
	for _, i := range c.items {
		if err := w.raise(at, i); err != nil {
			return err
		}
	}
	return nil
}

// raise counts an item that is open, or opens it and tells of it.
func (w *writer) raise(at time.Time, i store.Item) error {
	n, err := changed(w.countItem.Exec(i.NHSNumber, i.Exchange[:], i.Doc, at.UnixMicro(), int64(i.Kind), i.Subject))
	if err != nil || n > 0 {
		return err
	}
	r, err := w.openItem.Exec(int64(i.Kind), i.Subject, i.Patient.LocalID, i.Patient.Authority, i.NHSNumber, i.Exchange[:], i.Doc,
		at.UnixMicro(), at.UnixMicro())
	if err != nil {
		return err
	}
	number, err := r.LastInsertId()
	if err != nil {
		return err
	}
	for _, destination := range i.Notify {
		if err := w.add(at, notice(destination, i, number)); err != nil {
			return err
		}
	}
	return nil
}

// Items implements [store.Backlog].
func (s *Store) Items(ctx context.Context, q store.ItemQuery) ([]store.Item, error) {
	r, err := s.reader()
	if err != nil {
		return nil, err
	}
	rows, err := r.selected(ctx, q)
	if err != nil {
		return nil, explain("read items", err)
	}
	defer rows.Close()
	var items []store.Item
	for rows.Next() {
		i, err := scanItem(rows)
		if err != nil {
			return nil, explain("read items", err)
		}
		items = append(items, i)
	}
	return items, explain("read items", rows.Err())
}

// selected runs the statement that has an index for what the query selects by.
func (r *readers) selected(ctx context.Context, q store.ItemQuery) (*sql.Rows, error) {
	stmt, stmtOf := r.open, r.openOf
	if q.Closed {
		stmt, stmtOf = r.past, r.pastOf
	}
	args := []any{q.After, int64(q.Kind), max(q.Limit, 0)}
	if of := q.Patient.Fit(); of != (store.PatientKey{}) {
		return stmtOf.QueryContext(ctx, slices.Insert(args, 0, any(of.LocalID), any(of.Authority))...)
	}
	return stmt.QueryContext(ctx, args...)
}

// Item implements [store.Backlog].
func (s *Store) Item(ctx context.Context, number int64) (i store.Item, ok bool, err error) {
	r, err := s.reader()
	if err != nil {
		return store.Item{}, false, err
	}
	i, err = scanItem(r.item.QueryRowContext(ctx, number))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Item{}, false, nil
	case err != nil:
		return store.Item{}, false, explain("read an item", err)
	}
	return i, true, nil
}

// scanItem reads a row of selectItems.
func scanItem(row interface{ Scan(...any) error }) (i store.Item, err error) {
	var opened, last int64
	var closed sql.NullInt64
	err = row.Scan(&i.Number, &i.Kind, &i.Subject, &i.Patient.LocalID, &i.Patient.Authority, &i.NHSNumber, &i.Exchange, &i.Doc,
		&opened, &last, &i.Times, &closed, &i.By, &i.Why)
	i.Opened, i.Latest = moment(opened), moment(last)
	if closed.Valid {
		i.Closed = moment(closed.Int64)
	}
	return i, err
}
