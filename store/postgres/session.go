package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"spinetrace/store"
)

// lockClass is the first half of the advisory locks of this program: "spin". The second
// half is the chain's id; zero is the lock for making partitions.
const lockClass = 0x7370696e

// lockWait is how long one attempt waits for the chain. It stays below writeTimeout.
const lockWait = 500 * time.Millisecond

var errHeld = errors.New("the chain is held by another session")

// session is the one connection that writes, and the lock that comes with it.
type session struct {
	conn    *sql.Conn
	backend backend
	server  string // when it was started: one that took over is another
	chain   int16
	owner   bool // of the tables, or a superuser
	login   string
	stmts   map[shape]*sql.Stmt
}

// backend names a server process for as long as the server lives.
type backend struct {
	pid   int
	start string
}

// forever is the context of everything on the writing session: the driver answers a
// cancelled one with a second connection and a spoilt first. writeTimeout bounds it instead.
func forever() context.Context { return context.Background() }

// openSession connects, checks that the database is fit to be written to, ends our former
// sessions, and takes the chain. It adds itself to the former sessions: one that is cut while
// it takes the chain may hold it all the same. The error may be [lasting] or errHeld.
func (s *Store) openSession(ctx context.Context, former *[]backend) (_ *session, err error) {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return nil, asLasting(cleanConnect(err), s.cfg)
	}
	w := &session{conn: conn, stmts: make(map[shape]*sql.Stmt)}
	defer func() {
		if err != nil {
			w.drop()
		}
	}()
	if err := w.inspect(s); err != nil {
		return nil, err
	}
	if err := checkSchema(forever(), conn, s.cfg.User); err != nil {
		return nil, err
	}
	if w.chain, err = chainID(conn, s.opts.Chain); err != nil {
		return nil, asLasting(err, s.cfg)
	}
	for _, b := range *former {
		if err := w.terminate(b); err != nil {
			return nil, err
		}
	}
	*former = []backend{w.backend}
	if err := w.lock(); err != nil {
		return nil, err
	}
	return w, w.confirm()
}

// inspect learns who we are to the server, and refuses one that cannot keep a promise.
func (w *session) inspect(s *Store) error {
	const q = `select pg_backend_pid(), a.backend_start::text, pg_postmaster_start_time()::text,
		pg_is_in_recovery(), current_setting('transaction_read_only'), current_setting('synchronous_commit'), current_setting('fsync'),
		coalesce((select pg_has_role(relowner, 'member') from pg_class where oid = to_regclass('event')), false), session_user
		from pg_stat_activity a where a.pid = pg_backend_pid()`
	var standby bool
	var readOnly, synchronous, fsync string
	err := w.conn.QueryRowContext(forever(), q).Scan(&w.backend.pid, &w.backend.start, &w.server,
		&standby, &readOnly, &synchronous, &fsync, &w.owner, &w.login)
	switch {
	case err != nil:
		return clean(err)
	case standby:
		return errors.New("the server is a standby and takes no commits")
	case readOnly == "on":
		return errors.New("the database is read-only")
	}
	if fsync == "off" {
		s.unsafe.Do(func() {
			s.opts.Log.Warn("the server runs with fsync=off: what it commits may not survive a crash")
		})
	}
	if synchronous != "off" {
		return nil
	}
	// The promise is ours to keep, whatever the role's or the database's default.
	_, err = w.conn.ExecContext(forever(), "set synchronous_commit = on")
	return clean(err)
}

// chainID returns the chain's id, after giving it one if it is new.
func chainID(conn *sql.Conn, name string) (id int16, err error) {
	// Looked up first: a refused insert would use up an identity of a small column.
	const find = "select id from chain where name = $1"
	err = conn.QueryRowContext(forever(), find, name).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, clean(err)
	}
	const add = "insert into chain (name) values ($1) on conflict do nothing"
	if _, err := conn.ExecContext(forever(), add, name); err != nil {
		return 0, clean(err)
	}
	err = conn.QueryRowContext(forever(), find, name).Scan(&id)
	return id, clean(err)
}

// terminate ends a former session of ours that the server may still hold.
func (w *session) terminate(b backend) error {
	const q = `select pg_terminate_backend(pid) from pg_stat_activity
		where pid = $1::int and backend_start = $2::text::timestamptz and usename = current_user`
	_, err := w.conn.ExecContext(forever(), q, strconv.Itoa(b.pid), b.start)
	return clean(err)
}

// lock takes the chain. It returns only when nobody else can write it any more.
func (w *session) lock() error {
	ctx := forever()
	_, err := w.conn.ExecContext(ctx, "select set_config('lock_timeout', $1, false)", fmt.Sprint(lockWait.Milliseconds()))
	if err != nil {
		return clean(err)
	}
	_, err = w.conn.ExecContext(ctx, "select pg_advisory_lock($1::int, $2::int)", lockClass, w.chain)
	if f := (*fault)(nil); errors.As(clean(err), &f) && f.code == "55P03" {
		return errHeld
	}
	if err != nil {
		return clean(err)
	}
	_, err = w.conn.ExecContext(ctx, "select set_config('lock_timeout', $1, false)", writerSettings["lock_timeout"])
	return clean(err)
}

// confirm returns when everything that was committed before is as safe as a commit of ours. What
// was interrupted while it waited for a synchronous standby is visible already, and would be lost
// with this server: nobody may be answered from it.
func (w *session) confirm() error {
	_, err := w.conn.ExecContext(forever(), "select pg_logical_emit_message(true, 'spinetrace', '')")
	if err = clean(err); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the database confirms no commit, as without a standby of its synchronous_standby_names: %w", err)
	}
	return err
}

// trial is a row that is longer than what can lie free in pages that are written to, and that does
// not come over the network.
const trial = `insert into event (chain, seq, at, kind, exchange, doc, hash)
	select $1::smallint, $2::bigint, now(), $3::smallint, '00000000-0000-0000-0000-000000000000',
	string_agg(md5(random()::text), ''), decode(repeat('00', 32), 'hex') from generate_series(1, 2048)`

// try writes a row of the journal and takes it back: a database that was in trouble may answer
// what only reads, and take no message.
func (w *session) try(chain string, now time.Time) (err error) {
	head, err := w.head(chain, now)
	if err != nil {
		return err
	}
	tx, err := w.conn.BeginTx(forever(), nil)
	if err != nil {
		return clean(err)
	}
	defer func() {
		if rollback := clean(tx.Rollback()); err == nil {
			err = rollback
		}
	}()
	_, err = tx.ExecContext(forever(), trial, w.chain, head.Seq+1, int(store.Rewound))
	return clean(err)
}

// headQuery finds a chain's newest event by the leaves' unique indexes, in the months from one on. That
// is in the text: whoever starts waits while it is planned, and most chains have been written lately.
// There must be no other bound, as a clock may have been wrong.
const headQuery = "select seq, at, hash from event where chain = $1 and at >= '%s' order by seq desc limit 1"

// head returns the newest event of our chain. Time never runs backwards along it: if there are events
// since a moment, the newest is one of them.
func (w *session) head(chain string, now time.Time) (store.Head, error) {
	for _, since := range []time.Time{now.UTC().AddDate(0, -1, 0), {}} {
		h := store.Head{Chain: chain}
		var hash []byte
		query := fmt.Sprintf(headQuery, since.Format(time.RFC3339))
		err := w.conn.QueryRowContext(forever(), query, w.chain).Scan(&h.Seq, &h.At, &hash)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		h.At = h.At.UTC()
		copy(h.Hash[:], hash)
		return h, clean(err)
	}
	return store.Head{Chain: chain}, nil
}

// holds says whether h is an event of our chain as the database has it.
func (w *session) holds(h store.Head) (bool, error) {
	if h.Seq == 0 {
		return true, nil
	}
	var hash []byte
	err := w.conn.QueryRowContext(forever(), "select hash from event where chain = $1 and seq = $2", w.chain, h.Seq).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return string(hash) == string(h.Hash[:]), clean(err)
}

// probe says whether the session still lives.
func (w *session) probe() error {
	_, err := w.conn.ExecContext(forever(), "select 1")
	return clean(err)
}

// statement returns the batch statement of a shape, prepared on this session.
func (w *session) statement(s shape) (*sql.Stmt, error) {
	if st := w.stmts[s]; st != nil {
		return st, nil
	}
	st, err := w.conn.PrepareContext(forever(), s.sql())
	if err != nil {
		return nil, err
	}
	w.stmts[s] = st
	return st, nil
}

// release gives the chain back and ends the session in good order.
func (w *session) release() {
	// Should it fail, the end of the connection does the same.
	_, _ = w.conn.ExecContext(forever(), "select pg_advisory_unlock($1::int, $2::int)", lockClass, w.chain)
	w.drop()
}

// drop ends the connection; the pool keeps none.
func (w *session) drop() { _ = w.conn.Close() }

// holder describes who holds our chain, as far as we may know.
func (s *Store) holder(ctx context.Context) string {
	const q = `select coalesce(host(a.client_addr), 'this host'), coalesce(a.application_name, ''), coalesce(a.backend_start::text, '')
		from pg_locks l join pg_stat_activity a using (pid)
		where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid = $1::bigint::oid
		and l.objid = (select id::int::oid from chain where name = $2)
		and l.database = (select oid from pg_database where datname = current_database())`
	var from, name, start string
	if err := s.reader.QueryRowContext(ctx, q, lockClass, s.opts.Chain).Scan(&from, &name, &start); err != nil {
		return "another process"
	}
	if start == "" { // not ours to know: the session is another login's
		return "another process"
	}
	return fmt.Sprintf("a process on %s (%s), connected since %s", from, name, start)
}

// pooled says whether a second connection reaches the server process of the first, which
// only a pooler can do that lends processes for a transaction at a time: it would lend our
// lock to others.
func (s *Store) pooled(ctx context.Context, w *session) error {
	var pid int
	if err := s.reader.QueryRowContext(ctx, "select pg_backend_pid()").Scan(&pid); err != nil {
		return clean(err)
	}
	if pid == w.backend.pid {
		return lasting{errors.New("postgres: the data source leads to a pooler in transaction mode, but the chain's lock needs a session: connect to PostgreSQL itself")}
	}
	return nil
}

// admitKeys compares the keys of bodies with those that the store was written with; see
// [store.Options.AdmitKeys]. That they do not fit, time does not mend.
func (w *session) admitKeys(o store.Options) (unkeyed, err error) {
	unkeyed, err = o.AdmitKeys(w.knownKeys, w.addKey)
	if errors.Is(err, store.ErrNoBodyKey) || errors.Is(err, store.ErrOtherBodyKey) {
		err = lasting{err}
	}
	return unkeyed, err
}

func (w *session) addKey(number uint16, proof store.KeyProof) error {
	const add = "insert into body_key (number, proof) values ($1, $2) on conflict do nothing"
	_, err := w.conn.ExecContext(forever(), add, int16(number), proof[:])
	return clean(err)
}

func (w *session) knownKeys() (map[uint16]store.KeyProof, error) {
	rows, err := w.conn.QueryContext(forever(), "select number, proof from body_key") //nolint:sqlclosecheck // scan closes it
	if err != nil {
		return nil, clean(err)
	}
	known := make(map[uint16]store.KeyProof)
	err = scan(rows, func() error {
		var number uint16
		var proof []byte
		if err := rows.Scan(&number, &proof); err != nil {
			return err
		}
		known[number] = store.KeyProof(proof)
		return nil
	})
	return known, clean(err)
}
