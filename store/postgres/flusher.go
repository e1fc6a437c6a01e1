package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"spinetrace/store"
)

const (
	// lingerMost bounds the wait for the callers of the batch before.
	lingerMost = 500 * time.Microsecond
	// lingerFrom is the shortest flush after which waiting pays.
	lingerFrom = time.Millisecond
	// probeEvery is how often an idle session is asked whether it lives.
	probeEvery = time.Second
	// maxTries bounds how often one batch is sent again for reasons that should pass.
	maxTries = 100
	// maxOpened bounds what the flusher remembers; what it forgot is looked up.
	maxOpened = 1 << 16

	backoffFirst = 20 * time.Millisecond
	backoffMost  = time.Second
)

// flusher is the one goroutine that writes a chain.
type flusher struct {
	s     *Store
	sess  *session
	batch *batch
	head  store.Head // the newest event known to be on disk
	next  store.Head // what head becomes if the statement that was sent is committed

	// look makes a batch be compared with earlier messages before it is sent. It is on
	// while there are duplicates: a resend storm must not cost a failed statement each time.
	look bool
	// opened holds the control ids of exchanges that this process opened and did not close.
	opened map[store.ID]string

	server   string        // which one the last session was with
	denied   bool          // the login's lack of a right was logged
	lastSize int           // of the last batch
	lastTook time.Duration // by its statement
	backoff  time.Duration // zero: the last statement succeeded
}

// run writes until the inbox is closed and empty. The end of ctx says that a database which
// is away is not to be waited for.
func (f *flusher) run(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for !f.s.inbox.ended() {
		f.linger()
		if f.s.inbox.wait(1, tick.C) {
			f.probe(ctx)
		}
		if hand := f.s.inbox.take(); len(hand) > 0 {
			f.flush(ctx, hand)
		}
	}
	if f.sess != nil {
		f.sess.release()
	}
}

// linger gives the callers of the last batch a moment to come back. Without it half of them
// would ride each flush, and every one wait for two.
func (f *flusher) linger() {
	if f.lastSize < 2 || f.lastTook < lingerFrom {
		return
	}
	timer := time.NewTimer(min(f.lastTook/8, lingerMost))
	defer timer.Stop()
	f.s.inbox.wait(f.lastSize, timer.C)
	f.lastSize = 0 // once for each batch
}

func (f *flusher) probe(ctx context.Context) {
	if f.sess == nil {
		return
	}
	if err := f.sess.probe(); err != nil {
		f.recover(ctx, nil, err)
	}
}

// flush writes the commits, all or those that are not at fault, and tells their callers. It
// returns when the fate of each is known, or the store is closing.
func (f *flusher) flush(ctx context.Context, hand []*pending) {
	for tries := 0; ; tries++ {
		if f.sess == nil {
			f.abandon(hand)
			return
		}
		if hand = wanted(hand); len(hand) == 0 {
			return
		}
		err := f.send(hand)
		switch v := judge(err); {
		case v == written:
			f.release(hand)
			return
		case v == refused && len(hand) == 1 && tries == 0 && hand[0].claims():
			f.look = true // it may be a message that came before, which is not at fault
		case (v == refused || v == forbidden) && len(hand) == 1:
			f.reject(hand[0], v, clean(err))
			return
		case v == refused || v == forbidden:
			for _, p := range hand {
				f.flush(ctx, []*pending{p})
			}
			return
		case v == duplicate && tries < maxTries:
			f.look = true
		case v == closed && tries < maxTries:
			f.forgetOpened(hand)
		case v == again && tries < maxTries:
		default:
			if f.recover(ctx, hand, clean(err)) {
				return
			}
		}
	}
}

// wanted drops the commits whose callers have gone, but for those that must be kept.
func wanted(hand []*pending) []*pending {
	var kept []*pending
	for _, p := range hand {
		if !p.dropped() {
			kept = append(kept, p)
		}
	}
	return kept
}

// send runs the statement that writes the commits.
func (f *flusher) send(hand []*pending) error {
	f.next = f.head
	if err := f.compare(hand); err != nil {
		return err
	}
	if f.s.opts.Commands() {
		f.batch.login = f.sess.login
	}
	f.next = f.batch.encode(f.head, f.s.opts.Now(), hand)
	st, err := f.sess.statement(f.batch.shape) //nolint:sqlclosecheck // it lives as long as the session
	if err != nil {
		return err
	}
	start := time.Now()
	_, err = st.ExecContext(forever(), f.batch.args(f.sess.chain)...)
	f.lastSize, f.lastTook = len(hand), time.Since(start)
	return err
}

// release moves the head and tells the callers.
func (f *flusher) release(hand []*pending) {
	f.head, f.backoff, f.denied = f.next, 0, false
	for _, p := range hand {
		f.remember(p)
		p.finish(nil)
	}
}

func (f *flusher) remember(p *pending) {
	switch c := p.commit; {
	case p.receipt.Status != store.Kept:
	case c.Close != nil:
		delete(f.opened, c.Exchange)
	case c.Open != nil:
		if len(f.opened) >= maxOpened {
			clear(f.opened)
		}
		f.opened[c.Exchange] = store.Text(c.Open.ControlID)
	}
}

// forgetOpened makes the next comparison look the exchanges up.
func (f *flusher) forgetOpened(hand []*pending) {
	for _, p := range hand {
		delete(f.opened, p.commit.Exchange)
	}
}

func (f *flusher) reject(p *pending, v verdict, why error) {
	if v == forbidden {
		p.finish(unavailable(f.denial(why)))
		return
	}
	f.s.opts.Log.Error("commit refused by the database", "exchange", p.commit.Exchange, "err", why)
	p.finish(fmt.Errorf("postgres: %w: %w", store.ErrRejected, why))
}

// denial explains why this login may not write, and logs it once until it may: the callers
// come again and again.
func (f *flusher) denial(why error) error {
	if e := (*fault)(nil); errors.As(why, &e) && e.code == "42501" {
		why = fmt.Errorf("user %q %s (%w)", f.s.cfg.User, readsOnly, why)
	}
	if !f.denied {
		f.s.opts.Log.Error("the database does not let us write", "chain", f.s.opts.Chain, "err", why)
	}
	f.denied = true
	return why
}

// recover finds out what became of the statement that was sent for hand, if one was, on a
// session of its own. It returns true when there is nothing left to do for hand: it was
// committed after all, or the store is closing.
func (f *flusher) recover(ctx context.Context, hand []*pending, cause error) (done bool) {
	f.s.opts.Log.Warn("writing session lost", "chain", f.s.opts.Chain, "err", cause)
	former := []backend{f.sess.backend}
	f.sess.drop()
	f.sess = nil
	// What the server itself says again on a new session was not the session's fault.
	doubt := f.backoff > 0 && errors.As(cause, new(*fault))
	if f.backoff > 0 {
		f.down(hand, cause) // and do not hurry
	}
	for f.pause(ctx) {
		committed, err := f.resume(&former, doubt)
		if err != nil {
			f.down(hand, err)
			continue
		}
		f.s.up()
		if committed {
			f.release(hand)
		}
		return committed && hand != nil
	}
	f.abandon(hand)
	return true
}

// resume opens a session and finds out what was committed. In doubt it is none before a row can
// be written.
func (f *flusher) resume(former *[]backend, doubt bool) (committed bool, err error) {
	sess, err := f.s.openSession(forever(), former)
	if err != nil {
		return false, err
	}
	if doubt {
		err = sess.try(f.s.opts.Chain, f.s.opts.Now())
	}
	if err == nil { // last: what it finds out, it finds out once
		committed, err = f.settle(sess)
	}
	if err != nil {
		sess.drop()
		return false, err
	}
	if sess.server != f.server {
		f.s.lines.redial() // what a server tells that is the database no longer is the past
	}
	f.sess, f.server = sess, sess.server
	return committed, nil
}

// pause waits before the next attempt: not at all after a success, then ever longer. It
// returns false when the store is closing and one attempt has failed.
func (f *flusher) pause(ctx context.Context) bool {
	wait := f.backoff
	f.backoff = min(max(backoffFirst, 2*wait), backoffMost)
	if wait == 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// down makes the store refuse commits at once, and releases the callers that wait.
func (f *flusher) down(hand []*pending, why error) {
	why = explain(why)
	for _, p := range append(f.s.down(why), hand...) {
		if !p.follows {
			p.finish(unavailable(why))
		}
	}
}

// abandon gives up what could not be written before the store was closed.
func (f *flusher) abandon(hand []*pending) {
	for _, p := range hand {
		if p.follows {
			f.s.opts.Log.Error("commit lost: the store closed while the database was away", "exchange", p.commit.Exchange)
		}
		p.finish(unavailable(errClosed))
	}
}

// settle compares what the database holds with what we know, after the chain's lock was
// taken: whatever we sent has been committed by now, or never will be.
func (f *flusher) settle(sess *session) (committed bool, err error) {
	have, err := sess.head(f.s.opts.Chain, f.s.opts.Now())
	if err != nil {
		return false, err
	}
	if f.next.Seq > f.head.Seq {
		if committed, err = sess.holds(f.next); err != nil {
			return false, err
		}
	}
	ours := f.head
	if committed {
		ours = f.next
	}
	kept, err := sess.holds(ours)
	if err != nil {
		return false, err
	}
	if !kept {
		f.rewound(ours, have)
	} else if have.Seq > ours.Seq {
		f.s.opts.Log.Warn("another process wrote the chain meanwhile", "chain", f.s.opts.Chain, "from", ours.Seq+1, "to", have.Seq)
	}
	f.head, f.next = have, have
	f.look = true // earlier comparisons may not hold any more
	clear(f.opened)
	return committed, nil
}

// rewound records that the database has lost events that were committed.
func (f *flusher) rewound(ours, have store.Head) {
	from := min(have.Seq+1, ours.Seq)
	f.s.rewound(fmt.Errorf("postgres: the database lost the events %d to %d of chain %q that had been committed, "+
		"as after a failover to a standby that was behind: see the audit, then restart", from, ours.Seq, f.s.opts.Chain))
	f.s.inbox.unshift(&pending{
		commit: store.Commit{Entries: []store.Entry{{Kind: store.Rewound, Facts: store.Facts{
			From: from, To: ours.Seq, Reason: "the database was behind what it had committed"}}}},
		bodies:  make([]body, 1),
		follows: true,
		done:    make(chan result, 1),
	})
}

// compare finds out what the statement must not be sent for: messages that were claimed
// before, when there is reason to look first, and exchanges that have their reply.
func (f *flusher) compare(hand []*pending) error {
	var claims, closings []*pending
	look := f.look
	for _, p := range hand {
		p.first, p.answered = store.ID{}, false
		if p.claims() {
			claims = append(claims, p)
			// It writes no claim that could collide.
			look = look || p.forgets()
		}
		if c := p.commit; c.Close != nil && c.Open == nil {
			control, ok := f.opened[c.Exchange]
			if p.control = control; !ok {
				closings = append(closings, p)
			}
		}
	}
	if look && len(claims) > 0 {
		n, err := f.compareClaims(claims)
		if err != nil {
			return err
		}
		f.look = n > 0
	}
	return f.compareClosings(closings)
}

// claimsQuery is written so that there is one way to run it, whatever the planner believes
// of the table's size.
const claimsQuery = `select r.n, s.exchange, s.at
	from unnest($1::text[], $2::uuid[], $3::uuid[]) with ordinality r (control_id, sender, body, n)
	cross join lateral (select exchange, at from seen
		where (control_id, sender, body) = (r.control_id, r.sender, r.body) limit 1) s`

// compareClaims marks the commits whose message was claimed before and returns their
// number. Claims that are too old to count are given up.
func (f *flusher) compareClaims(claims []*pending) (marked int, err error) {
	var control, sender, digest array
	control.reset(oidText)
	sender.reset(oidUUID)
	digest.reset(oidUUID)
	for _, p := range claims {
		control.text(p.key.ControlID)
		sender.uuid(p.key.Sender)
		digest.uuid(p.key.Body)
	}
	rows, err := f.sess.conn.QueryContext(forever(), claimsQuery, control.bytes(), sender.bytes(), digest.bytes())
	if err != nil {
		return 0, err
	}
	var expired []expiredClaim
	err = scan(rows, func() error {
		var n int
		var first store.ID
		var at time.Time
		if err := rows.Scan(&n, &first, &at); err != nil {
			return err
		}
		p := claims[n-1]
		if f.s.opts.Now().Sub(at) > p.commit.Open.Claim.Window {
			expired = append(expired, expiredClaim{p.key, first})
			return nil
		}
		p.first = first
		marked++
		return nil
	})
	if err != nil {
		return 0, err
	}
	return marked, f.expire(expired)
}

// expiredClaim is a claim that is too old to count.
type expiredClaim struct {
	key      store.ClaimKey
	exchange store.ID
}

// expire deletes claims. One that was renewed meanwhile belongs to another exchange, and
// stays.
func (f *flusher) expire(claims []expiredClaim) error {
	for _, c := range claims {
		const q = "delete from seen where (control_id, sender, body, exchange) = ($1, $2::uuid, $3::uuid, $4::uuid)"
		_, err := f.sess.conn.ExecContext(forever(), q, c.key.ControlID, c.key.Sender[:], c.key.Body[:], c.exchange[:])
		if err != nil {
			return err
		}
	}
	return nil
}

// closingsQuery is written like claimsQuery.
const closingsQuery = `select r.n, coalesce(e.control_id, ''), e.outcome is not null or a.exchange is not null
	from unnest($1::uuid[]) with ordinality r (id, n)
	left join lateral (select control_id, outcome from exchange where id = r.id limit 1) e on true
	left join lateral (select exchange from reply where exchange = r.id limit 1) a on true`

// compareClosings marks the commits whose exchange has its reply.
func (f *flusher) compareClosings(closings []*pending) error {
	if len(closings) == 0 {
		return nil
	}
	var ids array
	ids.reset(oidUUID)
	for _, p := range closings {
		ids.uuid(p.commit.Exchange)
	}
	rows, err := f.sess.conn.QueryContext(forever(), closingsQuery, ids.bytes())
	if err != nil {
		return err
	}
	return scan(rows, func() error {
		var n int
		var control string
		var answered bool
		err := rows.Scan(&n, &control, &answered)
		if err == nil {
			closings[n-1].control, closings[n-1].answered = control, answered
		}
		return err
	})
}

// scan calls each for every row.
func scan(rows *sql.Rows, each func() error) error {
	defer rows.Close()
	for rows.Next() {
		if err := each(); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return rows.Err()
}
