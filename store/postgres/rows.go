package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"spinetrace/store"
)

// rowEvents is about how many events a page of [Store.Rows] has.
const rowEvents = 5000

// rowQueries are what the pages of [Store.Rows] are read with. Their parameters are the first and the
// last id; of mentions, which have no index by exchange, their texts and exchanges. No edge: the page is
// the last.
type rowQueries struct{ edge, events, exchanges, replies, endings, mentions prepared }

func newRowQueries() *rowQueries {
	ends := func(table string) prepared {
		return prepared{sql: "select exchange, at, outcome, nhs_found from " + table + " where exchange >= $1 and exchange <= $2"}
	}
	return &rowQueries{
		edge: prepared{sql: fmt.Sprintf(`select exchange from event where exchange >= $1 and exchange <= $2
			order by exchange offset %d limit 1`, rowEvents-1)},
		events: prepared{sql: `select chain, seq, at, kind, exchange, doc, hash from event
			where exchange >= $1 and exchange <= $2 order by exchange, at, chain, seq`},
		exchanges: prepared{sql: "select " + exchangeColumns + " from exchange where id >= $1 and id <= $2"},
		replies:   ends("reply"),
		endings:   ends("ending"),
		mentions: prepared{sql: `select r.exchange, r.id from unnest($1::text[], $2::uuid[]) r (id, exchange)
			cross join lateral (select from mention where id = r.id and exchange = r.exchange limit 1) m`},
	}
}

// Rows implements [store.Audit]. A page is of one moment, or what is committed while it is read would
// seem to contradict itself.
func (s *Store) Rows(ctx context.Context) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		stop, pages := make(chan struct{}), make(chan rowPage)
		var reading sync.WaitGroup
		reading.Go(func() {
			defer close(pages)
			s.readRowPages(ctx, pages, stop)
		})
		defer reading.Wait()
		defer close(stop)
		for p := range pages {
			for _, r := range p.rows {
				if !yield(*r, nil) {
					return
				}
			}
			if p.err != nil {
				yield(store.Row{}, readError("rows", p.err))
				return
			}
		}
	}
}

type rowPage struct {
	rows []*store.Row
	err  error
}

// readRowPages reads one page ahead of who consumes them, like readPages.
func (s *Store) readRowPages(ctx context.Context, pages chan<- rowPage, stop <-chan struct{}) {
	q := newRowQueries()
	defer q.close()
	for first, last := (store.ID{}), (store.ID{}); last != store.LastID; first = store.NextID(last) {
		var p rowPage
		if p.rows, last, p.err = s.readRows(ctx, q, first); p.err != nil {
			last = store.LastID
		}
		select {
		case pages <- p:
		case <-stop:
			return
		}
	}
}

func (q *rowQueries) close() {
	for _, p := range []*prepared{&q.edge, &q.events, &q.exchanges, &q.replies, &q.endings, &q.mentions} {
		if p.stmt != nil {
			_ = p.stmt.Close() // what it was for is over
		}
	}
}

// readRows returns the page from an id on, and the last id that belongs to it.
func (s *Store) readRows(ctx context.Context, q *rowQueries, first store.ID) (rows []*store.Row, last store.ID, err error) {
	tx, err := s.searcher.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, last, err
	}
	r := rowReader{s: s, tx: tx, queries: q, first: first, page: make(store.RowPage)}
	err = r.read(ctx)
	return r.page.Sorted(), r.last, errors.Join(err, tx.Rollback())
}

// rowReader reads a page.
type rowReader struct {
	s           *Store
	tx          *sql.Tx
	queries     *rowQueries
	first, last store.ID
	chains      map[int16]string
	page        store.RowPage
}

func (r *rowReader) read(ctx context.Context) error {
	if err := r.readChains(ctx); err != nil {
		return err
	}
	r.last = store.LastID
	var edge store.ID
	err := r.each(ctx, &r.queries.edge, func(rows *sql.Rows) error { return rows.Scan(&edge) })
	if err != nil {
		return err
	}
	if edge != (store.ID{}) {
		r.last = edge
	}
	for _, part := range []struct {
		query *prepared
		scan  func(*sql.Rows) error
	}{
		{&r.queries.events, r.event},
		{&r.queries.exchanges, r.exchange},
		{&r.queries.replies, func(rows *sql.Rows) error { return r.end(rows, "reply") }},
		{&r.queries.endings, func(rows *sql.Rows) error { return r.end(rows, "ending") }},
	} {
		if err := r.each(ctx, part.query, part.scan); err != nil {
			return err
		}
	}
	return r.mentions(ctx)
}

func (r *rowReader) readChains(ctx context.Context) error {
	rows, err := r.tx.QueryContext(ctx, "select id, name from chain") //nolint:sqlclosecheck // scan closes them
	if err != nil {
		return err
	}
	r.chains = make(map[int16]string)
	return scan(rows, func() error {
		var id int16
		var name string
		err := rows.Scan(&id, &name)
		r.chains[id] = name
		return err
	})
}

// each runs a statement for the range. That of no exchange is that of the service itself.
func (r *rowReader) each(ctx context.Context, p *prepared, each func(*sql.Rows) error) error {
	first := r.first
	if first == (store.ID{}) {
		first = store.NextID(first)
	}
	return r.run(ctx, p, each, first[:], r.last[:])
}

func (r *rowReader) run(ctx context.Context, p *prepared, each func(*sql.Rows) error, args ...any) error {
	stmt, err := p.prepare(ctx, r.s.searcher)
	if err != nil {
		return err
	}
	rows, err := r.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...) //nolint:sqlclosecheck // the transaction's end does
	if err != nil {
		return err
	}
	return scan(rows, func() error { return each(rows) })
}

// event leaves those of no chain out, which [Store.Strays] counts.
func (r *rowReader) event(rows *sql.Rows) error {
	var e store.Event
	var chain int16
	err := scanEvent(rows, &e, &chain, &e.Seq, &e.At, &e.Kind, &e.Exchange, &e.Doc)
	name, ok := r.chains[chain]
	if e.Chain = name; ok {
		row := r.page.Of(e.Exchange)
		row.Events = append(row.Events, e)
	}
	return err
}

func (r *rowReader) exchange(rows *sql.Rows) error {
	var x store.Exchange
	var outcome sql.NullInt16
	var found sql.NullString
	var chain int16
	err := rows.Scan(&x.ID, &x.At, &x.Application, &x.Facility, &x.ControlID, &x.Type, &x.LocalID, &x.NHSNumber,
		&x.User, &outcome, &found, &chain, &x.Seq)
	x.At, x.Chain = x.At.UTC(), r.chains[chain]
	row := r.page.Of(x.ID)
	row.Opened = &x
	if outcome.Valid || found.Valid {
		row.Ends = append(row.Ends, store.End{Table: "exchange", At: x.At, Outcome: store.Outcome(outcome.Int16), NHSFound: found.String})
	}
	return err
}

func (r *rowReader) end(rows *sql.Rows, table string) error {
	var id store.ID
	var at time.Time
	end := store.End{Table: table}
	err := rows.Scan(&id, &at, &end.Outcome, &end.NHSFound)
	end.At = at.UTC()
	row := r.page.Of(id)
	row.Ends = append(row.Ends, end)
	return err
}

// mentions looks for those that the events tell of.
func (r *rowReader) mentions(ctx context.Context) error {
	var texts, exchanges array
	texts.reset(oidText)
	exchanges.reset(oidUUID)
	for row, text := range r.page.Mentioned() {
		texts.text(text)
		exchanges.uuid(row.ID)
	}
	return r.run(ctx, &r.queries.mentions, func(rows *sql.Rows) error {
		var id store.ID
		var text string
		err := rows.Scan(&id, &text)
		row := r.page.Of(id)
		row.Mentions = append(row.Mentions, text)
		return err
	}, texts.bytes(), exchanges.bytes())
}
