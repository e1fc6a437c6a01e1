package postgres

import (
	"context"
	"database/sql"
	"sync"

	"spinetrace/store"
)

// together answers like questions of many callers with one statement: every message asks the
// index before it is committed, and a round trip for each would cost more than the commit.
type together[K, V any] struct {
	// ask answers questions, in their order.
	ask func(ctx context.Context, keys []K) ([]V, error)

	mu      sync.Mutex
	waiting []*question[K, V]
	busy    bool // somebody is asking
}

type question[K, V any] struct {
	key    K
	answer V
	err    error
	done   chan struct{} // closed when the answer is there
}

// mostTogether bounds how many questions one statement answers.
const mostTogether = 256

// get answers key. If nobody is asking, start makes run be called until nobody waits; it says
// no when the store is closed.
func (t *together[K, V]) get(ctx context.Context, key K, start func(run func()) bool) (answer V, err error) {
	q := &question[K, V]{key: key, done: make(chan struct{})}
	t.mu.Lock()
	first := !t.busy
	if first && !start(t.run) {
		t.mu.Unlock()
		return answer, errClosed
	}
	t.waiting, t.busy = append(t.waiting, q), true
	t.mu.Unlock()
	select {
	case <-q.done:
		return q.answer, q.err
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

func (t *together[K, V]) run() {
	for batch := t.take(); batch != nil; batch = t.take() {
		t.answer(batch)
	}
}

// take returns those who wait, and notes that nobody asks if there are none.
func (t *together[K, V]) take() []*question[K, V] {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.waiting), mostTogether)
	if n == 0 {
		t.waiting, t.busy = nil, false
		return nil
	}
	batch := t.waiting[:n:n]
	t.waiting = t.waiting[n:]
	return batch
}

func (t *together[K, V]) answer(batch []*question[K, V]) {
	keys := make([]K, len(batch))
	for i, q := range batch {
		keys[i] = q.key
	}
	answers, err := t.ask(forever(), keys) // the connection's deadlines end it
	for i, q := range batch {
		if q.err = err; err == nil {
			q.answer = answers[i]
		}
		close(q.done)
	}
}

// start runs what reads on behalf of callers, unless the store is closed: Close waits for what
// runs, and nothing may begin to run then.
func (s *Store) start(run func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Go(run)
	}
	return !s.closed
}

// Patient implements [store.Index].
func (s *Store) Patient(ctx context.Context, key store.PatientKey) (p store.Patient, ok bool, err error) {
	found, err := s.entries.get(ctx, key.Fit(), s.start)
	if err != nil {
		return store.Patient{}, false, readError("patient", err)
	}
	if len(found) == 0 {
		return store.Patient{}, false, nil
	}
	return found[0], true, nil
}

// Holders implements [store.Index].
func (s *Store) Holders(ctx context.Context, nhsNumber string, limit int) ([]store.Patient, error) {
	found, err := s.holders.get(ctx, store.Text(nhsNumber), s.start)
	if err != nil {
		return nil, readError("holders", err)
	}
	if limit <= 0 {
		return nil, nil
	}
	return found[:min(len(found), limit)], nil
}

// entriesSQL looks each key up by the primary key.
const entriesSQL = `select k.n, p.* from unnest($1::text[], $2::text[]) with ordinality k (local_id, authority, n)
	cross join lateral (` + selectPatients + `local_id = k.local_id and authority = k.authority limit 1) p`

// readEntries finds the entry of each key, if there is one.
func (s *Store) readEntries(ctx context.Context, keys []store.PatientKey) ([][]store.Patient, error) {
	var ids, authorities array
	ids.reset(oidText)
	authorities.reset(oidText)
	for _, key := range keys {
		ids.text(key.LocalID)
		authorities.text(key.Authority)
	}
	return s.find(ctx, &s.entriesQuery, len(keys), ids.bytes(), authorities.bytes())
}

// mostHolders bounds how many holders of a number are looked at.
const mostHolders = 100

// holdersSQL goes through both indexes of numbers, which leave the empty number out.
const holdersSQL = `select q.n, p.* from unnest($1::text[]) with ordinality q (nhs, n)
	cross join lateral (
		select local_id, authority from patient where told_nhs = q.nhs and told_nhs <> ''
		union select local_id, authority from patient where found_nhs = q.nhs and found_nhs <> ''
		order by 1, 2 limit $2) k
	cross join lateral (` + selectPatients + `local_id = k.local_id and authority = k.authority limit 1) p
	order by q.n, p.local_id, p.authority`

func (s *Store) readHolders(ctx context.Context, numbers []string) ([][]store.Patient, error) {
	var list array
	list.reset(oidText)
	for _, n := range numbers {
		list.text(n)
	}
	query := &s.holdersQuery
	if s.withheld.Load() {
		query = &s.bareHoldersQuery
	}
	return s.find(ctx, query, len(numbers), list.bytes(), mostHolders)
}

// find runs a query whose rows begin with the number, from 1, of the question they answer.
func (s *Store) find(ctx context.Context, query *prepared, questions int, args ...any) ([][]store.Patient, error) {
	stmt, err := query.prepare(ctx, s.finder) //nolint:sqlclosecheck // it lives as long as the pool
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	found := make([][]store.Patient, questions)
	err = scan(rows, func() error {
		n := 0
		p, err := scanPatient(numbered{rows, &n})
		if err == nil {
			found[n-1] = append(found[n-1], p)
		}
		return err
	})
	return found, err
}

// numbered is a row that begins with a number.
type numbered struct {
	row interface{ Scan(...any) error }
	n   *int
}

// Scan reads the number, and the rest into dest.
func (r numbered) Scan(dest ...any) error { return r.row.Scan(append([]any{r.n}, dest...)...) }

// prepared is a statement that the pool prepares once for each of its connections.
type prepared struct {
	sql string

	mu   sync.Mutex
	stmt *sql.Stmt // nil before it was needed
}

func (p *prepared) prepare(ctx context.Context, db *sql.DB) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stmt != nil {
		return p.stmt, nil
	}
	stmt, err := db.PrepareContext(ctx, p.sql)
	if err == nil {
		p.stmt = stmt
	}
	return stmt, err
}
