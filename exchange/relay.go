package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/store"
)

// The destinations of letters.
const (
	ToPAS     = "pas"     // updates (A31), and the application acknowledgements of enhanced mode
	ToForward = "forward" // every ADT, and the updates that follow it
	ToWebhook = "webhook" // notices of items
	ToMail    = "mail"    // notices of items
)

// A Sender makes one attempt to deliver a message. mllp.Client is one. An error means that the
// destination may or may not have it, and that the same bytes are to be sent again; but one that
// has a method Permanent() bool which says true, that it never will take these bytes. Its text is
// recorded and logged: it holds nothing of the message, and nothing that the other side wrote.
type Sender interface {
	Send(ctx context.Context, msg []byte) (answer []byte, err error)
}

// Relay delivers the letters to one destination: in order, one at a time, the same bytes for as
// long as it takes (spec/hl7v2.md 1.4, 6.3). Its exported fields are its settings; a zero value
// means the default that the field's comment states.
type Relay struct {
	Destination string        // required
	Sender      Sender        // required
	Outbox      store.Outbox  // required
	Journal     store.Journal // required
	Audit       store.Audit   // required; where the bytes of letters are

	// Write writes the letters that have no bytes in the journal, notices; default: there are none.
	// A letter is parked if the error is permanent, as a Sender's may be.
	Write func(context.Context, store.Letter) ([]byte, error)
	// Overtaken says why a letter is not to be sent any more, "" if it is, and what is to be asked
	// instead, if anything; default: none ever is. [Handler.Overtaken] is one.
	Overtaken func(context.Context, store.Letter) (reason string, again *store.Work, err error)

	AcceptCA bool   // CA is as good as AA; else the letter is parked
	Notify   Notify // who is told of the items that are raised; default nobody

	AlertAfter    time.Duration    // a letter that waits longer is worth a line in the log; default 15 m
	Grace         time.Duration    // how long an attempt in hand may go on after a stop; default 5 s
	CommitTimeout time.Duration    // longest wait for one commit; default 900 ms
	Now           func() time.Time // default time.Now
	Log           *slog.Logger     // default: discarded
	Done          func(Delivery)   // called once per attempt; metrics hang here. It must not block

	once    sync.Once
	wake    chan struct{}
	told    string // the trouble that the log was told of last, "" once it was over; of Run alone
	alerted int64  // the last letter that the log was told of because it waits so long; of Run alone
}

// Delivery is what became of one attempt.
type Delivery struct {
	Destination string
	Kind        store.LetterKind
	State       store.LetterState // of the letter now
	Took        time.Duration     // for the sender to send it; 0: it was not sent
}

// Run delivers until ctx ends; it returns once the attempt in hand has ended.
func (r *Relay) Run(ctx context.Context) {
	r.defaults()
	late, end := r.linger(ctx)
	defer end()
	for ctx.Err() == nil {
		r.wait(ctx, r.next(ctx, late))
	}
}

// Wake makes Run look at the outbox: something may be in it.
func (r *Relay) Wake() {
	r.defaults()
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (r *Relay) defaults() {
	r.once.Do(func() {
		r.wake = make(chan struct{}, 1)
		orDuration(&r.AlertAfter, 15*time.Minute)
		orDuration(&r.Grace, 5*time.Second)
		orDuration(&r.CommitTimeout, 900*time.Millisecond)
		if r.Now == nil {
			r.Now = time.Now
		}
		if r.Log == nil {
			r.Log = slog.New(slog.DiscardHandler)
		}
	})
}

// linger returns a context that ends when the time of grace after ctx does.
func (r *Relay) linger(ctx context.Context) (late context.Context, end func()) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	grace := time.AfterFunc(math.MaxInt64, cancel)
	stop := context.AfterFunc(ctx, func() { grace.Reset(r.Grace) })
	return late, func() {
		stop()
		grace.Stop()
		cancel()
	}
}

// wait returns after d, when somebody calls Wake, or when ctx ends.
func (r *Relay) wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
	case <-r.wake:
	case <-ctx.Done():
	}
}

const (
	// longestAttempt is when an attempt is given up: before another instance may take the letter.
	longestAttempt = lease - 15*time.Second
	// commitAgain is how long after a store could not keep the end of an attempt it is asked again.
	commitAgain = time.Second
	// mostRefusals is how often a destination may say "not now" before an operator has to decide: once,
	// and five times again.
	mostRefusals = 6
)

// retries is how long after an attempt without an answer the next one is made; the last holds for
// all further.
var retries = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute}

// next makes an attempt at the letter whose turn it is, if there is one, and says when to look again.
func (r *Relay) next(ctx, late context.Context) time.Duration {
	l, again, err := r.Outbox.Next(ctx, r.Destination, lease)
	switch {
	case err != nil:
		r.trouble(ctx, "the outbox cannot be read", 0, err)
		return lookAgain
	case l.Position != 0:
		return r.deliver(ctx, late, l)
	}
	r.told = ""
	if again.IsZero() {
		return lookAgain
	}
	return min(max(again.Sub(r.Now()), breath), lookAgain)
}

// deliver makes one attempt. What fails before anything is sent leaves the claim as it is: the
// letter is this chain's to take again, and another's when the claim ends.
func (r *Relay) deliver(ctx, late context.Context, l store.Letter) time.Duration {
	reason, again, err := r.overtaken(ctx, l)
	switch {
	case err != nil:
		return r.leave(ctx, l, "it cannot be told whether a letter is overtaken", err)
	case reason != "":
		return r.settle(late, l, r.withdrawal(l, reason, again), 0)
	}
	msg, err := r.compose(ctx, l)
	switch {
	case ctx.Err() != nil:
		return 0 // it stops: nothing new is begun
	case permanent(err):
		return r.settle(late, l, r.tried(l, verdict{state: store.Parked, reason: err.Error()}, 0, nil), 0)
	case err != nil:
		return r.leave(ctx, l, "the bytes of a letter cannot be read", err)
	}
	c, took := r.send(late, l, msg)
	return r.settle(late, l, c, took)
}

func (r *Relay) overtaken(ctx context.Context, l store.Letter) (string, *store.Work, error) {
	if r.Overtaken == nil {
		return "", nil, nil
	}
	return r.Overtaken(ctx, l)
}

// leave is what to do about a letter that cannot be sent now, for a reason of our own.
func (r *Relay) leave(ctx context.Context, l store.Letter, what string, err error) time.Duration {
	r.trouble(ctx, what, l.Position, err)
	r.alert(ctx, l)
	return lookAgain
}

// compose returns the bytes of a letter: the same ones every time, unless it is written when it is sent.
func (r *Relay) compose(ctx context.Context, l store.Letter) ([]byte, error) {
	if r.Write != nil && l.Kind == store.Notice {
		return r.Write(ctx, l)
	}
	for e, err := range r.Audit.Events(ctx, store.Query{Exchange: l.Exchange}) {
		if err != nil {
			return nil, fmt.Errorf("exchange: relay: %w", err)
		}
		if !tellsOf(e, l) {
			continue
		}
		parts, _, err := r.Audit.Parts(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("exchange: relay: %w", err)
		}
		if msg, ok := store.FindPart(parts, store.Sent); ok {
			return msg, nil
		}
		break
	}
	return nil, errNoBytes
}

// tellsOf tells whether an event put a letter into the outbox.
func tellsOf(e store.Event, l store.Letter) bool {
	if e.Kind != store.Queued {
		return false
	}
	facts, err := e.Facts()
	// The outbox keeps an id that does not fit its column in another form.
	id := store.Letter{ControlID: facts.ControlID}.Fit().ControlID
	return err == nil && facts.Destination == l.Destination && id == l.ControlID
}

// errNoBytes says that there is nothing to send, and will not be.
var errNoBytes error = lost("its bytes are not kept any more")

type lost string

func (l lost) Error() string { return string(l) }
func (lost) Permanent() bool { return true }

// permanent tells an error that will come again whenever the same is tried.
func permanent(err error) bool {
	p, ok := errors.AsType[interface {
		error
		Permanent() bool
	}](err)
	return ok && p.Permanent()
}

// send makes the attempt, and returns what is to be written down of it.
func (r *Relay) send(late context.Context, l store.Letter, msg []byte) (c store.Commit, took time.Duration) {
	ctx, cancel := context.WithTimeout(late, longestAttempt)
	defer cancel()
	began := r.Now()
	answer, err := r.Sender.Send(ctx, msg)
	ended := r.Now()
	v := judge(l, msg, answer, err, r.AcceptCA)
	switch {
	case err != nil && late.Err() != nil:
		v = verdict{state: store.Waiting, due: ended, reason: "cut short by a stop"}
	case v.state == store.Waiting:
		v.due = ended.Add(retries[min(max(l.Attempt-1, 0), len(retries)-1)])
	}
	took = ended.Sub(began)
	return r.tried(l, v, took, answer), took
}

// verdict is what an attempt came to.
type verdict struct {
	state   store.LetterState
	due     time.Time // of Waiting
	refused bool      // the destination said "not now"
	ack     string    // MSA-1 of the answer
	reason  string
}

// judge reads what came of sending a letter (spec/hl7v2.md 1.4, 6.3).
func judge(l store.Letter, msg, answer []byte, err error, acceptCA bool) verdict {
	switch {
	case permanent(err):
		return verdict{state: store.Parked, reason: err.Error()}
	case err != nil:
		return verdict{state: store.Waiting, reason: err.Error()}
	case l.Kind == store.Notice:
		return verdict{state: store.Delivered}
	}
	ack, err := readAnswer(msg, answer)
	if err != nil {
		return verdict{state: store.Waiting, reason: err.Error()}
	}
	v := verdict{state: store.Parked, ack: ack, reason: "answered " + ack}
	switch hl7v2.AckCode(ack) {
	case hl7v2.AA:
		return verdict{state: store.Delivered, ack: ack}
	case hl7v2.CA:
		if acceptCA || l.Kind == store.Acknowledgement {
			return verdict{state: store.Delivered, ack: ack}
		}
		v.reason += ", which promises less than AA"
	case hl7v2.AE, hl7v2.CR:
	case hl7v2.AR, hl7v2.CE:
		v.refused = true
		if l.Refusals+1 < mostRefusals {
			v.state = store.Waiting
			break
		}
		v.reason = fmt.Sprintf("refused %d times, last by %s", l.Refusals+1, ack)
	default:
		return verdict{state: store.Waiting, reason: "an answer with an unknown MSA-1"} // whose text could be anything
	}
	return v
}

// What is wrong with an answer that is none. The texts hold nothing of it.
var (
	errNotHL7    = errors.New("the answer is not HL7")
	errNoMSA     = errors.New("the answer has no MSA")
	errNotTheAck = errors.New("the answer is to another message")
)

// Answers tells whether ack is the answer to msg: MSA-2 of the one is MSH-10 of the other. It is
// for a sender that keeps its connection, such as mllp.Client: after an error that must be closed,
// or an answer that came late would be taken for that of the next message.
func Answers(msg, ack []byte) error {
	_, err := readAnswer(msg, ack)
	return err
}

// readAnswer returns MSA-1 of the answer to msg.
func readAnswer(msg, answer []byte) (ack string, err error) {
	a, err := hl7v2.Parser{LenientSegments: true}.Parse(answer)
	if err != nil {
		return "", errNotHL7 // where it is at fault helps nobody
	}
	if _, ok := a.Segment("MSA"); !ok {
		return "", errNoMSA
	}
	m := hl7v2.Head(msg)
	if m == nil || !sameID(a.Raw(pathAckControlID), m.Raw(pathControlID)) {
		return "", errNotTheAck
	}
	return strings.TrimSpace(a.Raw(pathAckCode)), nil
}

func sameID(a, b string) bool {
	a = strings.TrimSpace(a)
	return a != "" && a == strings.TrimSpace(b)
}

// tried is what is written down of an attempt. What the peer says in words may hold patient data:
// it is in the body alone.
func (r *Relay) tried(l store.Letter, v verdict, took time.Duration, answer []byte) store.Commit {
	v.reason = store.Text(v.reason)
	facts := letterFacts(l)
	facts.Attempt, facts.Ack, facts.Outcome = l.Attempt, v.ack, v.state.String()
	facts.Reason, facts.TookMicros = v.reason, took.Microseconds()
	if v.state == store.Waiting {
		facts.Outcome = "to be tried again"
	}
	e := store.Entry{Kind: store.Tried, Facts: facts}
	if len(answer) > 0 {
		e.Parts = []store.Part{{Kind: store.Acknowledged, Data: answer}}
	}
	return store.Commit{
		Exchange: l.Exchange, Entries: []store.Entry{e}, Items: r.itemsFor(l, v),
		Dispatched: []store.Dispatch{{
			Position: l.Position, Attempt: l.Attempt, State: v.state, Due: v.due, Refused: v.refused, Reason: v.reason,
		}},
	}
}

// withdrawal is what is written down of a letter that is not to be sent any more.
func (r *Relay) withdrawal(l store.Letter, reason string, again *store.Work) store.Commit {
	facts := letterFacts(l)
	facts.Reason = store.Text(reason)
	c := store.Commit{
		Exchange: l.Exchange, Entries: []store.Entry{{Kind: store.Withdrawn, Facts: facts}},
		Dispatched: []store.Dispatch{{
			Position: l.Position, Attempt: l.Attempt, State: store.Dropped, Reason: facts.Reason,
		}},
	}
	if again != nil {
		c.Work = []store.Work{*again}
	}
	return c
}

func letterFacts(l store.Letter) store.Facts {
	return store.Facts{Destination: l.Destination, Letter: l.Position, ControlID: l.ControlID}
}

// itemsFor returns what a person has to look at after an attempt. A notice that is parked raises
// nothing: it would make a notice of its own, and so on for ever.
func (r *Relay) itemsFor(l store.Letter, v verdict) []store.Item {
	if v.state != store.Parked || l.Kind == store.Notice {
		return nil
	}
	d := ItemDoc{Destination: l.Destination, Letter: l.Position, ControlID: l.ControlID, Reason: l.Kind.String() + " " + v.reason}
	if l.Patient.LocalID != "" {
		d.LocalIDs = []string{idText(l.Patient)}
	}
	return []store.Item{{
		Kind: store.Undelivered, Subject: subjectOf(l.Patient, l.Exchange), Patient: l.Patient,
		Exchange: l.Exchange, Doc: d.JSON(), Notify: r.Notify[store.Undelivered],
	}}
}

// subjectOf names whom an item is about: the record, or the message if it names none.
func subjectOf(key store.PatientKey, exchange store.ID) string {
	if key.LocalID == "" {
		return exchange.String()
	}
	return idText(key)
}

// settle commits how an attempt at a letter ended, tells of it, and says when to look again.
func (r *Relay) settle(late context.Context, l store.Letter, c store.Commit, took time.Duration) (wait time.Duration) {
	err := r.insist(late, c)
	if errors.Is(err, store.ErrRejected) {
		r.Log.ErrorContext(late, "the end of an attempt was rejected by the store", "destination", l.Destination, "letter", l.Position, "err", err)
		c = rejected(l)
		err = r.insist(late, c)
	}
	d := c.Dispatched[0]
	if err != nil {
		r.Log.ErrorContext(late, "the end of an attempt is not recorded: it will be made again", "destination", l.Destination, "letter", l.Position, "err", err)
		wait = lookAgain
	} else {
		r.tell(late, l, d)
	}
	if r.Done != nil {
		r.Done(Delivery{Destination: l.Destination, Kind: l.Kind, State: d.State, Took: took})
	}
	return wait
}

// tell tells the log of a letter that has not arrived.
func (r *Relay) tell(ctx context.Context, l store.Letter, d store.Dispatch) {
	r.told = ""
	switch d.State {
	case store.Waiting:
		r.alert(ctx, l)
	case store.Parked:
		r.Log.WarnContext(ctx, "a letter is parked", "destination", l.Destination, "letter", l.Position, "exchange", l.Exchange, "reason", d.Reason)
	default:
	}
}

// rejected is what is left to write down of an attempt if the store rejects all that there was.
func rejected(l store.Letter) store.Commit {
	const reason = "how an attempt ended could not be recorded"
	facts := store.Facts{
		Destination: l.Destination, Letter: l.Position, Attempt: l.Attempt, Outcome: store.Parked.String(), Reason: reason,
	}
	return store.Commit{
		Exchange: l.Exchange, Entries: []store.Entry{{Kind: store.Tried, Facts: facts}},
		Dispatched: []store.Dispatch{{Position: l.Position, Attempt: l.Attempt, State: store.Parked, Reason: reason}},
	}
}

// insist commits c for as long as it takes: the destination knows what the store does not yet. What
// came of an attempt that the end of late cut off is worth one try all the same.
func (r *Relay) insist(late context.Context, c store.Commit) error {
	for {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(late), r.CommitTimeout)
		_, err := r.Journal.Commit(ctx, c)
		cancel()
		if err == nil || errors.Is(err, store.ErrRejected) || late.Err() != nil {
			return err
		}
		r.wait(late, commitAgain)
	}
}

// alert tells the log, once, of a letter that waits for long.
func (r *Relay) alert(ctx context.Context, l store.Letter) {
	if l.Position == r.alerted || r.Now().Sub(l.At) <= r.AlertAfter {
		return
	}
	r.alerted = l.Position
	r.Log.WarnContext(ctx, "a destination does not take its letters", "destination", l.Destination, "letter", l.Position, "attempts", l.Attempt)
}

// trouble tells the log what is wrong on our side, once until it is over. Of a store that is
// unavailable the store itself tells.
func (r *Relay) trouble(ctx context.Context, what string, letter int64, err error) {
	if ctx.Err() != nil || r.told == what || errors.Is(err, store.ErrUnavailable) {
		return
	}
	r.told = what
	r.Log.WarnContext(ctx, "letters have to wait", "destination", r.Destination, "letter", letter, "reason", what, "err", err)
}
