package postgres

import (
	"context"
	"database/sql"
	"sync"

	"spinetrace/store"
)

// aheadMost is how many bodies are read at once by who walks along a chain.
const aheadMost = 64

// ahead remembers the page of events that was read last, so that the bodies of those that
// follow can be read together with the one that is asked for.
type ahead struct {
	mu     sync.Mutex
	page   []bodyKey
	bodies map[bodyKey]body

	preparing sync.Mutex
	statement *sql.Stmt // nil until needed
}

// bodyKey is where an event's bodies are.
type bodyKey struct {
	exchange store.ID
	chain    string
	seq      int64
}

func keyOf(e store.Event) bodyKey { return bodyKey{e.Exchange, e.Chain, e.Seq} }

// turn begins a new page.
func (a *ahead) turn(events []store.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.page, a.bodies = a.page[:0], make(map[bodyKey]body)
	for _, e := range events {
		if e.Exchange != (store.ID{}) {
			a.page = append(a.page, keyOf(e))
		}
	}
}

// take returns a body that was read before, once; one without data, if none is kept.
func (a *ahead) take(k bodyKey) (body, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, ok := a.bodies[k]
	delete(a.bodies, k)
	return b, ok
}

// next returns k and the keys that follow it on the page. The page before k is forgotten.
func (a *ahead) next(k bodyKey) []bodyKey {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.page {
		if a.page[i] == k {
			a.page = a.page[i:]
			return append([]bodyKey(nil), a.page[:min(aheadMost, len(a.page))]...)
		}
	}
	return []bodyKey{k}
}

func (a *ahead) keep(bodies map[bodyKey]body) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bodies = bodies
}

// bodiesQuery has one way to be run, like claimsQuery.
const bodiesQuery = `select r.exchange, r.seq, b.codec, b.key_id, b.data from unnest($1::uuid[], $2::bigint[]) r (exchange, seq)
	cross join lateral (select codec, key_id, data from body
		where exchange = r.exchange and chain = (select id from chain where name = $3) and seq = r.seq limit 1) b`

// readBodies returns the bodies of events of one chain. Those that are no longer kept have no data:
// where many were dropped, they are not to be looked for again and again.
func (s *Store) readBodies(ctx context.Context, keys []bodyKey) (map[bodyKey]body, error) {
	var exchanges, seqs array
	exchanges.reset(oidUUID)
	seqs.reset(oidBigint)
	bodies := make(map[bodyKey]body, len(keys))
	for _, k := range keys {
		exchanges.uuid(k.exchange)
		seqs.bigint(k.seq)
		bodies[k] = body{}
	}
	st, err := s.bodiesStatement(ctx) //nolint:sqlclosecheck // it lives as long as the pool
	if err != nil {
		return nil, err
	}
	chain := keys[0].chain
	rows, err := st.QueryContext(ctx, exchanges.bytes(), seqs.bytes(), chain)
	if err != nil {
		return nil, err
	}
	return bodies, scan(rows, func() error {
		k, b := bodyKey{chain: chain}, body{}
		err := rows.Scan(&k.exchange, &k.seq, &b.codec, &b.key, &b.data)
		bodies[k] = b
		return err
	})
}

// bodiesStatement prepares the query once: planning it over all partitions takes longer
// than running it.
func (s *Store) bodiesStatement(ctx context.Context) (*sql.Stmt, error) {
	a := &s.ahead
	a.preparing.Lock()
	defer a.preparing.Unlock()
	if a.statement != nil {
		return a.statement, nil
	}
	st, err := s.reader.PrepareContext(ctx, bodiesQuery)
	if err == nil {
		a.statement = st
	}
	return st, err
}
