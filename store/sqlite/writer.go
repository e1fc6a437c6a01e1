package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"spinetrace/store"
)

// A writer is the connection that writes, and how far the chain has got. One goroutine
// uses it.
type writer struct {
	unkeyed error // why bodies must not be written: a command lacks the key

	path  string
	file  fs.FileInfo // of the file that is open, which may not be the one at path any more
	db    *sql.DB
	conn  *sql.Conn
	now   func() time.Time
	chain int64
	head  store.Head

	begin, commit, rollback    *sql.Stmt
	claim, earlier, take, drop *sql.Stmt
	open, close, event, body   *sql.Stmt
	end, mention               *sql.Stmt
	patient, keepPatient       *sql.Stmt
	keys, sweep                *sql.Stmt
	addWork, ready, claimWork  *sql.Stmt
	workDone, workAgain        *sql.Stmt
	addLetter, dispatch        *sql.Stmt
	firstLetter, otherClaim    *sql.Stmt
	claimLetter                *sql.Stmt
	openItem, countItem        *sql.Stmt
	closeItem                  *sql.Stmt
}

// openWriter opens the file and reads the head of the chain, which nobody else writes.
func openWriter(ctx context.Context, path string, o store.Options, create bool) (*writer, error) {
	db, err := openFile(ctx, path, create)
	if err != nil {
		return nil, err
	}
	w := &writer{path: path, db: db, now: o.Now}
	if err := w.setUp(ctx, o); err != nil {
		return nil, errors.Join(explain("open", err), w.shut())
	}
	return w, nil
}

func (w *writer) setUp(ctx context.Context, o store.Options) (err error) {
	if w.conn, err = w.db.Conn(ctx); err != nil {
		return err
	}
	if w.file, err = os.Stat(w.path); err != nil {
		return err
	}
	for stmt, query := range w.statements() {
		if *stmt, err = w.conn.PrepareContext(ctx, query); err != nil { //nolint:sqlclosecheck // shut closes it
			return err
		}
	}
	_, err = w.conn.ExecContext(ctx, "insert into chain (name, created) values (?, ?) on conflict do nothing", o.Chain, w.now().UnixMicro())
	if err != nil {
		return err
	}
	if w.chain, w.head, err = scanHead(w.conn.QueryRowContext(ctx, selectHeads+`where c.name = ?`, o.Chain)); err != nil {
		return err
	}
	w.unkeyed, err = o.AdmitKeys(func() (map[uint16]store.KeyProof, error) { return w.knownKeys(ctx) }, func(number uint16, proof store.KeyProof) error {
		_, err := w.conn.ExecContext(ctx, "insert into body_key (number, proof) values (?, ?) on conflict do nothing", number, proof[:])
		return err
	})
	return err
}

func (w *writer) knownKeys(ctx context.Context) (map[uint16]store.KeyProof, error) {
	rows, err := w.conn.QueryContext(ctx, "select number, proof from body_key")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := make(map[uint16]store.KeyProof)
	for rows.Next() {
		var number uint16
		var proof []byte
		if err := rows.Scan(&number, &proof); err != nil {
			return nil, err
		}
		known[number] = store.KeyProof(proof)
	}
	return known, rows.Err()
}

func (w *writer) statements() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&w.begin:    `begin immediate`,
		&w.commit:   `commit`,
		&w.rollback: `rollback`,
		&w.claim:    `insert into seen (control_id, sender, body, exchange, at) values (?, ?, ?, ?, ?) on conflict do nothing`,
		&w.earlier:  `select exchange, at from seen where control_id = ? and sender = ? and body = ?`,
		&w.take:     `update seen set exchange = ?, at = ? where control_id = ? and sender = ? and body = ?`,
		&w.drop:     `delete from seen where exchange = ?`,
		&w.open: `insert into exchange (id, at, application, facility, control_id, type, local_id, nhs_sent, asker, chain, seq)
			values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		&w.end:         `insert into ending (exchange, at, outcome, nhs_found) values (?, ?, ?, ?) on conflict do nothing`,
		&w.mention:     `insert into mention (id, exchange) values (?, ?) on conflict do nothing`,
		&w.close:       `insert into reply (exchange, at, outcome, nhs_found, chain, seq) values (?, ?, ?, ?, ?, ?) on conflict do nothing`,
		&w.event:       `insert into event (chain, seq, at, kind, exchange, doc, hash) values (?, ?, ?, ?, ?, ?, ?)`,
		&w.body:        `insert into body (exchange, chain, seq, codec, key_id, data) values (?, ?, ?, ?, ?, ?)`,
		&w.patient:     selectEntry + `where local_id = ? and authority = ?`,
		&w.keepPatient: writePatient,
		&w.keys:        `select local_id, authority from patient where (local_id, authority) > (?, ?) order by local_id, authority limit ?`,
		&w.sweep: `delete from patient where (local_id, authority) > (?, ?) and (local_id, authority) <= (?, ?)
			and touched <= ?`,
		&w.addWork:   addWork,
		&w.workDone:  `delete from work ` + whereClaimed,
		&w.workAgain: `update work set due = coalesce(?, due), lease = 0, reason = ?, parked = ? ` + whereClaimed,
		&w.ready:     selectWork + `where parked = 0 and max(due, lease) <= ? order by max(due, lease), exchange limit ?`,
		&w.claimWork: `update work set attempt = attempt + 1, lease = ? where exchange = ?`,

		&w.addLetter:   addLetter,
		&w.dispatch:    dispatch,
		&w.firstLetter: selectLetters + `indexed by outbox_first where destination = ? and state = 1 order by position limit 1`,
		&w.otherClaim:  `select coalesce(max(lease), 0) from outbox where destination = ? and lease <> 0 and holder <> ?`,
		&w.claimLetter: `update outbox set attempt = attempt + 1, lease = ?, holder = ? where position = ?`,
		&w.openItem:    openItem,
		&w.countItem:   countItem,
		&w.closeItem:   closeItem,
	}
}

// shut closes the connection. Statements of a connection outlive it, and would keep the
// file open, if they were not closed before.
func (w *writer) shut() error {
	var errs []error
	for stmt := range w.statements() {
		if *stmt != nil {
			errs = append(errs, (*stmt).Close())
		}
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	return explain("close", errors.Join(append(errs, w.db.Close())...))
}

// write makes the batch durable in one transaction and sets its receipts. If the database
// takes offence at one call alone, that call is returned with the error; the others may be
// written without it. After any other error it is unknown what the file holds.
func (w *writer) write(batch []*call) (*call, error) {
	if err := w.inPlace(); err != nil {
		return nil, err
	}
	if _, err := w.begin.Exec(); err != nil {
		return nil, explain("begin", err)
	}
	head, now := w.head, w.now()
	for _, c := range batch {
		if err := w.keep(&head, now, c); err != nil {
			return w.undo(c, err)
		}
	}
	if _, err := w.commit.Exec(); err != nil {
		return nil, explain("commit", err)
	}
	w.head = head
	return nil, nil
}

// undo ends a transaction that c could not be kept in.
func (w *writer) undo(c *call, cause error) (*call, error) {
	if !refused(cause) {
		return nil, explain("write", cause) // the connection is dropped, and the transaction with it
	}
	if _, err := w.rollback.Exec(); err != nil {
		return nil, explain("roll back", err)
	}
	return c, explain("write", cause)
}

// inPlace refuses to write into a file that was moved or deleted: it can be written as long
// as it is open, and nobody would ever find what was.
func (w *writer) inPlace() error {
	info, err := os.Stat(w.path)
	if err != nil || !os.SameFile(info, w.file) {
		return fmt.Errorf("sqlite: write: %s was moved, deleted or replaced; put it back", w.path)
	}
	return nil
}

// still says whether the file holds the event that head is the position of.
func (w *writer) still(ctx context.Context, head store.Head) (bool, error) {
	if head.Seq == 0 {
		return true, nil
	}
	var hash []byte
	err := w.conn.QueryRowContext(ctx, `select hash from event where chain = ? and seq = ?`, w.chain, head.Seq).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return string(hash) == string(head.Hash[:]), explain("read the head", err)
}

// purge forgets at most purgeBatch claims made before one time, and as many letters that ended before
// another, and says whether there may be more.
func (w *writer) purge(claims, letters time.Time) (more bool, err error) {
	for _, forget := range []func() (int64, error){
		func() (int64, error) { return w.purgeClaims(claims) }, func() (int64, error) { return w.purgeLetters(letters) },
	} {
		n, err := forget()
		if err != nil {
			return false, explain("purge", err)
		}
		more = more || n == purgeBatch
	}
	return more, nil
}

// purgeClaims finds them by their exchanges: a claim's is a UUIDv7, made before the claim.
func (w *writer) purgeClaims(before time.Time) (int64, error) {
	id := store.FirstID(before)
	return changed(w.conn.ExecContext(context.Background(), `delete from seen where exchange in
		(select exchange from seen where exchange < ? and at < ? order by exchange limit ?)`, id[:], before.UnixMicro(), purgeBatch))
}

func (w *writer) purgeLetters(before time.Time) (int64, error) {
	return changed(w.conn.ExecContext(context.Background(), `delete from outbox where position in
		(select position from outbox where ended <> 0 and ended < ? order by ended limit ?)`, before.UnixMicro(), purgeBatch))
}

const purgeBatch = 500
