package postgres

import (
	"context"
	"database/sql"
	"sync"

	"spinetrace/store"
)

// lookups answers questions for single entries of the index of patients together: every message
// asks one before it is committed, and a round trip for each would cost more than the commit.
type lookups struct {
	mu      sync.Mutex
	waiting []*lookup
	busy    bool // somebody is asking
}

// lookup is one question.
type lookup struct {
	key   store.PatientKey
	found store.Patient
	ok    bool
	err   error
	done  chan struct{} // closed when the rest is true
}

// mostLookups bounds how many entries one statement reads.
const mostLookups = 256

// lookupSQL looks each key up by the primary key.
const lookupSQL = `select k.n, p.* from unnest($1::text[], $2::text[]) with ordinality k (local_id, authority, n)
	cross join lateral (` + selectPatients + `local_id = k.local_id and authority = k.authority limit 1) p`

// Patient implements [store.Index].
func (s *Store) Patient(ctx context.Context, key store.PatientKey) (p store.Patient, ok bool, err error) {
	l := &lookup{key: key.Fit(), done: make(chan struct{})}
	if !s.ask(l) {
		return p, false, readError("patient", errClosed)
	}
	select {
	case <-l.done:
		return l.found, l.ok, l.err
	case <-ctx.Done():
		return store.Patient{}, false, readError("patient", ctx.Err())
	}
}

// ask makes somebody answer l, unless the store is closed.
func (s *Store) ask(l *lookup) bool {
	s.mu.Lock() // Close waits for what runs, and nothing may begin to run then
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.lookups.put(l) {
		s.running.Go(s.lookUp)
	}
	return true
}

// put makes l wait, and tells whether nobody is asking yet.
func (l *lookups) put(one *lookup) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = !l.busy
	l.waiting, l.busy = append(l.waiting, one), true
	return first
}

// lookUp answers until nobody waits.
func (s *Store) lookUp() {
	for {
		batch := s.lookups.take()
		if batch == nil {
			return
		}
		err := s.readEntries(batch)
		for _, l := range batch {
			if err != nil {
				l.err = readError("patient", err)
			}
			close(l.done)
		}
	}
}

// take returns those who wait, and notes that nobody asks if there are none.
func (l *lookups) take() []*lookup {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), mostLookups)
	batch := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	l.busy = n > 0
	if n == 0 {
		l.waiting = nil
		return nil
	}
	return batch
}

func (s *Store) readEntries(batch []*lookup) error {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	var ids, authorities array
	ids.reset(oidText)
	authorities.reset(oidText)
	for _, l := range batch {
		ids.text(l.key.LocalID)
		authorities.text(l.key.Authority)
	}
	query, err := s.entries.prepare(ctx, s.finder)
	if err != nil {
		return err
	}
	rows, err := query.QueryContext(ctx, ids.bytes(), authorities.bytes())
	if err != nil {
		return err
	}
	return scan(rows, func() error {
		n := 0
		p, err := scanPatient(numbered{rows, &n})
		if err == nil {
			batch[n-1].found, batch[n-1].ok = p, true
		}
		return err
	})
}

// numbered is a row that begins with a number.
type numbered struct {
	row interface{ Scan(...any) error }
	n   *int
}

// Scan reads the number, and the rest into dest.
func (r numbered) Scan(dest ...any) error { return r.row.Scan(append([]any{r.n}, dest...)...) }

// holdersSQL goes through both indexes of numbers, which leave the empty number out.
const holdersSQL = `select p.* from (
		select local_id, authority from patient where told_nhs = $1 and told_nhs <> ''
		union select local_id, authority from patient where found_nhs = $1 and found_nhs <> ''
		order by 1, 2 limit $2) k
	cross join lateral (` + selectPatients + `local_id = k.local_id and authority = k.authority limit 1) p
	order by p.local_id, p.authority`

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
	stmt, err := db.PrepareContext(ctx, p.sql) //nolint:sqlclosecheck // it lives as long as the pool
	if err == nil {
		p.stmt = stmt
	}
	return stmt, err
}
