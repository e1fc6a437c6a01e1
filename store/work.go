package store

import (
	"context"
	"time"
)

// Work is a trace that is still to be made: its message was answered before it had ended. One
// patient has one item at most. Of two messages the one that tells of the later moment keeps it:
// what an older one would find out would be out of date.
type Work struct {
	Exchange ID         // whose message asks; its frame is in the journal
	Patient  PatientKey // zero: the message names no local number, and the item is its own
	Told     time.Time  // as of when the message speaks, as [Told.At]
	Kind     WorkKind
	Due      time.Time // when it is to be tried
	Reason   string    // why it is not done yet, without patient data

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
)

// Settlement says how an attempt at an item ended. A claim that has ended meanwhile, or an item
// that a newer message took, is not touched by it.
type Settlement struct {
	Exchange ID
	Attempt  int       // of the claim; 0: whoever has it, because the exchange itself has ended
	Again    time.Time // when to try again; zero: it is done, or parked
	Park     bool      // it is kept for an operator
	Reason   string    // why it is not done
}

// Queue is the work of all instances on one database. Items are added and settled by
// [Commit.Work] and [Commit.Settled], together with the events that say why.
type Queue interface {
	// Claim takes at most n items that are due and that nobody else has, the most overdue
	// first, for the time of lease. Instances never get the same item while a claim holds.
	Claim(ctx context.Context, n int, lease time.Duration) ([]Work, error)
	// Pending returns items by due time, at most limit: parked ones, or those that wait or are
	// claimed.
	Pending(ctx context.Context, parked bool, limit int) ([]Work, error)
	// NextDue returns when the earliest item that is not parked falls due, or its claim ends;
	// ok is false when there is none.
	NextDue(ctx context.Context) (due time.Time, ok bool, err error)
}
