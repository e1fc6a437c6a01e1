package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lib/pq"

	"spinetrace/store"
)

var (
	errClosed     = errors.New("the store is closed")
	errNotStarted = errors.New("the store has not been started")
)

// Store is a [store.Store] in PostgreSQL.
type Store struct {
	opts     store.Options
	cfg      pq.Config
	packer   *store.Packer
	writer   *sql.DB // one connection at a time, none kept
	reader   *sql.DB
	finder   *sql.DB // reads single entries of the index, by prepared statements
	lines    *dialer // of reader, finder and searcher
	searcher *sql.DB

	entries                    together[store.PatientKey, []store.Patient]
	holders                    together[string, []store.Patient]
	entriesQuery, holdersQuery prepared
	bareHoldersQuery           prepared    // of a login from which documents are withheld
	withheld                   atomic.Bool // the documents of patients and items are empty to us
	searches                   searches
	pageQuery                  prepared
	inbox                      inbox
	ahead                      ahead

	mu      sync.Mutex
	away    error // why a commit would be refused; nil: it would be tried
	lost    error // which committed events the database lost
	until   time.Time
	owner   bool
	unkeyed error              // why bodies must not be written; only of commands
	stop    context.CancelFunc // nil until started
	closed  bool
	running sync.WaitGroup

	unsafe sync.Once // said that the server runs without fsync
}

var _ store.Store = (*Store)(nil)

// Open makes a Store for a data source in one of lib/pq's two forms, postgres://… or
// key=value. The tables are in schema public of its database. Open does not use the network:
// its errors are about dsn and o, and repeat nothing of dsn.
func Open(dsn string, o store.Options) (*Store, error) {
	o = o.WithDefaults()
	if len(o.Chain) > 50 {
		return nil, fmt.Errorf("postgres: a chain's name has at most 50 bytes, this one %d", len(o.Chain))
	}
	cfg, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	packer, err := store.NewPacker()
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	name := "spinetrace/" + o.Chain
	writer, err := openPool(cfg, name, newDialer(writeTimeout), sessionSettings, planSettings, writerSettings)
	if err != nil {
		return nil, err
	}
	lines := newDialer(readTimeout)
	reader, err := openPool(cfg, name, lines, sessionSettings)
	if err != nil {
		return nil, err
	}
	finder, err := openPool(cfg, name, lines, sessionSettings, planSettings)
	if err != nil {
		return nil, err
	}
	finder.SetMaxOpenConns(finders)
	finder.SetMaxIdleConns(finders)
	finder.SetConnMaxIdleTime(time.Minute)
	searcher, err := openPool(cfg, name, lines, sessionSettings, planSettings)
	if err != nil {
		return nil, err
	}
	searcher.SetMaxOpenConns(searchers)
	searcher.SetMaxIdleConns(searchers)
	searcher.SetConnMaxIdleTime(time.Minute)
	writer.SetMaxIdleConns(-1)
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers) // the pool would otherwise keep two, and connect all the time
	reader.SetConnMaxIdleTime(time.Minute)
	s := &Store{opts: o, cfg: cfg, packer: packer, writer: writer, reader: reader, finder: finder, searcher: searcher, lines: lines, away: errNotStarted}
	lines.may = s.reachable
	s.entries.ask, s.entriesQuery.sql = s.readEntries, entriesSQL
	s.holders.ask, s.holdersQuery.sql = s.readHolders, holdersSQL
	s.bareHoldersQuery.sql = withoutDocuments.Replace(holdersSQL)
	s.pageQuery.sql = pageQuery
	s.ahead.rangeQuery.sql, s.ahead.scatteredQuery.sql = rangeQuery, scatteredQuery
	s.inbox.wake = make(chan struct{}, 1)
	s.inbox.down = errNotStarted
	return s, nil
}

// How many connections read.
const (
	readers = 4
	finders = 2 // one asks for entries, the other who holds a number
)

// Start implements [store.Store].
func (s *Store) Start(ctx context.Context) error {
	var held time.Time // since when the chain has been seen in other hands
	var former []backend
	wait := backoffFirst
	for {
		s.mu.Lock()
		err := s.startable()
		s.mu.Unlock()
		if err != nil {
			return err
		}
		sess, err := s.openSession(ctx, &former)
		if err == nil {
			if err = s.begin(ctx, sess); err == nil {
				return nil
			}
		}
		switch {
		case errors.As(err, new(lasting)):
			return err
		case errors.Is(err, errHeld):
			if held.IsZero() {
				held = time.Now().Add(-lockWait)
			}
			err = fmt.Errorf("postgres: %w: chain %q is being written by %s", store.ErrChainInUse, s.opts.Chain, s.holder(ctx))
			if time.Since(held) >= s.opts.ChainWait {
				return err
			}
		}
		s.down(explain(err))
		if err := sleep(ctx, wait); err != nil {
			return unavailable(err)
		}
		wait = min(2*wait, backoffMost)
	}
}

// startable says why a store cannot be started: it has been, or it is closed. The caller
// holds mu.
func (s *Store) startable() error {
	switch {
	case s.closed:
		return unavailable(errClosed)
	case s.stop != nil:
		return errors.New("postgres: the store has been started already")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin starts what runs as long as the store does.
func (s *Store) begin(ctx context.Context, sess *session) (err error) {
	defer func() {
		if err != nil {
			sess.release()
		}
	}()
	if err := s.pooled(ctx, sess); err != nil {
		return err
	}
	head, err := sess.head(s.opts.Chain, s.opts.Now())
	if err != nil {
		return err
	}
	unkeyed, err := sess.admitKeys(s.opts)
	if err != nil {
		return err
	}
	if err := sess.learnDocuments(s); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.startable(); err != nil {
		return lasting{err}
	}
	life, stop := context.WithCancel(context.Background())
	s.stop = stop
	f := &flusher{s: s, sess: sess, server: sess.server, batch: newBatch(), head: head, next: head, opened: make(map[store.ID]string)}
	s.running.Go(func() { f.run(life) })
	s.running.Go(func() { s.keepHouse(life) })
	s.away, s.owner, s.unkeyed = nil, sess.owner, unkeyed
	s.inbox.accept()
	return nil
}

// Privileged says whether the started store may do more than it needs: its login owns the
// journal, or is a superuser. It works, and an operator should know.
func (s *Store) Privileged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner
}

// Ready implements [store.Store].
func (s *Store) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	return s.lost
}

// down makes commits fail at once and returns those that waited.
func (s *Store) down(why error) []*pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = why
	return s.inbox.refuse(why)
}

// reachable keeps the readers from opening sessions while the writer finds no database: every
// message that comes would knock once more at a server that may be starting.
func (s *Store) reachable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil && s.away != nil {
		return errLost
	}
	return nil
}

func (s *Store) up() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.away != nil {
		s.opts.Log.Info("database back in service", "chain", s.opts.Chain)
	}
	s.away = nil
	s.inbox.accept()
}

// rewound keeps Ready from saying yes until somebody has looked.
func (s *Store) rewound(why error) {
	s.opts.Log.Error("committed events lost", "err", why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = why
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed, s.away = true, errClosed
	stop := s.stop
	s.mu.Unlock()
	s.inbox.close()
	if stop != nil {
		stop()
	}
	s.lines.hangUp()
	s.running.Wait()
	_, _, _ = s.reader.Close(), s.finder.Close(), s.searcher.Close() // they complain of the connections that were ended above
	return s.writer.Close()
}

// Commit implements [store.Journal].
func (s *Store) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	if err := c.Check(); err != nil {
		return store.Receipt{}, fmt.Errorf("postgres: %w", err)
	}
	if err := s.mayWrite(c); err != nil {
		return store.Receipt{}, err
	}
	p := s.prepare(c)
	if err := s.inbox.put(p); err != nil {
		return store.Receipt{}, err
	}
	select {
	case r := <-p.done:
		return r.receipt, r.err
	case <-ctx.Done():
		p.gone.Store(true)
		return store.Receipt{}, unavailable(ctx.Err())
	}
}

// mayWrite says why a command must not write what it has, such as the envelopes of a trace: it lacks the
// key that they are encrypted with.
func (s *Store) mayWrite(c store.Commit) error {
	if !s.opts.Commands() || !c.HasBodies() {
		return nil
	}
	if why := s.Unkeyed(); why != nil {
		return unavailable(why)
	}
	return nil
}

// Unkeyed implements [store.Store].
func (s *Store) Unkeyed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unkeyed
}

// prepare does what can be done beside the flusher.
func (s *Store) prepare(c store.Commit) *pending {
	p := &pending{
		commit:  c,
		bodies:  make([]body, len(c.Entries)),
		follows: c.Open == nil && c.Exchange != store.ID{},
		done:    make(chan result, 1),
	}
	if p.claims() {
		p.key = c.Open.Claim.Key()
	}
	for i, e := range c.Entries {
		p.size += 1024 // the event's document, about
		if len(e.Parts) > 0 {
			p.bodies[i] = s.pack(c.Exchange, e.Parts)
			p.size += len(p.bodies[i].data)
		}
	}
	for _, patient := range c.Patients {
		p.patients = append(p.patients, patient.Fit())
		p.size += 512 + len(patient.Told.Doc)
	}
	p.mentions = c.Mentions()
	p.size += 64 * len(p.mentions)
	p.acts = actsOf(c)
	p.outbox, p.items = outboxOf(c), itemsOf(c)
	p.size += 256*(len(p.acts)+len(p.outbox.dispatched)) + 512*(len(p.outbox.letters)+len(p.items))
	for _, i := range c.Items {
		p.size += len(i.Doc)
	}
	return p
}

// pack makes of an entry's parts what is stored for them.
func (s *Store) pack(exchange store.ID, parts []store.Part) (b body) {
	b.codec, b.data = s.packer.Pack(parts)
	if s.opts.BodyKeys != nil {
		b.key, b.data = s.opts.BodyKeys.Seal(b.data, store.BodyPlace(exchange, s.opts.Chain))
	}
	return b
}

// unpack undoes pack, of a chain that may be another's.
func (s *Store) unpack(exchange store.ID, chain string, b body) ([]store.Part, error) {
	if b.key != 0 {
		var err error
		if b.data, err = s.opts.BodyKeys.Open(b.key, b.data, store.BodyPlace(exchange, chain)); err != nil {
			return nil, err
		}
	}
	return s.packer.Unpack(b.codec, b.data)
}
