package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"iter"

	"spinetrace/store"
)

// The statements of a page of [Store.Rows]. Their parameters are the first and the last id; of a mention,
// which has no index by exchange, its text and exchange.
const (
	rowEdge      = `select exchange from event where exchange >= ? and exchange <= ? order by exchange limit 1 offset 999`
	rowEvents    = selectEvents + `where e.exchange >= ? and e.exchange <= ? order by e.exchange, e.at, c.name, e.seq`
	rowExchanges = `select x.id, x.at, x.application, x.facility, x.control_id, x.type, x.local_id, x.nhs_sent, x.asker,
		coalesce(c.name, ''), x.seq from exchange x left join chain c on c.id = x.chain where x.id >= ? and x.id <= ?`
	rowReplies = `select r.exchange, r.at, r.outcome, r.nhs_found, coalesce(c.name, ''), r.seq
		from reply r left join chain c on c.id = r.chain where r.exchange >= ? and r.exchange <= ?`
	rowEndings = `select exchange, at, outcome, nhs_found, '', 0 from ending where exchange >= ? and exchange <= ?`
	rowMention = `select exists (select 1 from mention where id = ? and exchange = ?)`
)

// Rows implements [store.Audit]. A page is of one moment, or what is committed while it is read would
// seem to contradict itself.
func (s *Store) Rows(ctx context.Context) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		for first, last := (store.ID{}), (store.ID{}); last != store.LastID; first = store.NextID(last) {
			var rows []*store.Row
			var err error
			rows, last, err = s.readRows(ctx, first)
			if err != nil {
				yield(store.Row{}, explain("read rows", err))
				return
			}
			for _, r := range rows {
				if !yield(*r, nil) {
					return
				}
			}
		}
	}
}

// readRows returns the page from an id on, and the last id that belongs to it.
func (s *Store) readRows(ctx context.Context, first store.ID) (rows []*store.Row, last store.ID, err error) {
	r, err := s.reader()
	if err != nil {
		return nil, last, err
	}
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, last, err
	}
	p := rowReader{tx: tx, first: first, last: store.LastID, page: make(store.RowPage)}
	err = p.read(ctx)
	return p.page.Sorted(), p.last, errors.Join(err, tx.Rollback())
}

// rowReader reads a page.
type rowReader struct {
	tx          *sql.Tx
	first, last store.ID
	page        store.RowPage
}

func (r *rowReader) read(ctx context.Context) error {
	events := r.first
	if events == (store.ID{}) {
		events = store.NextID(events) // those of no exchange are the service's own
	}
	err := r.tx.QueryRowContext(ctx, rowEdge, events[:], r.last[:]).Scan(&r.last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) { // it is the last page
		return err
	}
	for _, part := range []struct {
		query string
		first store.ID
		scan  func(*sql.Rows) error
	}{
		{rowEvents, events, r.event},
		{rowExchanges, r.first, r.exchange},
		{rowReplies, r.first, func(rows *sql.Rows) error { return r.end(rows, "reply") }},
		{rowEndings, r.first, func(rows *sql.Rows) error { return r.end(rows, "ending") }},
	} {
		if err := r.each(ctx, part.query, part.first, part.scan); err != nil {
			return err
		}
	}
	return r.mentions(ctx)
}

func (r *rowReader) each(ctx context.Context, query string, first store.ID, scan func(*sql.Rows) error) error {
	rows, err := r.tx.QueryContext(ctx, query, first[:], r.last[:])
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (r *rowReader) event(rows *sql.Rows) error {
	e, err := scanEvent(rows)
	row := r.page.Of(e.Exchange)
	row.Events = append(row.Events, e)
	return err
}

func (r *rowReader) exchange(rows *sql.Rows) error {
	var x store.Exchange
	var at int64
	err := rows.Scan(&x.ID, &at, &x.Application, &x.Facility, &x.ControlID, &x.Type, &x.LocalID, &x.NHSNumber, &x.User, &x.Chain, &x.Seq)
	x.At = moment(at)
	r.page.Of(x.ID).Opened = &x
	return err
}

func (r *rowReader) end(rows *sql.Rows, table string) error {
	var id store.ID
	var at int64
	end := store.End{Table: table, Placed: table == "reply"}
	err := rows.Scan(&id, &at, &end.Outcome, &end.NHSFound, &end.Chain, &end.Seq)
	end.At = moment(at)
	row := r.page.Of(id)
	row.Ends = append(row.Ends, end)
	return err
}

// mentions looks for those that the events tell of.
func (r *rowReader) mentions(ctx context.Context) error {
	stmt, err := r.tx.PrepareContext(ctx, rowMention)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for row, text := range r.page.Mentioned() {
		var there bool
		if err := stmt.QueryRowContext(ctx, text, row.ID[:]).Scan(&there); err != nil {
			return err
		}
		if there {
			row.Mentions = append(row.Mentions, text)
		}
	}
	return nil
}
