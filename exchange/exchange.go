package exchange

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// exchange is one message on its way through.
type exchange struct {
	h       *Handler
	ctx     context.Context // of the connection's handler; never cancelled because the peer went away
	id      store.ID
	start   time.Time
	peer    netip.AddrPort
	facts   store.Facts // who sent what
	frame   []byte
	m       *hl7v2.Message    // nil when it cannot be read
	noHL7   bool              // not even its MSH can
	digest  [sha256.Size]byte // of m without MSH-7
	plan    plan
	numbers []string   // ten digits each: what the message has as NHS numbers
	locals  []string   // local numbers that it names beside that of facts
	batched bool       // part of a batch, which is answered as a whole
	held    []store.ID // exchanges that copies of the message wait for

	outcome   store.Outcome
	ack       string
	reason    string
	duplicate bool

	mu      sync.Mutex    // guards what follows: a trace may outlive its sender's wait
	adopted bool          // it was another message's that died without an answer
	settled bool          // the trace has ended, and its end is recorded
	opened  bool          // the exchange's first commit is on disk
	first   store.ID      // the earlier exchange, when the message is a duplicate
	calls   int           // since the exchange was received or resumed
	pending []store.Entry // what happened since the last commit
}

// begin opens an exchange. Nothing of it is on disk yet.
func (h *Handler) begin(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, frame []byte) *exchange {
	h.defaults()
	x := &exchange{h: h, ctx: ctx, id: store.NewID(), start: h.Now(), peer: peer, frame: frame}
	x.facts.Peer = peer.String()
	if state != nil && len(state.PeerCertificates) > 0 {
		x.facts.Subject = state.PeerCertificates[0].Subject.String()
	}
	x.hold(x.id)
	return x
}

// name notes what can be read of who sent the message.
func (x *exchange) name(m *hl7v2.Message) {
	if m == nil {
		return
	}
	x.facts.Application, x.facts.Facility = m.Raw(pathApplication), m.Raw(pathFacility)
	x.facts.ControlID, x.facts.Type = m.Raw(pathControlID), m.Raw(pathType)
}

// hold makes other copies of the message wait for this exchange. If one of them holds id
// already, it returns a channel that closes when that one is over.
func (x *exchange) hold(id store.ID) (over <-chan struct{}) {
	if over = x.h.running.enter(id); over == nil {
		x.held = append(x.held, id)
	}
	return over
}

// end tells whoever waits for this exchange that it is over, and the metrics and the log
// what became of it.
func (x *exchange) end() {
	for _, id := range x.held {
		x.h.running.leave(id)
	}
	took := x.h.Now().Sub(x.start)
	kind := "other"
	if x.plan.name != "" {
		kind = x.plan.name
	}
	if x.h.Done != nil {
		x.h.Done(Summary{Type: kind, Outcome: x.outcome, Ack: x.ack, Duplicate: x.duplicate, Took: took})
	}
	if !x.duplicate && worthALine(x.outcome) {
		x.h.Log.InfoContext(x.ctx, "exchange", "exchange", x.id, "peer", x.facts.Peer, "type", kind,
			"outcome", x.outcome.String(), "ack", x.ack, "reason", x.reason, "took", took)
	}
}

// worthALine tells whether an operator would want to read of an exchange.
func worthALine(o store.Outcome) bool {
	switch o {
	case store.Pending, store.Rejected, store.Failed, store.Unanswered, store.Refused, 0:
		return true
	default:
		return false
	}
}

// commit makes c durable with everything pending and the given entries. The caller holds mu.
func (x *exchange) commit(c store.Commit, entries ...store.Entry) (store.Receipt, error) {
	// The record outlives the wait: what happened must be written down whoever has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), x.h.CommitTimeout)
	defer cancel()
	c.Exchange, c.Entries, c.Sent = x.id, slices.Concat(x.pending, entries), x.facts.NHSSent
	for i := range c.Entries {
		x.behalf(&c.Entries[i].Facts)
	}
	if !x.opened {
		c.Open = x.opening()
		if !x.plan.query { // a question tells nothing
			c.Patients = slices.Concat(x.plan.subject.entries(), c.Patients)
		}
	}
	receipt, err := x.h.Journal.Commit(ctx, c)
	if err != nil {
		return receipt, fmt.Errorf("exchange: commit: %w", err)
	}
	if receipt.Status == store.Duplicate {
		x.first = receipt.First
		return receipt, nil
	}
	x.opened, x.pending = true, nil
	return receipt, nil
}

// behalf says in an event on whose behalf the exchange is, unless somebody else did it.
func (x *exchange) behalf(f *store.Facts) {
	if f.User == "" {
		f.User, f.Role = x.facts.User, x.facts.Role
	}
}

// commitReply commits r as the exchange's last word. An exchange of which nothing is on
// disk yet needs one event only, for the message and its answer, unless letters follow from it.
func (x *exchange) commitReply(r reply, after sequel) (store.Receipt, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	entry, entries := store.Entry{Kind: store.Replied}, after.entries
	if !x.opened {
		x.plan.unclaimed = x.plan.unclaimed || r.forget
		received := store.Entry{Kind: store.Received, Facts: x.facts, Parts: []store.Part{{Kind: store.Frame, Data: x.frame}}}
		if len(entries) > 0 { // they stand between
			entries = slices.Insert(entries, 0, received)
		} else {
			entry, entry.Kind = received, store.Exchanged
		}
	}
	facts := &entry.Facts
	facts.Ack, facts.Outcome, facts.Decision = string(r.ack), r.outcome.String(), r.status
	facts.Reason, facts.NHSFound = join(facts.Reason, r.reason), r.found.Digits()
	after.note(facts)
	if r.bytes != nil {
		entry.Parts = append(entry.Parts, store.Part{Kind: store.Reply, Data: r.bytes})
	}
	c := store.Commit{
		Close:    &store.Closing{Outcome: r.outcome, NHSNumber: r.found.Digits(), Forget: r.forget},
		Patients: x.found(r.outcome, r.found, r.status),
		Work:     x.workFor(r),
		Letters:  after.letters,
		Items:    after.items,
	}
	if x.adopted && !x.plan.query { // it may have been queued when it was found unanswered
		c.Settled = []store.Settlement{{Exchange: x.id}}
	}
	return x.commit(c, append(entries, entry)...)
}

// found is what the index learns from the end of the exchange's trace; nothing if that decided
// nothing, or was not of the subject.
func (x *exchange) found(o store.Outcome, n pds.NHSNumber, status string) []store.Patient {
	if x.plan.request == nil || status == "" {
		return nil
	}
	return x.plan.subject.found(store.Found{
		At: x.h.Now().UTC().Truncate(time.Microsecond), Exchange: x.id, Outcome: o,
		NHSNumber: n.Digits(), Status: strings.TrimPrefix(status, "NSTS"),
	})
}

// join puts reasons behind each other.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// opening is what the exchange will be found by, and the claim that catches its like.
func (x *exchange) opening() *store.Opening {
	o := &store.Opening{
		Application: x.facts.Application, Facility: x.facts.Facility,
		ControlID: x.facts.ControlID, Type: x.facts.Type,
		LocalID: x.facts.LocalID, NHSNumber: x.facts.NHSSent, User: x.facts.User,
		NHSNumbers: x.numbers, LocalIDs: x.locals,
	}
	if store.IsSystem(o.User) {
		o.User = "" // as if nobody had been named
	}
	if x.m != nil && !x.plan.unclaimed {
		window := x.h.Window
		if x.plan.query {
			window = x.h.QueryWindow
		}
		o.Claim = &store.Claim{
			Application: o.Application, Facility: o.Facility, ControlID: o.ControlID,
			Digest: x.digest, Window: window,
		}
	}
	return o
}

// deadLetter keeps a message that the store refuses as what it is: bytes nobody could
// deal with. The sender is told that it was our fault, not the message's.
func (x *exchange) deadLetter() ([]byte, error) {
	r := x.h.nackPlain(x.header(), internalError)
	x.mu.Lock()
	defer x.mu.Unlock()
	id := store.NewID() // whatever was refused may have been the id
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), x.h.CommitTimeout)
	defer cancel()
	facts := store.Facts{Peer: x.facts.Peer, Ack: string(r.ack), Outcome: r.outcome.String(), Reason: "internal error"}
	parts := []store.Part{{Kind: store.Frame, Data: x.frame}}
	if r.bytes != nil {
		parts = append(parts, store.Part{Kind: store.Reply, Data: r.bytes})
	}
	_, err := x.h.Journal.Commit(ctx, store.Commit{
		Exchange: id,
		Open:     &store.Opening{},
		Entries:  []store.Entry{{Kind: store.Exchanged, Facts: facts, Parts: parts}},
		Close:    &store.Closing{Outcome: r.outcome},
	})
	if err != nil {
		x.plan.query = false // its plan may be what failed
		return x.unrecorded(fmt.Errorf("exchange: dead letter: %w", err))
	}
	x.outcome, x.ack = r.outcome, string(r.ack)
	return x.sent(r.bytes, r.ack), nil
}

// rescue turns a panic into the answer for an internal error, so that one message cannot
// end a connection, let alone the listener.
func (x *exchange) rescue(reply *[]byte, err *error) {
	p := recover()
	if p == nil {
		return
	}
	// The panic's own text may hold the message: only where it happened is logged.
	x.h.Log.ErrorContext(x.ctx, "panic while handling a message", "exchange", x.id, "stack", string(debug.Stack()))
	*reply, *err = x.deadLetter()
}

// earlier returns the answer that the message's first copy got. It waits for a first copy
// that is being worked on: in this process for as long as a reply may take, elsewhere for
// half of that, so that the other half is left to take over an exchange that died.
func (x *exchange) earlier() (reply []byte, ok bool, err error) {
	if reply, ok, err = x.stored(x.first); ok || err != nil {
		return reply, ok, err
	}
	ctx, cancel := context.WithTimeout(x.ctx, x.h.Budget)
	defer cancel()
	over := x.hold(x.first)
	if over == nil {
		return x.poll(ctx)
	}
	// One copy at a time takes an exchange over: whoever holds it.
	for ; over != nil; over = x.hold(x.first) {
		select {
		case <-over:
		case <-ctx.Done():
			return nil, false, fmt.Errorf("exchange: waiting for the first copy: %w", ctx.Err())
		}
		if reply, ok, err = x.stored(x.first); ok || err != nil {
			return reply, ok, err
		}
	}
	return nil, false, nil
}

// poll looks for an answer that another instance may be about to store.
func (x *exchange) poll(ctx context.Context) (reply []byte, ok bool, err error) {
	again := time.NewTicker(x.h.Budget / 100)
	defer again.Stop()
	giveUp := time.NewTimer(x.h.Budget / 2)
	defer giveUp.Stop()
	for {
		select {
		case <-again.C:
		case <-giveUp.C:
			return nil, false, nil
		case <-ctx.Done(): // the service stops
			return nil, false, fmt.Errorf("exchange: waiting for the first copy: %w", ctx.Err())
		}
		if reply, ok, err = x.stored(x.first); ok || err != nil {
			return reply, ok, err
		}
	}
}

// stored looks an exchange's answer up, as patiently as a commit is waited for.
func (x *exchange) stored(id store.ID) (reply []byte, ok bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), x.h.CommitTimeout)
	defer cancel()
	return x.h.Journal.Answer(ctx, id)
}

// replay ends an exchange with a stored answer.
func (x *exchange) replay(reply []byte, err error) ([]byte, error) {
	if err != nil {
		return x.unrecorded(fmt.Errorf("exchange: stored answer: %w", err))
	}
	x.duplicate = true
	if m, err := hl7v2.Parse(reply); err == nil {
		x.ack = m.Get(pathAckCode)
	}
	return x.sent(reply, hl7v2.AckCode(x.ack)), nil
}

// adopt takes over the exchange of a first copy that died without an answer, and plans the
// message as that one: its trace may have been made since. The error is that of the index.
func (x *exchange) adopt() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.id, x.opened, x.adopted, x.calls = x.first, true, true, x.h.callsOf(x.ctx, x.first)
	resumed := store.Facts{Peer: x.facts.Peer, Subject: x.facts.Subject, Reason: "no answer was stored"}
	x.pending = []store.Entry{{Kind: store.Resumed, Facts: resumed}}
	known, deferred := x.recall(), x.plan.deferred
	x.plan = x.h.planMessage(x.m, known)
	x.plan.known, x.plan.deferred = known, deferred
	return known.err
}

// callsOf counts the calls that were made for an exchange; what cannot be read counts from none.
func (h *Handler) callsOf(ctx context.Context, id store.ID) int {
	if h.Audit == nil {
		return 0
	}
	calls := 0
	for e, err := range h.Audit.Events(ctx, store.Query{Exchange: id}) {
		if err == nil && e.Kind == store.Asked {
			calls++
		}
	}
	return calls
}

var pathAckCode = hl7v2.MustPath("MSA-1")

// randomControlID makes an MSH-10 that no restart, instance or clock can repeat.
func randomControlID() string { return "ST" + rand.Text()[:18] }
