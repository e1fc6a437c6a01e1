package sqlite

import (
	"database/sql"
	"errors"
	"time"

	"spinetrace/store"
)

// errTaken says that somebody else wrote the chain.
var errTaken = errors.New("an event with the next number is already there")

// keep writes one commit inside the transaction, moves head, and sets the receipt.
func (w *writer) keep(head *store.Head, now time.Time, c *call) error {
	at := now
	if at.Before(head.At) {
		at = head.At
	}
	first, err := w.claimed(c, at)
	if err != nil {
		return err
	}
	if first != (store.ID{}) {
		c.receipt = store.Receipt{Status: store.Duplicate, First: first}
		return w.append(head, now, first, store.Entry{Kind: store.Resent, Facts: c.Entries[0].Facts}, packed{})
	}
	if err := w.opened(head, at, c); err != nil {
		return err
	}
	late, err := w.closed(head, at, c)
	if err != nil {
		return err
	}
	if err := w.found(at, c); err != nil {
		return err
	}
	if err := w.beside(at, late, c); err != nil {
		return err
	}
	c.receipt = store.Receipt{}
	last := len(c.Entries) - 1
	for i, e := range c.Entries {
		b := c.bodies[i]
		if late && i == last {
			c.receipt = store.Receipt{Status: store.AlreadyClosed, First: c.Exchange}
			e, b = store.Entry{Kind: store.Resent, Facts: e.Facts}, packed{}
		}
		if err := w.append(head, now, c.Exchange, e, b); err != nil {
			return err
		}
	}
	return nil
}

// found writes what else the exchange can be found by: how a late trace ended, and its calls.
func (w *writer) found(at time.Time, c *call) error {
	if c.Late != nil {
		if _, err := w.end.Exec(c.Exchange[:], at.UnixMicro(), int64(c.Late.Outcome), store.Text(c.Late.NHSNumber)); err != nil {
			return err
		}
	}
	for _, id := range c.mentions {
		if _, err := w.mention.Exec(id, c.Exchange[:]); err != nil {
			return err
		}
	}
	return nil
}

// beside writes what is kept beside the journal.
func (w *writer) beside(at time.Time, late bool, c *call) error {
	if err := w.told(at, c.patients); err != nil {
		return err
	}
	if err := w.requeue(c, late); err != nil {
		return err
	}
	if err := w.post(at, late, c); err != nil {
		return err
	}
	return w.note(at, late, c)
}

// claimed claims the message for c's exchange, or returns the exchange that it belongs to.
func (w *writer) claimed(c *call, at time.Time) (first store.ID, err error) {
	if c.Open == nil || c.Open.Claim == nil {
		return store.ID{}, nil
	}
	k := c.Open.Claim.Key()
	n, err := changed(w.claim.Exec(k.ControlID, k.Sender[:], k.Body[:], c.Exchange[:], at.UnixMicro()))
	if err != nil || n == 1 {
		return store.ID{}, err
	}
	var since int64
	if err := w.earlier.QueryRow(k.ControlID, k.Sender[:], k.Body[:]).Scan(&first, &since); err != nil {
		return store.ID{}, err
	}
	if at.Sub(time.UnixMicro(since)) <= c.Open.Claim.Window {
		return first, nil
	}
	_, err = w.take.Exec(c.Exchange[:], at.UnixMicro(), k.ControlID, k.Sender[:], k.Body[:])
	return store.ID{}, err
}

// opened writes what the exchange can be found by.
func (w *writer) opened(head *store.Head, at time.Time, c *call) error {
	if c.Open == nil {
		return nil
	}
	o := c.Open
	_, err := w.open.Exec(c.Exchange[:], at.UnixMicro(), store.Text(o.Application), store.Text(o.Facility),
		store.Text(o.ControlID), store.Text(o.Type), store.Text(o.LocalID), store.Text(o.NHSNumber), store.Text(o.User), w.chain, head.Seq+1)
	return err
}

// closed writes how the exchange ended; late says that it had ended before.
func (w *writer) closed(head *store.Head, at time.Time, c *call) (late bool, err error) {
	if c.Close == nil {
		return false, nil
	}
	n, err := changed(w.close.Exec(c.Exchange[:], at.UnixMicro(), int64(c.Close.Outcome), store.Text(c.Close.NHSNumber),
		w.chain, head.Seq+int64(len(c.Entries))))
	if err != nil || n == 0 {
		return n == 0, err
	}
	if c.Close.Forget {
		_, err = w.drop.Exec(c.Exchange[:])
	}
	return false, err
}

// append writes one event and its bodies.
func (w *writer) append(head *store.Head, now time.Time, exchange store.ID, entry store.Entry, b packed) error {
	e := head.Append(now, exchange, entry)
	_, err := w.event.Exec(w.chain, e.Seq, e.At.UnixMicro(), int64(e.Kind), exchange[:], e.Doc, e.Hash[:])
	if taken(err) {
		return errTaken
	}
	if err != nil || b.data == nil {
		return err
	}
	_, err = w.body.Exec(exchange[:], w.chain, e.Seq, int64(b.codec), int64(b.key), b.data)
	return err
}

func changed(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
