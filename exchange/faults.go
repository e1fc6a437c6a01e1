package exchange

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// StoreDownAnswer is what a sender is told whose message cannot be written down. It is hung up
// on either way, and nothing of the message is kept.
type StoreDownAnswer uint8

// The answers. Silence is the one signal that every engine with a queue retries on; those that
// park what is not answered may do better with a refusal.
const (
	StoreDownClose StoreDownAnswer = iota // nothing
	StoreDownNack                         // AR 207, or AE in profile ARValidation; CE in enhanced mode
)

// ParseStoreDownAnswer reads "close" or "nack".
func ParseStoreDownAnswer(s string) (StoreDownAnswer, error) {
	switch s {
	case "close":
		return StoreDownClose, nil
	case "nack":
		return StoreDownNack, nil
	}
	return 0, errors.New("exchange: answer of a store that is down is not one of close, nack")
}

// unrecorded is the end of an exchange that could not be written down, and nothing positive is
// said. A query is told so; anybody else's connection is closed, with a refusal before that if
// StoreDown wants one. What is in a batch is refused with it.
func (x *exchange) unrecorded(cause error) ([]byte, error) {
	x.outcome, x.reason = store.Failed, "not recorded"
	if x.plan.query {
		r := x.plan.reply(pds.Result{}, cause)
		x.ack = string(r.ack)
		return r.bytes, nil
	}
	if x.batched || x.h.StoreDown == StoreDownClose {
		return nil, cause
	}
	reply, code := x.h.notNow(x.header())
	x.ack = string(code)
	return reply, cause
}

// notNow is the answer to a message that cannot be dealt with now; nil if its sender would not
// hear of it, or it is an answer itself.
func (h *Handler) notNow(m *hl7v2.Message) (reply []byte, code hl7v2.AckCode) {
	r := h.nackPlain(m, unavailable)
	return h.wanted(m, r.bytes, r.ack), r.ack
}

// HandleOversize answers a frame that was longer than the limit, of which only the first
// bytes were kept: AR 207, with the control id if it could be read. A batch is answered as if
// it were its first message.
func (h *Handler) HandleOversize(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, head []byte, size int64) (answer []byte, err error) {
	x := h.begin(ctx, peer, state, head)
	defer x.end()
	defer x.rescue(&answer, &err)
	x.m = firstHead(head)
	x.name(x.m)
	r := h.nackText(x.m, tooLarge, fmt.Sprintf("Message too large: %d bytes", size))
	x.plan = plan{name: "oversize", unclaimed: true, reply: func(pds.Result, error) reply { return r }}
	return x.close(r)
}

// firstHead reads the header of a message, or of the first in a batch.
func firstHead(b []byte) *hl7v2.Message {
	if batch := hl7v2.Split(b); batch.Header != nil && len(batch.Messages) > 0 {
		b = batch.Messages[0]
	}
	return hl7v2.Head(b)
}

// HandleBroken records bytes that never became a message. Nothing is answered. At most ten
// a minute and address are recorded; the next row tells how many were not.
func (h *Handler) HandleBroken(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, head []byte, size int64, reason string) {
	h.defaults()
	skipped, ok := h.broken.allow(peer.Addr(), h.Now())
	if !ok {
		return
	}
	facts := store.Facts{Reason: fmt.Sprintf("%s, %d bytes", reason, size), Rows: skipped}
	if m := hl7v2.Head(head); m != nil {
		facts.ControlID = m.Raw(pathControlID)
	}
	if err := h.recordBroken(ctx, peer, state, head, facts); err != nil {
		h.Log.ErrorContext(ctx, "broken frame not recorded", "peer", peer.String(), "err", err)
	}
}

// recordBroken writes bytes down that are no message, under facts and who sent them.
func (h *Handler) recordBroken(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, b []byte, facts store.Facts) error {
	x := h.begin(ctx, peer, state, b)
	defer x.end()
	x.outcome = store.Unanswered
	x.plan = plan{name: "broken", unclaimed: true}
	facts.Peer, facts.Subject = x.facts.Peer, x.facts.Subject
	x.facts = facts
	entry := store.Entry{Kind: store.Broken, Facts: facts, Parts: []store.Part{{Kind: store.Frame, Data: b}}}
	x.mu.Lock()
	defer x.mu.Unlock()
	_, err := x.commit(store.Commit{Close: &store.Closing{Outcome: store.Unanswered}}, entry)
	return err
}

// peerLimit keeps one peer from filling the journal, or the log, with its faults: ten a
// minute and address.
type peerLimit struct {
	mu    sync.Mutex
	peers map[netip.Addr]*peerCount
}

type peerCount struct {
	since   time.Time
	rows    int
	skipped int
}

const (
	peerMost  = 10          // a minute and address
	peersKept = 4096        // addresses remembered at once
	peerSpan  = time.Minute //
)

// allow tells whether one more fault of the address may be written down, and how many were
// skipped since the last one.
func (l *peerLimit) allow(peer netip.Addr, now time.Time) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peers == nil || len(l.peers) > peersKept {
		l.peers = make(map[netip.Addr]*peerCount)
	}
	c := l.peers[peer]
	if c == nil {
		c = &peerCount{since: now}
		l.peers[peer] = c
	}
	if now.Sub(c.since) >= peerSpan {
		c.since, c.rows = now, 0
	}
	if c.rows == peerMost {
		c.skipped++
		return 0, false
	}
	c.rows++
	skipped, c.skipped = c.skipped, 0
	return skipped, true
}

// rubbishCount counts the frames in a row that a connection brought and nobody could read.
type rubbishCount struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]int
}

// rubbishMost is how many of them end a connection (spec/hl7v2.md 3.5).
const rubbishMost = 3

// third notes a frame, and tells whether it is the one too many.
func (c *rubbishCount) third(peer netip.AddrPort, unreadable bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !unreadable {
		delete(c.conns, peer)
		return false
	}
	if c.conns == nil || len(c.conns) > peersKept {
		c.conns = make(map[netip.AddrPort]int)
	}
	c.conns[peer]++
	if c.conns[peer] < rubbishMost {
		return false
	}
	delete(c.conns, peer)
	return true
}
