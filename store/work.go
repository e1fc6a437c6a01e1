package store

import (
	"context"
	"fmt"
	"time"
)

// Work is a trace that is still to be made: its message was answered before it had ended. One
// exchange has one item at most, parked ones included; a patient may have several. Whether a
// message is still worth asking about is for whoever claims its item to say.
//
// An exchange may add its item again: that changes kind, due time and reason, and takes it up
// again if it is parked. A claim that holds goes on.
type Work struct {
	Exchange ID         // whose message asks; its frame is in the journal
	Patient  PatientKey // whom lists show, as first added; zero: the message names no local number
	Kind     WorkKind
	Due      time.Time // when it is to be tried
	Reason   string    // why it is not done yet, without patient data; at most 200 bytes of text

	Attempt int       // how often it was claimed; set by the store
	Until   time.Time // a claim ends then, if it is not settled; zero: nobody has it; set by the store
	Parked  bool      // an operator must decide; set by the store
}

// WorkKind is why there is work to do. The numbers are stored: they never change.
type WorkKind uint8

// The kinds.
const (
	Unfinished WorkKind = 1 // the answer was due before the trace had ended, or it failed
	Put        WorkKind = 2 // it was put off on purpose: a batch, a commit acknowledgement, a slow service
	LocalCopy  WorkKind = 3 // the answer came from a provider's local copy: Spine itself is to be asked
	SixWeeks   WorkKind = 4 // a baby without a number: asked about when it is six weeks old
	Changed    WorkKind = 5 // the patient changed while a result was on its way: what is told now is to be asked about
)

var workKinds = map[WorkKind]string{
	Unfinished: "unfinished", Put: "put off", LocalCopy: "local copy", SixWeeks: "under six weeks", Changed: "changed since",
}

// String returns the kind in words.
func (k WorkKind) String() string { return workKinds[k] }

// Settlement says how an attempt at an item ended. It does nothing if the claim was settled
// before, or if another claim has the item now; if the claim's time has merely run out, it counts.
type Settlement struct {
	Exchange ID
	Attempt  int       // of the claim; 0: whoever has it, and parked or not, because the exchange itself has ended
	Again    time.Time // when to try again; zero: it is done, or parked
	Park     bool      // it is kept for an operator, and not claimed
	Reason   string    // why it is not done; as [Work.Reason]
}

// Queue is the work of all instances on one database. Items are added and settled by
// [Commit.Work] and [Commit.Settled], together with the events that say why.
//
// Whether an item is due and a claim holds is told by the clock of who asks ([Options.Now]): the
// clocks of instances must differ by much less than a lease.
type Queue interface {
	// Claim takes at most n items that are due and that nobody else has, the most overdue
	// first and of two the earlier message's, for the time of lease. Instances never get the
	// same item while a claim holds. After an error items may have been claimed that nobody
	// knows of: they are due again when the lease ends.
	Claim(ctx context.Context, n int, lease time.Duration) ([]Work, error)
	// Pending returns items in the order in which Claim would come to them, at most limit: parked
	// ones, or those that wait or are claimed.
	Pending(ctx context.Context, parked bool, limit int) ([]Work, error)
	// NextDue returns when the earliest item that is not parked can be claimed: it falls due, or
	// its claim ends. ok is false when there is none.
	NextDue(ctx context.Context) (due time.Time, ok bool, err error)
}

// Ready returns when the item can be claimed, unless it is parked.
func (w Work) Ready() time.Time {
	if w.Until.After(w.Due) {
		return w.Until
	}
	return w.Due
}

// Fit returns w as stores keep it: with a key that fits ([PatientKey.Fit]), and times in UTC and
// whole microseconds.
func (w Work) Fit() Work {
	w.Patient, w.Due = w.Patient.Fit(), fitTime(w.Due)
	return w
}

// Fit returns s as stores keep it, with its time in UTC and whole microseconds.
func (s Settlement) Fit() Settlement {
	s.Again = fitTime(s.Again)
	return s
}

func fitTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Check says what no store can keep of w, in an error that wraps [ErrRejected]: no exchange, no
// time when it is due, an unknown kind, a patient without a local number, a reason that is not
// text or too long.
func (w Work) Check() error {
	w = w.Fit()
	return firstBroken("work", []rule{
		{w.Exchange != ID{}, "no exchange"},
		{w.Patient == (PatientKey{}) || w.Patient.LocalID != "", "no local number"},
		{workKinds[w.Kind] != "", "unknown kind"},
		{dated(w.Due, w.Exchange), "no time when it is due"},
		{Text(w.Reason) == w.Reason, "the reason is too long, or not text"},
	})
}

// Check says what no store can keep of s, in an error that wraps [ErrRejected]: no exchange, an
// attempt that cannot be, both another attempt and parking, a reason that is not text or too long.
func (s Settlement) Check() error {
	s = s.Fit()
	return firstBroken("settlement", []rule{
		{s.Exchange != ID{}, "no exchange"},
		{s.Attempt >= 0, "an attempt before the first"},
		{s.Again.IsZero() || dated(s.Again, s.Exchange), "again at no time"},
		{s.Again.IsZero() || !s.Park, "both again and parked"},
		{Text(s.Reason) == s.Reason, "the reason is too long, or not text"},
	})
}

// rule is one thing that must hold of what is to be kept, and what is wrong when it does not.
type rule struct {
	kept bool
	what string
}

func firstBroken(of string, rules []rule) error {
	for _, r := range rules {
		if !r.kept {
			return fmt.Errorf("%w: %s: %s", ErrRejected, of, r.what)
		}
	}
	return nil
}
