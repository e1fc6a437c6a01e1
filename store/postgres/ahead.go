package postgres

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"spinetrace/store"
)

// How many events have their bodies read at once by who walks along a chain: few at first, and ever
// more while most of them are asked for.
const (
	aheadLeast = 64
	aheadMost  = 1024
)

// aheadBytes bounds what a chunk's bodies may take. Those behind it are read when they are asked for.
const aheadBytes = 16 << 20

// promptly is how much older than its event the exchange of most events is at most. What is older is
// looked for by itself: otherwise everything since would be looked through.
const promptly = time.Hour

// ahead remembers the page of events that was read last, so that the bodies of those that
// follow can be read together with the one that is asked for, and those behind them meanwhile.
type ahead struct {
	mu     sync.Mutex
	page   []store.Event    // from the event whose bodies were asked for last
	bodies map[bodyKey]body // of the chunk in hand, not asked for yet
	coming *chunk           // is being read; nil: none is
	size   int              // of the last chunk

	rangeQuery, scatteredQuery prepared
}

// chunk is some events in a row, and what is kept of their bodies.
type chunk struct {
	events []store.Event
	bodies map[bodyKey]body // of an event of which nothing is kept, without data
	err    error
	done   chan struct{} // closed when they have been read
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
	a.page, a.bodies, a.coming = events, nil, nil
}

// take returns a body that was read before, once; one without data, if none is kept.
func (a *ahead) take(k bodyKey) (body, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, ok := a.bodies[k]
	delete(a.bodies, k)
	return b, ok
}

// next returns the chunk that begins with e, or the one with e that is being read: then fresh is false.
// The page before it is forgotten.
func (a *ahead) next(e store.Event) (c *chunk, fresh bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.measure()
	if c = a.coming; c != nil && c.holds(e.Seq) && keyOf(c.events[0]).chain == e.Chain {
		a.coming = nil
		return c, false
	}
	for i := range a.page {
		if keyOf(a.page[i]) == keyOf(e) {
			a.page = a.page[i:]
			return a.cut(), true
		}
	}
	return newChunk([]store.Event{e}), true
}

// measure chooses how large the next chunk is.
func (a *ahead) measure() {
	unasked := 0
	for _, b := range a.bodies {
		if b.data != nil {
			unasked++
		}
	}
	if a.size == 0 || unasked > a.size/2 {
		a.size = aheadLeast
	} else {
		a.size = min(2*a.size, aheadMost)
	}
}

// cut takes the next chunk off the page.
func (a *ahead) cut() *chunk {
	n := min(a.size, len(a.page))
	c := newChunk(a.page[:n])
	a.page = a.page[n:]
	return c
}

// keep makes c the chunk in hand, and returns the one behind it, which is to be read; nil if there is
// none.
func (a *ahead) keep(c *chunk) (following *chunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(c.events) == 1 {
		return nil // nobody walks
	}
	a.bodies, a.coming = c.bodies, nil
	if len(a.page) > 0 {
		a.coming = a.cut()
	}
	return a.coming
}

func newChunk(events []store.Event) *chunk { return &chunk{events: events, done: make(chan struct{})} }

func (c *chunk) holds(seq int64) bool {
	return c.events[0].Seq <= seq && seq <= c.events[len(c.events)-1].Seq
}

// body returns the body of e, and reads on if it has not been read yet.
func (s *Store) body(ctx context.Context, e store.Event) (body, error) {
	k := keyOf(e)
	if b, ok := s.ahead.take(k); ok {
		return b, nil
	}
	c, fresh := s.ahead.next(e)
	if fresh {
		s.readChunk(ctx, c)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return body{}, ctx.Err()
	}
	if c.err != nil {
		return body{}, c.err
	}
	b, ok := c.bodies[k]
	delete(c.bodies, k)
	s.readOn(s.ahead.keep(c))
	if !ok { // there was no room for it
		all, err := s.readScattered(ctx, []bodyKey{k})
		return all[k], err
	}
	return b, nil
}

// readOn reads a chunk while the one before it is looked at.
func (s *Store) readOn(c *chunk) {
	if c != nil && !s.start(func() { s.readChunk(forever(), c) }) { // the connection's deadlines end it
		c.err = errClosed
		close(c.done)
	}
}

// readChunk reads the bodies of a chunk.
func (s *Store) readChunk(ctx context.Context, c *chunk) {
	defer close(c.done)
	since := store.FirstID(c.events[0].At.Add(-promptly))
	var old []bodyKey
	c.bodies = make(map[bodyKey]body, len(c.events))
	var low, high store.ID // of those that are not old
	for _, e := range c.events {
		k := keyOf(e)
		switch c.bodies[k] = (body{}); {
		case e.Exchange == store.ID{}:
		case bytes.Compare(k.exchange[:], since[:]) < 0:
			old = append(old, k)
		default:
			if low == (store.ID{}) || bytes.Compare(k.exchange[:], low[:]) < 0 {
				low = k.exchange
			}
			if bytes.Compare(k.exchange[:], high[:]) > 0 {
				high = k.exchange
			}
		}
	}
	if high != (store.ID{}) {
		c.err = s.readRange(ctx, c, low, high)
	}
	if c.err == nil && len(old) > 0 {
		var found map[bodyKey]body
		found, c.err = s.readScattered(ctx, old)
		maps.Copy(c.bodies, found)
	}
}

// rangeQuery reads bodies in the order of their keys, as far as there is room. It looks through what
// other chains and the neighbours of the chunk have in the same range of ids, by the index alone.
var rangeQuery = fmt.Sprintf(`select exchange, seq, codec, key_id,
		case when sum(octet_length(data)) over (order by exchange, seq rows unbounded preceding) <= %d then data end
	from body where exchange >= $1 and exchange <= $2 and chain = (select id from chain where name = $3) and seq >= $4 and seq <= $5
	order by exchange, seq`, aheadBytes)

// readRange reads the bodies of a chunk whose exchanges are between two ids. Those for which there
// is no room are taken out of it.
func (s *Store) readRange(ctx context.Context, c *chunk, low, high store.ID) error {
	stmt, err := s.ahead.rangeQuery.prepare(ctx, s.searcher) //nolint:sqlclosecheck // it lives as long as the pool
	if err != nil {
		return err
	}
	first, last := c.events[0], c.events[len(c.events)-1]
	rows, err := stmt.QueryContext(ctx, low[:], high[:], first.Chain, first.Seq, last.Seq)
	if err != nil {
		return err
	}
	return scan(rows, func() error {
		k, b := bodyKey{chain: first.Chain}, body{}
		err := rows.Scan(&k.exchange, &k.seq, &b.codec, &b.key, &b.data)
		if c.bodies[k] = b; b.data == nil {
			delete(c.bodies, k)
		}
		return err
	})
}

// scatteredQuery has one way to be run, like claimsQuery.
const scatteredQuery = `select r.exchange, r.seq, b.codec, b.key_id, b.data from unnest($1::uuid[], $2::bigint[]) r (exchange, seq)
	cross join lateral (select codec, key_id, data from body
		where exchange = r.exchange and chain = (select id from chain where name = $3) and seq = r.seq limit 1) b`

// readScattered returns the bodies of events of one chain, wherever their exchanges are. Those that are
// no longer kept have no data: where many were dropped, they are not to be looked for again and again.
func (s *Store) readScattered(ctx context.Context, keys []bodyKey) (map[bodyKey]body, error) {
	var exchanges, seqs array
	exchanges.reset(oidUUID)
	seqs.reset(oidBigint)
	bodies := make(map[bodyKey]body, len(keys))
	for _, k := range keys {
		exchanges.uuid(k.exchange)
		seqs.bigint(k.seq)
		bodies[k] = body{}
	}
	stmt, err := s.ahead.scatteredQuery.prepare(ctx, s.searcher) //nolint:sqlclosecheck // it lives as long as the pool
	if err != nil {
		return nil, err
	}
	chain := keys[0].chain
	rows, err := stmt.QueryContext(ctx, exchanges.bytes(), seqs.bytes(), chain)
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
