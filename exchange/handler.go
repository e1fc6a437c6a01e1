// Package exchange is one HL7 message in, one recorded reply out.
//
// [Handler.HandleMLLP] is the path of a message, top to bottom: it is read, planned (whom
// to ask, if anybody), written down together with the first question, asked, and closed:
// the reply leaves only when it is on disk.
//
//	h := &exchange.Handler{Tracer: tracer, Journal: db, Application: "SPINETRACE", ODS: "RXX"}
//	srv := &mllp.Server{Handler: h}
//
// What the messages of one kind ask, and how their answers look, is in one file each
// (adt.go, a19.go, q22.go); which fault gets which acknowledgement is one table, in nack.go.
package exchange

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// Handler answers messages. Its exported fields are its settings; a zero value means the
// default that the field's comment states. It is safe for concurrent use.
type Handler struct {
	Tracer  pds.Tracer    // required; with its limits and retries
	Journal store.Journal // required
	Index   store.Index   // what earlier messages told of patients; nil: no message is compared with earlier ones

	// Queue holds the traces that are still to be made; Work makes them, and reads their messages
	// from Audit. Without a Queue a trace that its sender does not wait for, or that fails, is
	// not made.
	Queue store.Queue
	Audit store.Audit

	Application   string   // MSH-3 of what we originate; default SPINETRACE
	ODS           string   // MSH-4 of what we originate
	TraceEvents   []string // ADT events that may trace; default [DefaultTraceEvents]
	ProcessingIDs []string // values of MSH-11.1 that are ours; default P
	Profile       Profile  // what permanent and passing faults are answered with; default HL7
	Enhanced      bool     // MSH-15 decides which commit acknowledgement is sent; see accept.go

	Access     pds.Access   // on whose behalf is asked
	UserFields []hl7v2.Path // where a message says who asks, the first that has a value; default [DefaultUserFields]
	RoleFields []hl7v2.Path // where it says the role profile of that user's smartcard

	Parser          hl7v2.Parser // how odd messages are read
	AcceptAndIgnore []string     // message types, "ORU" or "ORU^R01", that are stored and answered AA
	CheckRecipient  bool         // MSH-5 that is neither empty, ROUTE nor Application is refused
	OwnIdentity     bool         // answers come from Application and ODS, not from the request's MSH-5 and 6
	AckType         AckType      // MSH-9 of plain acknowledgements; default by the request's version

	TimeFormat  hl7v2.TimeFormat // of MSH-7 of what we originate; default YYYYMMDDHHMMSS
	BatchAnswer BatchAnswer      // what a batch is answered with; default BatchEach
	StoreDown   StoreDownAnswer  // what is said when a message that is no query cannot be written down; default nothing

	LocalID    Patterns // how the trust's own patient number is recognised; default [DefaultLocalID]
	NHSNumbers Patterns // how an NHS number is recognised; default [DefaultNHSNumbers]
	Domains    []Domain // the authorities of the trust's own numbers; default ODS

	LegacyNumbers []hl7v2.Path // fields beside PID-3 that may hold the NHS number, see [ParseLegacyFields]; default none
	StatusInCX2   bool         // two digits in CX-2 of an NHS number are its status, if PID-32 has none
	Refuse999     bool         // NHS numbers that begin with 999, which are for tests, are not valid

	UnknownNames     []string // family names that stand for nobody; default [DefaultUnknownNames]
	PlaceholderDates []string // birth dates, YYYYMMDD, that stand for none; default [DefaultPlaceholderDates]

	Details         bool // ADT asks the detail operations
	AllowWildcards  bool // "*" is passed on in searches
	AllowPartialDOB bool // YYYY and YYYYMM are passed on in searches
	RefuseStale     bool // a query answered from the provider's local store gets AR 207

	MultipleIsError bool // a query that several patients fit gets AE 204, not AA with nobody
	NoQAK           bool // answers to queries have no QAK segment
	PlainNACK       bool // a query without QPD or QRD is refused with a plain ACK
	Telephone       bool // answers to queries have PID-13
	NHSSexCodes     bool // PID-8 of answers to queries has 1, 2, 9 and 0 in place of M, F, A and U

	// Slow tells whether asking takes so long that no ADT should wait for it: it is answered
	// "trace pending" at once, and traced afterwards. Default never.
	Slow func() bool

	Plain bool // every ADT is answered before its trace

	// DeferredTraces is how many of the traces of Queue are at work at a time; default 32. Keep
	// it well below the back end's limit: the rest is for senders who wait.
	DeferredTraces int
	WorkDeadline   time.Duration // after which a trace that cannot be made is left to an operator; default 168 h

	// RetraceAfter is how long a finished trace is as good as a new one while the patient's
	// identity fields stay as they are; 0 asks every time.
	RetraceAfter time.Duration

	// The way back (spec/hl7v2.md 6). Whatever is on leaves by the outbox, and is delivered by a
	// [Relay].
	Outbox        store.Outbox  // required by Updates, Forwards and AppAcks
	Backlog       store.Backlog // the items that people have to look at; nil: none are raised
	Updates       bool          // a result that changes number or status is sent to the PAS, by A31
	Forwards      bool          // every ADT that was taken is sent on, with what its answer brings home in it
	AppAcks       bool          // in enhanced mode MSH-16 is honoured: the PAS is sent application acknowledgements
	UpdateProfile UpdateProfile // what an A31 holds; default UpdateMinimal
	Receiver      string        // MSH-5 and MSH-6 of an A31, "APPLICATION^FACILITY"; default the source's sender
	NumberFirst   bool          // in an A31 the NHS number is the first repetition of PID-3
	Results       Results       // what outcomes mean; default [DefaultResults]
	Notify        Notify        // who is told when an item is opened; default nobody
	Posted        func()        // called when something was put into the outbox; default nothing

	Budget        time.Duration // longest time to an answer; default 4 s
	CommitTimeout time.Duration // longest wait for one commit; default 900 ms
	Window        time.Duration // in which the same ADT counts as sent again; default 168 h
	QueryWindow   time.Duration // the same for a query; default 60 s

	Location     *time.Location   // of MSH-7 and of dates without zone; default Europe/London
	Now          func() time.Time // default time.Now
	NewControlID func() string    // MSH-10 of answers, at most 20 letters and digits; default random
	Log          *slog.Logger     // one line per exchange that went other than well; default: discarded
	Done         func(Summary)    // called once per message; metrics hang here. It must not block

	setUp    sync.Once
	wake     chan struct{} // there may be work
	running  traces
	deciding numberLocks
	broken   peerLimit // rows of broken frames
	reused   peerLimit // lines about reused control ids
	recent   recentIDs
	rubbish  rubbishCount
}

// Summary is what became of one message, in words that never come from a sender.
type Summary struct {
	Type      string        // "ADT^A28", "QBP^Q22", …; "other" for what is not served
	Outcome   store.Outcome // 0 for a resend: nothing was decided
	Ack       string        // MSA-1; "" when nothing was answered
	Duplicate bool          // a resend, answered with the stored answer
	Took      time.Duration
}

// errDuplicate says that a message was claimed by an earlier exchange.
var errDuplicate = errors.New("exchange: duplicate message")

// errRubbish says that a connection brought three frames in a row without a readable MSH.
var errRubbish = errors.New("exchange: three frames in a row are not HL7")

// errPending says that the reply was due before the trace had ended.
var errPending = errors.New("exchange: trace pending")

// HandleMLLP answers one message. A nil reply sends nothing. An error closes the connection:
// without a reply nothing could be written down, and silence is the one signal that every
// sender with a queue retries on; with a reply the peer does not speak HL7, or StoreDown says
// that it is told.
func (h *Handler) HandleMLLP(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, frame []byte) (reply []byte, err error) {
	if isBatch(frame) {
		h.rubbish.third(peer, false)
		return h.answerBatch(ctx, peer, state, frame)
	}
	return h.handle(ctx, peer, state, frame, false)
}

// handle takes one message from its bytes to its answer. A deferred trace is not waited for.
func (h *Handler) handle(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, message []byte, deferred bool) (reply []byte, err error) {
	x := h.begin(ctx, peer, state, message)
	defer x.end()
	defer x.rescue(&reply, &err)
	x.batched = deferred

	known := x.recall()
	x.plan = h.planFor(x, known)
	x.plan.deferred = x.plan.deferred || deferred || !x.plan.query && (h.Plain || h.Slow())
	if known.err != nil {
		return x.unrecorded(known.err)
	}
	enough := !deferred && h.rubbish.third(peer, x.noHL7)
	reply, err = x.answer()
	if err == nil && enough {
		return reply, errRubbish
	}
	if !errors.Is(err, errDuplicate) {
		return reply, err
	}
	// The message came before: its first answer is the answer. If that exchange died
	// without one, this one takes its place.
	if reply, ok, err := x.earlier(); ok || err != nil {
		return x.replay(reply, err)
	}
	if err := x.adopt(); err != nil {
		return x.unrecorded(err)
	}
	return x.answer()
}

// answer asks whoever the plan says, and closes the exchange with the reply. The error is
// errDuplicate when the message was claimed before.
func (x *exchange) answer() ([]byte, error) {
	switch {
	case x.plan.request == nil:
		return x.close(x.plan.reply(pds.Result{}, nil))
	case x.plan.deferred:
		return x.closeThenTrace()
	}
	res, err := x.trace(*x.plan.request)
	switch {
	case errors.Is(err, errDuplicate):
		return nil, errDuplicate
	case pds.ClassOf(err) == pds.Unrecorded:
		return x.unrecorded(err)
	}
	defer x.h.deciding.about(res.NHSNumber)()
	r := x.plan.reply(res, err)
	if err := x.plan.known.err; err != nil {
		return x.unrecorded(err)
	}
	return x.close(r)
}

// errNotKept says that an exchange was answered, and that nobody has the answer any more: bodies can be
// dropped. Nothing is said then, which is neither yes nor another answer.
var errNotKept = errors.New("it is not kept any more")

// close commits the reply, with all that was not committed yet, and only then returns it.
func (x *exchange) close(r reply) ([]byte, error) {
	after, err := x.sequel(r, false)
	if err != nil {
		return x.unrecorded(err)
	}
	receipt, err := x.commitReply(r, after)
	switch {
	case errors.Is(err, store.ErrRejected):
		return x.deadLetter()
	case err != nil:
		return x.unrecorded(err)
	case receipt.Status == store.Duplicate:
		return nil, errDuplicate
	case receipt.Status == store.AlreadyClosed:
		// Another instance took the exchange over and was faster: its answer is the answer.
		stored, ok, err := x.stored(x.id)
		if err == nil && !ok {
			err = errNotKept
		}
		return x.replay(stored, err)
	}
	x.posted(after)
	x.outcome, x.ack, x.reason = r.outcome, string(r.ack), r.reason
	return x.sent(r.bytes, r.ack), nil
}

// closeThenTrace answers at once, and leaves the trace to Work.
func (x *exchange) closeThenTrace() ([]byte, error) {
	r := x.plan.reply(pds.Result{}, errPending)
	r.outcome, r.reason = store.Deferred, "traced after the answer"
	r.work = &store.Work{Kind: store.Put, Due: x.h.Now()}
	reply, err := x.close(r)
	if err == nil && x.outcome == store.Deferred {
		x.h.awaken()
	}
	return reply, err
}

// Drain waits for the traces that still run for senders who were told "trace pending". When
// ctx ends they are cancelled, recorded as far as they came, and waited for.
func (h *Handler) Drain(ctx context.Context) error {
	return h.running.drain(ctx)
}

func (h *Handler) defaults() {
	h.setUp.Do(func() {
		orString(&h.Application, "SPINETRACE")
		if h.TraceEvents == nil {
			h.TraceEvents = DefaultTraceEvents()
		}
		if h.ProcessingIDs == nil {
			h.ProcessingIDs = []string{"P"}
		}
		if h.LocalID == nil {
			h.LocalID = mustPatterns(DefaultLocalID)
		}
		if h.NHSNumbers == nil {
			h.NHSNumbers = mustPatterns(DefaultNHSNumbers)
		}
		if h.UserFields == nil {
			h.UserFields = []hl7v2.Path{hl7v2.MustPath(DefaultUserFields)}
		}
		if h.UnknownNames == nil {
			h.UnknownNames = DefaultUnknownNames()
		}
		if h.PlaceholderDates == nil {
			h.PlaceholderDates = DefaultPlaceholderDates()
		}
		if h.Domains == nil && h.ODS != "" {
			h.Domains = []Domain{{Namespace: h.ODS}}
		}
		if h.DeferredTraces == 0 {
			h.DeferredTraces = 32
		}
		h.wake = make(chan struct{}, 1)
		orDuration(&h.WorkDeadline, 168*time.Hour)
		orDuration(&h.Budget, 4*time.Second)
		orDuration(&h.CommitTimeout, 900*time.Millisecond)
		orDuration(&h.Window, 168*time.Hour)
		orDuration(&h.QueryWindow, time.Minute)
		if h.Location == nil {
			h.Location = london()
		}
		if h.Now == nil {
			h.Now = time.Now
		}
		if h.Slow == nil {
			h.Slow = func() bool { return false }
		}
		if h.Posted == nil {
			h.Posted = func() {}
		}
		if h.NewControlID == nil {
			h.NewControlID = randomControlID
		}
		if h.Log == nil {
			h.Log = slog.New(slog.DiscardHandler)
		}
	})
}

// DefaultTraceEvents returns the ADT events that may trace unless a trust says otherwise.
func DefaultTraceEvents() []string {
	return []string{"A01", "A04", "A05", "A08", "A14", "A28", "A31"}
}

// london is the zone of UK feeds; without zone data it is UTC, as for half of the year.
func london() *time.Location {
	loc, err := time.LoadLocation("Europe/London")
	if err != nil {
		return time.UTC
	}
	return loc
}

func orString(p *string, value string) {
	if *p == "" {
		*p = value
	}
}

func orDuration(p *time.Duration, value time.Duration) {
	if *p == 0 {
		*p = value
	}
}
