package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"iter"
	"time"

	"spinetrace/store"
)

// pageRows is how many events one statement reads. They are in memory before the first is
// handed out: a reader that takes its time must not keep the write-ahead log from being
// written back.
const pageRows = 1000

// readerConns is how many may read at the same time.
const readerConns = 4

// readers are the connections that only read, and their statements.
type readers struct {
	db                                    *sql.DB
	answer, parts, heads, chain, exchange *sql.Stmt
	patient, named, holders, entries      *sql.Stmt
	merged                                *sql.Stmt
	pending, nextDue                      *sql.Stmt
	letters, letter, toldLetters, piles   *sql.Stmt
	item                                  *sql.Stmt
	open, past, openOf, pastOf            *sql.Stmt
}

const selectEvents = `select c.name, e.seq, e.at, e.kind, e.exchange, e.doc, e.hash from event e join chain c on c.id = e.chain `

func (r *readers) statements() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&r.answer: `select c.name, b.codec, b.key_id, b.data from reply r join body b
			on b.exchange = r.exchange and b.chain = r.chain and b.seq = r.seq join chain c on c.id = b.chain where r.exchange = ?`,
		&r.parts: `select c.name, b.codec, b.key_id, b.data from chain c join body b on b.chain = c.id
			where c.name = ? and b.exchange = ? and b.seq = ?`,
		&r.heads:    selectHeads + `where e.seq is not null order by c.name`,
		&r.chain:    selectEvents + `where c.name = ? and e.seq >= ? order by e.seq limit ?`,
		&r.exchange: selectEvents + `where e.exchange = ? order by e.at, c.name, e.seq`,
		&r.patient:  selectPatients + `where local_id = ? and authority = ?`,
		&r.named:    selectPatients + `where local_id = ? order by authority limit ?`,
		// The conditions that exclude the empty number let the indexes be used, which leave it out.
		&r.holders: selectPatients + `where told_nhs = ? and told_nhs <> '' or found_nhs = ? and found_nhs <> ''
			order by local_id, authority limit ?`,
		&r.merged:  selectPatients + `where into_local_id = ? and into_local_id <> '' order by local_id, authority limit ?`,
		&r.entries: selectPatients + `where (local_id, authority) > (?, ?) order by local_id, authority limit ?`,
		&r.pending: selectWork + `where parked = ? order by max(due, lease), exchange limit ?`,
		&r.nextDue: `select max(due, lease) from work where parked = 0 order by max(due, lease), exchange limit 1`,
		&r.letters: selectLetters + `where state = ? order by position limit ?`,
		&r.letter:  selectLetters + `where position = ?`,
		&r.toldLetters: selectLetters + `where kind = 1 and destination = ? and local_id = ? and authority = ? and at >= ?
			order by position desc limit ?`,
		&r.piles: `select destination, state, count(*), min(position), min(at) from outbox where state in (1, 2)
			group by destination, state order by destination, state`,
		&r.open:   selectItems + `where closed is null ` + andSelected,
		&r.past:   selectItems + `where closed is not null ` + andSelected,
		&r.openOf: selectItems + `where closed is null and local_id = ? and authority = ? ` + andSelected,
		&r.pastOf: selectItems + `where closed is not null and local_id = ? and authority = ? ` + andSelected,
		&r.item:   selectItems + `where number = ?`,
	}
}

func openReaders(ctx context.Context, path string) (*readers, error) {
	db, err := sql.Open("sqlite", dataSource(path, "query_only(1)"))
	if err != nil {
		return nil, explain("open", err)
	}
	db.SetMaxOpenConns(readerConns)
	db.SetMaxIdleConns(readerConns)
	r := &readers{db: db}
	for stmt, query := range r.statements() {
		if *stmt, err = db.PrepareContext(ctx, query); err != nil { //nolint:sqlclosecheck // shut closes it
			return nil, errors.Join(explain("open", err), r.shut())
		}
	}
	return r, nil
}

func (r *readers) shut() error {
	var errs []error
	for stmt := range r.statements() {
		if *stmt != nil {
			errs = append(errs, (*stmt).Close())
		}
	}
	return explain("close", errors.Join(append(errs, r.db.Close())...))
}

// reader returns the connections, if there are any.
func (s *Store) reader() (*readers, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers == nil {
		return nil, unavailable(s.down)
	}
	return s.readers, nil
}

// Answer implements [store.Journal].
func (s *Store) Answer(ctx context.Context, exchange store.ID) ([]byte, bool, error) {
	r, err := s.reader()
	if err != nil {
		return nil, false, err
	}
	parts, ok, err := s.unpack(exchange, r.answer.QueryRowContext(ctx, exchange[:]))
	if !ok || err != nil {
		return nil, false, err
	}
	reply, ok := store.FindPart(parts, store.Reply)
	return reply, ok, nil
}

// Parts implements [store.Audit].
func (s *Store) Parts(ctx context.Context, e store.Event) ([]store.Part, bool, error) {
	r, err := s.reader()
	if err != nil {
		return nil, false, err
	}
	return s.unpack(e.Exchange, r.parts.QueryRowContext(ctx, e.Chain, e.Exchange[:], e.Seq))
}

// unpack takes a stored value apart; ok is false if there is none.
func (s *Store) unpack(exchange store.ID, row *sql.Row) (parts []store.Part, ok bool, err error) {
	var chain string
	var b packed
	err = row.Scan(&chain, &b.codec, &b.key, &b.data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err == nil {
		b.data, err = s.o.BodyKeys.Open(b.key, b.data, store.BodyPlace(exchange, chain))
	}
	if err == nil {
		parts, err = s.packer.Unpack(b.codec, b.data)
	}
	return parts, err == nil, explain("read a body", err)
}

const selectHeads = `select c.id, c.name, e.seq, e.at, e.hash from chain c left join event e
	on e.chain = c.id and e.seq = (select max(seq) from event where chain = c.id) `

// Count implements [store.Audit].
func (s *Store) Count(ctx context.Context, chain string, upTo int64) (n int64, err error) {
	r, err := s.reader()
	if err != nil {
		return 0, err
	}
	const q = "select count(*) from event where chain = (select id from chain where name = ?) and seq <= ?"
	err = r.db.QueryRowContext(ctx, q, chain, upTo).Scan(&n)
	return n, explain("count", err)
}

// strays counts what belongs to nothing: events of no chain, bodies of no event, exchanges that cannot
// be searched for. The last two take long, and are not looked for unless the parameter is 1.
const strays = `select (select count(*) from event where chain not in (select id from chain)),
	case when ?1 then (select count(*) from body b where not exists (
		select 1 from event e where e.chain = b.chain and e.seq = b.seq and e.exchange = b.exchange)) else 0 end,
	case when ?1 then (select count(distinct exchange) from event e where exchange <> zeroblob(16)
		and not exists (select 1 from exchange x where x.id = e.exchange)) else 0 end`

// Strays implements [store.Audit].
func (s *Store) Strays(ctx context.Context, bodies bool) (found store.Strays, err error) {
	r, err := s.reader()
	if err != nil {
		return found, err
	}
	err = r.db.QueryRowContext(ctx, strays, bodies).Scan(&found.Events, &found.Bodies, &found.Exchanges)
	return found, explain("count strays", err)
}

// Heads implements [store.Audit].
func (s *Store) Heads(ctx context.Context) ([]store.Head, error) {
	r, err := s.reader()
	if err != nil {
		return nil, err
	}
	rows, err := r.heads.QueryContext(ctx)
	if err != nil {
		return nil, explain("read the heads", err)
	}
	defer rows.Close()
	var heads []store.Head
	for rows.Next() {
		_, head, err := scanHead(rows)
		if err != nil {
			return nil, explain("read the heads", err)
		}
		heads = append(heads, head)
	}
	return heads, explain("read the heads", rows.Err())
}

// scanHead reads a row of selectHeads: the chain's id, and how far it has got.
func scanHead(row interface{ Scan(...any) error }) (id int64, head store.Head, err error) {
	var seq, at sql.NullInt64 // null for a chain without events
	var hash []byte
	err = row.Scan(&id, &head.Chain, &seq, &at, &hash)
	if err == nil && seq.Valid {
		head.Seq, head.At = seq.Int64, moment(at.Int64)
		copy(head.Hash[:], hash)
	}
	return id, head, err
}

// Events implements [store.Audit]. A chain is read in pages, each of them its own statement.
func (s *Store) Events(ctx context.Context, q store.Query) iter.Seq2[store.Event, error] {
	if q.Exchange != (store.ID{}) {
		return func(yield func(store.Event, error) bool) {
			events, err := s.page(func(r *readers) (*sql.Rows, error) {
				return r.exchange.QueryContext(ctx, q.Exchange[:])
			})
			deliver(yield, events, err)
		}
	}
	return func(yield func(store.Event, error) bool) {
		rows := cmp.Or(max(q.Limit, 0), pageRows)
		for from := q.From; ; {
			page, err := s.page(func(r *readers) (*sql.Rows, error) {
				return r.chain.QueryContext(ctx, q.Chain, from, rows)
			})
			if !deliver(yield, page, err) || len(page) < rows || q.Limit > 0 {
				return
			}
			from = page[len(page)-1].Seq + 1
		}
	}
}

// deliver yields the events or the error, and says whether more are wanted.
func deliver(yield func(store.Event, error) bool, events []store.Event, err error) bool {
	if err != nil {
		yield(store.Event{}, err)
		return false
	}
	for _, e := range events {
		if !yield(e, nil) {
			return false
		}
	}
	return true
}

// page reads all events of one statement into memory.
func (s *Store) page(query func(*readers) (*sql.Rows, error)) ([]store.Event, error) {
	r, err := s.reader()
	if err != nil {
		return nil, err
	}
	rows, err := query(r)
	if err != nil {
		return nil, explain("read events", err)
	}
	defer rows.Close()
	var events []store.Event
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return nil, explain("read events", err)
		}
		events = append(events, e)
	}
	return events, explain("read events", rows.Err())
}

// scanEvent reads a row of selectEvents.
func scanEvent(rows *sql.Rows) (e store.Event, err error) {
	var at int64
	var hash sql.RawBytes
	err = rows.Scan(&e.Chain, &e.Seq, &at, &e.Kind, &e.Exchange, &e.Doc, &hash)
	e.At = moment(at)
	copy(e.Hash[:], hash)
	return e, err
}

func moment(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
