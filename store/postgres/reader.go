package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"spinetrace/store"
)

// page is how many events one statement reads: a long snapshot would keep the database from
// cleaning up behind every update.
const page = 10_000

// Heads implements [store.Audit].
func (s *Store) Heads(ctx context.Context) ([]store.Head, error) {
	const q = `select c.name, e.seq, e.at, e.hash from chain c
		cross join lateral (select seq, at, hash from event where chain = c.id order by seq desc limit 1) e
		order by c.name`
	rows, err := s.reader.QueryContext(ctx, q)
	if err != nil {
		return nil, readError("heads", err)
	}
	var heads []store.Head
	err = scan(rows, func() error {
		var h store.Head
		var hash []byte
		if err := rows.Scan(&h.Chain, &h.Seq, &h.At, &hash); err != nil {
			return err
		}
		h.At = h.At.UTC()
		copy(h.Hash[:], hash)
		heads = append(heads, h)
		return nil
	})
	if err != nil {
		return nil, readError("heads", err)
	}
	return heads, nil
}

// Events implements [store.Audit].
func (s *Store) Events(ctx context.Context, q store.Query) iter.Seq2[store.Event, error] {
	if q.Exchange != (store.ID{}) {
		return s.exchangeEvents(ctx, q.Exchange)
	}
	if q.Limit > 0 {
		return s.someEvents(ctx, q)
	}
	return s.chainEvents(ctx, q.Chain, q.From)
}

// selectEvents is followed by its condition.
const selectEvents = `select c.name, e.seq, e.at, e.kind, e.exchange, e.doc, e.hash from event e join chain c on c.id = e.chain where `

func (s *Store) exchangeEvents(ctx context.Context, id store.ID) iter.Seq2[store.Event, error] {
	return s.listed(ctx, selectEvents+"e.exchange = $1 order by e.at, e.chain, e.seq", id[:])
}

// someEvents reads a few events of a chain, and not the page that they are in.
func (s *Store) someEvents(ctx context.Context, q store.Query) iter.Seq2[store.Event, error] {
	const of = selectEvents + "e.chain = (select id from chain where name = $1) and e.seq >= $2 order by e.seq limit $3"
	return s.listed(ctx, of, q.Chain, q.From, q.Limit)
}

// listed returns the events of a query, all of which are read before the first is handed out.
func (s *Store) listed(ctx context.Context, query string, args ...any) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		rows, err := s.reader.QueryContext(ctx, query, args...)
		var events []store.Event
		if err == nil {
			err = scan(rows, func() error {
				var e store.Event
				err := scanEvent(rows, &e, &e.Chain, &e.Seq, &e.At, &e.Kind, &e.Exchange, &e.Doc)
				events = append(events, e)
				return err
			})
		}
		if err != nil {
			yield(store.Event{}, readError("events", err))
			return
		}
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (s *Store) chainEvents(ctx context.Context, chain string, from int64) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		stop, pages := make(chan struct{}), make(chan eventPage)
		var reading sync.WaitGroup
		reading.Go(func() {
			defer close(pages)
			s.readPages(ctx, chain, from, pages, stop)
		})
		defer reading.Wait()
		defer close(stop)
		for p := range pages {
			s.ahead.turn(p.events)
			for _, e := range p.events {
				if !yield(e, nil) {
					return
				}
			}
			if p.err != nil {
				yield(store.Event{}, readError("events", p.err))
				return
			}
		}
	}
}

type eventPage struct {
	events []store.Event
	err    error
}

// readPages reads a chain, one page ahead of who consumes it, until its end, an error, or
// stop.
func (s *Store) readPages(ctx context.Context, chain string, from int64, pages chan<- eventPage, stop <-chan struct{}) {
	var id int16
	err := s.reader.QueryRowContext(ctx, "select id from chain where name = $1", chain).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return
	}
	since := time.Unix(0, 0)
	for last := false; !last; {
		var events []store.Event
		if err == nil {
			events, err = s.readPage(ctx, chain, id, from, since)
		}
		if last = err != nil || len(events) < page; !last {
			end := events[len(events)-1]
			from, since = end.Seq+1, end.At
		}
		select {
		case pages <- eventPage{events, err}:
		case <-stop:
			return
		}
	}
}

// pageQuery reads a page of a chain. Time never runs backwards along one: at spares the partitions
// already read.
var pageQuery = fmt.Sprintf(`select seq, at, kind, exchange, doc, hash from event
	where chain = $1 and seq >= $2 and at >= $3 order by seq limit %d`, page)

// readPage returns a page, all of it or nothing. The statement is prepared, because the answers to
// others are in text, and because planning it over all partitions takes as long as reading some
// hundred events.
func (s *Store) readPage(ctx context.Context, chain string, id int16, from int64, since time.Time) ([]store.Event, error) {
	stmt, err := s.pageQuery.prepare(ctx, s.searcher) //nolint:sqlclosecheck // it lives as long as the pool
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, id, from, since)
	if err != nil {
		return nil, err
	}
	events := make([]store.Event, 0, page)
	err = scan(rows, func() error {
		e := store.Event{Chain: chain}
		err := scanEvent(rows, &e, &e.Seq, &e.At, &e.Kind, &e.Exchange, &e.Doc)
		events = append(events, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// scanEvent reads a row into the columns of e, of which the hash is the last.
func scanEvent(rows *sql.Rows, e *store.Event, columns ...any) error {
	var hash sql.RawBytes
	err := rows.Scan(append(columns, &hash)...)
	e.At = e.At.UTC()
	copy(e.Hash[:], hash)
	return err
}

// Parts implements [store.Audit].
func (s *Store) Parts(ctx context.Context, e store.Event) (parts []store.Part, ok bool, err error) {
	b, err := s.body(ctx, e)
	if err != nil {
		return nil, false, bodiesError("parts", err)
	}
	if b.data == nil {
		return nil, false, nil
	}
	if parts, err = s.unpack(e.Exchange, e.Chain, b); err != nil {
		return nil, false, bodyError("parts", err)
	}
	return parts, true, nil
}

// Answer implements [store.Journal].
func (s *Store) Answer(ctx context.Context, exchange store.ID) (reply []byte, ok bool, err error) {
	// A body that belongs to no event of a reply is nobody's answer, whoever put it there. The time of the
	// exchange spares the months before it.
	const q = `select c.name, b.codec, b.key_id, b.data from body b join chain c on c.id = b.chain
		join event e on e.exchange = b.exchange and e.chain = b.chain and e.seq = b.seq
		where b.exchange = $1 and e.at >= $2 and e.kind in ($3, $4) order by b.chain, b.seq`
	rows, err := s.reader.QueryContext(ctx, q, exchange[:], store.Began(exchange).Add(-time.Hour), int16(store.Replied), int16(store.Exchanged))
	if err != nil {
		return nil, false, bodiesError("answer", err)
	}
	var damaged error // of a body that may be the answer's
	err = scan(rows, func() error {
		var chain string
		var b body
		if err := rows.Scan(&chain, &b.codec, &b.key, &b.data); err != nil {
			return err
		}
		parts, err := s.unpack(exchange, chain, b)
		damaged = cmp.Or(damaged, err)
		if data, found := store.FindPart(parts, store.Reply); found {
			reply, ok = data, true
		}
		return nil
	})
	if err != nil {
		return nil, false, readError("answer", err)
	}
	if !ok && damaged != nil {
		return nil, false, bodyError("answer", damaged)
	}
	return reply, ok, nil
}

// bodyError says what was being done when a body could not be taken apart.
func bodyError(doing string, err error) error { return fmt.Errorf("postgres: %s: %w", doing, err) }
