package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"time"
)

// Search selects exchanges. Of its filters all that are set must hold; without any it selects
// every exchange.
type Search struct {
	NHSNumber   string    // ten digits: sent, asked about, or named by Spine, at once or later
	LocalID     string    // the trust's own number, be it one that a merge took away
	ControlID   string    // MSH-10
	MessageID   string    // of a call or of its answer: wsa:MessageID, tracking id, payload id, X-Request-ID, X-Correlation-ID; or MSH-10 of an update
	User        string    // on whose behalf it was: EVN-5, or who used the command line; System: nobody's
	Sender      string    // MSH-3^MSH-4, as they came or the first component of each; or less of it, cut at a ^
	Outcome     Outcome   // as it ended, later results included; 0: any
	From, Until time.Time // when it began: from the one, before the other; zero: no bound
	Chain       string    // where its first event is
	FromSeq     int64     // the first and last number of that event; 0: no bound. They need Chain
	UntilSeq    int64

	After ID  // only exchanges older than this one: the last of the page before. Zero: from the newest
	Limit int // at most so many
}

// FirstID returns the smallest ID of a moment: those made before are less. A time that no ID can have
// counts as the nearest that one can.
func FirstID(at time.Time) (id ID) {
	ms := min(max(at.UnixMilli(), 0), 1<<48-1)
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// Began returns when the exchange of an id began, to the millisecond.
func Began(id ID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, id[:6]...)))).UTC()
}

// Fit returns s as stores look for it: texts as they are kept. One of which nothing is kept stays a
// filter, that nothing passes.
func (s Search) Fit() Search {
	for _, text := range []*string{&s.NHSNumber, &s.LocalID, &s.ControlID, &s.MessageID, &s.User} {
		if *text != "" {
			*text = cmp.Or(Text(*text), unkept)
		}
	}
	if s.Sender != "" { // which is longer than what is kept of either field
		s.Sender = cmp.Or(legible(s.Sender), unkept)
	}
	s.Limit = max(s.Limit, 0)
	return s
}

// unkept is a noncharacter, which no text should hold.
const unkept = "\uFFFF"

// Range returns the ids between which the exchanges are: the first that may be found, and the first
// that is too new.
func (s Search) Range() (from, end ID) {
	for i := range end {
		end[i] = 0xFF
	}
	if !s.From.IsZero() {
		from = FirstID(ceil(s.From))
	}
	if !s.Until.IsZero() {
		end = FirstID(ceil(s.Until))
	}
	if s.After != (ID{}) && bytes.Compare(s.After[:], end[:]) < 0 {
		end = s.After
	}
	return from, end
}

// ceil is the first millisecond, which is what an ID tells, that is not before t.
func ceil(t time.Time) time.Time {
	return t.Add(time.Millisecond - time.Nanosecond).Truncate(time.Millisecond)
}

// A Pruner clears bodies away. Their digests stay in the journal.
type Pruner interface {
	// CountBodies says how many events have bodies that DropBodies would delete.
	CountBodies(ctx context.Context, before time.Time) (int64, error)
	// DropBodies deletes the bodies of exchanges that began before a time, but for those that
	// are still needed: of exchanges with an item in the queue or a letter that is not delivered
	// or dropped. It works in pages and can be repeated after an error; progress, if not nil, is
	// called after each with the count so far. A time less than [LeastAge] ago is an error.
	DropBodies(ctx context.Context, before time.Time, progress func(dropped int64)) (dropped int64, err error)
}

// LeastAge is how old a body must be before it may be dropped: stored answers are sent again for a
// week.
const LeastAge = 8 * 24 * time.Hour
