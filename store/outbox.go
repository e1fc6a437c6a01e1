package store

import (
	"context"
	"time"
)

// Letter is a message of ours on its way to a destination: an A31 for the PAS, an ADT that is
// forwarded, an acknowledgement, a notice of an item. Its bytes are in the journal, in the first
// event of kind [Queued] of its exchange that has its control id and destination; a notice has no
// such event, and is written when it is sent.
//
// Of the letters of one exchange to one destination no two have the same control id: adding one
// again changes nothing. Letters to one destination keep the order in which they were added.
type Letter struct {
	Destination string // a short word, such as pas
	Exchange    ID     // what it follows from
	ControlID   string // MSH-10, or another name for it within its exchange
	Kind        LetterKind
	Patient     PatientKey // whom it tells of; zero: the message names no local number
	Basis       Print      // of an Update: the identity fields that its result rests on
	Mark        Print      // of an Update: a digest of what it tells, to know it by when it comes back

	// Set by the store:
	Position int64     // its place in the order; never used again
	At       time.Time // when it was added
	Due      time.Time // when it may be tried
	Attempt  int       // how often it was taken
	Refusals int       // how often the destination said "not now"
	State    LetterState
	Reason   string    // why it is where it is, without patient data; at most 200 bytes of text
	Until    time.Time // a claim ends then; zero: nobody has it
}

// LetterKind is what a letter is. The numbers are stored: they never change.
type LetterKind uint8

// The kinds.
const (
	Update          LetterKind = 1 // an A31 that brings a result home
	Forwarded       LetterKind = 2 // an ADT as it came, or with the result in it
	Acknowledgement LetterKind = 3 // the application acknowledgement of enhanced mode
	Notice          LetterKind = 4 // tells somebody that an item was opened
)

var letterKinds = map[LetterKind]string{
	Update: "update", Forwarded: "forwarded", Acknowledgement: "acknowledgement", Notice: "notice",
}

// String returns the kind in a word.
func (k LetterKind) String() string { return letterKinds[k] }

// LetterState is how far a letter has come. The numbers are stored: they never change.
type LetterState uint8

// The states. Letters that are delivered or dropped are kept for a while, for [Outbox.Told].
const (
	Waiting   LetterState = 1
	Parked    LetterState = 2 // an operator must decide; the letters behind it go on
	Delivered LetterState = 3
	Dropped   LetterState = 4 // it is not to be delivered any more
)

var letterStates = map[LetterState]string{
	Waiting: "waiting", Parked: "parked", Delivered: "delivered", Dropped: "dropped",
}

// String returns the state in a word.
func (s LetterState) String() string { return letterStates[s] }

// Dispatch says how an attempt at a letter ended, or what an operator decided. It does nothing if
// another claim has the letter now, or if it is delivered or dropped already. An operator who wants
// a letter tried again starts its counts of attempts and refusals anew; so an attempt is settled by
// the chain that made it, as another's may have the same number.
type Dispatch struct {
	Position int64
	Attempt  int         // of this chain's claim; 0: whoever has it, and parked or not, because an operator says so
	State    LetterState // Waiting: it is tried again at Due
	Due      time.Time   // of Waiting
	Refused  bool        // the destination said "not now"
	Reason   string      // as [Letter.Reason]
}

// Outbox holds the letters of all instances on one database. Letters are added and settled by
// [Commit.Letters] and [Commit.Dispatched], together with the events that say why.
type Outbox interface {
	// Next takes the destination's first waiting letter for the time of lease. There is none
	// (the zero Letter) while that letter is not due, or another chain has it: then again is
	// when to look again, zero if nothing waits. A claim of the same chain is no hindrance: it
	// is of a process that died. Instances never have letters to one destination at the same
	// time while claims hold, so that the order is kept.
	Next(ctx context.Context, destination string, lease time.Duration) (l Letter, again time.Time, err error)
	// Letters returns letters by position, at most limit: those in a state.
	Letters(ctx context.Context, state LetterState, limit int) ([]Letter, error)
	// Letter returns the letter at a position, in whatever state.
	Letter(ctx context.Context, position int64) (l Letter, ok bool, err error)
	// Told returns the updates to a destination that tell of a patient and were added since a
	// time, whatever became of them, newest first, at most limit.
	Told(ctx context.Context, destination string, patient PatientKey, since time.Time, limit int) ([]Letter, error)
}

// Pile is the letters to one destination that are in one state.
type Pile struct {
	Destination string
	State       LetterState // Waiting or Parked
	Letters     int         // how many
	First       int64       // the position of the first
	Oldest      time.Time   // when the oldest was added
}

// Piles is the outbox at a glance.
type Piles interface {
	// Piles counts the letters that wait or are parked, by destination and state.
	Piles(ctx context.Context) ([]Pile, error)
}

// LetterMemory is how long a letter that is delivered or dropped is kept for [Outbox.Told], at
// least.
const LetterMemory = 8 * 24 * time.Hour

// Fit returns l as stores keep it: texts fit for a search column, and a key that fits.
func (l Letter) Fit() Letter {
	l.ControlID, l.Patient = distinct(l.ControlID), l.Patient.Fit()
	return l
}

// Fit returns d as stores keep it, with its time in UTC and whole microseconds.
func (d Dispatch) Fit() Dispatch {
	d.Due = fitTime(d.Due)
	return d
}

// Check says what no store can keep of l, in an error that wraps [ErrRejected]: no exchange, no
// name, a destination that is not a short word, an unknown kind, a patient without a local number.
func (l Letter) Check() error {
	l = l.Fit()
	return firstBroken("letter", []rule{
		{l.Exchange != ID{}, "no exchange"},
		{isWord(l.Destination), "the destination is not a short word"},
		{l.ControlID != "", "no control id"},
		{letterKinds[l.Kind] != "", "unknown kind"},
		{l.Patient == (PatientKey{}) || l.Patient.LocalID != "", "no local number"},
	})
}

// Check says what no store can keep of d, in an error that wraps [ErrRejected]: no letter, an
// attempt that cannot be, an unknown state, waiting for no time, a reason that is not text or too
// long.
func (d Dispatch) Check() error {
	d = d.Fit()
	return firstBroken("dispatch", []rule{
		{d.Position > 0, "no letter"},
		{d.Attempt >= 0, "an attempt before the first"},
		{letterStates[d.State] != "", "unknown state"},
		{d.State != Waiting || isTime(d.Due), "waiting for no time"},
		{Text(d.Reason) == d.Reason, "the reason is too long, or not text"},
	})
}

// isWord tells a short word of lower-case letters.
func isWord(s string) bool {
	for _, c := range []byte(s) {
		if c < 'a' || c > 'z' {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 20
}
