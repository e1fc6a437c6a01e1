package store

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Commit is one all-or-nothing addition to the journal. The first commit of an exchange
// opens it, the one that holds its reply closes it, and one commit may do both.
type Commit struct {
	Exchange ID
	Open     *Opening     // in the first commit of an exchange
	Sent     string       // in later ones: the NHS number that it was opened with, if the caller knows
	Entries  []Entry      // at least one, in order
	Patients []Patient    // what the commit changes in the index: only parts that are set count; nothing if it is a [Duplicate]
	Work     []Work       // traces that are still to be made
	Settled  []Settlement // how attempts at such work ended
	Close    *Closing     // if the last entry holds the exchange's reply
	Late     *Closing     // how a trace ended whose sender had been answered before; the first one counts

	// What is added only if the commit is [Kept]:
	Letters []Letter // messages to deliver
	Items   []Item   // what a person has to look at

	Dispatched []Dispatch // how attempts at letters ended
	Closures   []Closure  // items that a person has dealt with
}

// Check says what no store can keep, in an error that wraps [ErrRejected]: no entries, a
// kind or an outcome that is not one of the constants, an opening, a closing or bodies
// without an exchange that they could belong to, or what the Check methods of what it
// holds say of their own.
func (c Commit) Check() error {
	if len(c.Entries) == 0 {
		return fmt.Errorf("%w: no entries", ErrRejected)
	}
	homeless := c.Exchange == (ID{})
	if homeless && (c.Open != nil || c.Close != nil || c.Late != nil) {
		return fmt.Errorf("%w: no exchange to open or close", ErrRejected)
	}
	for _, end := range []*Closing{c.Close, c.Late} {
		if end != nil && outcomes[end.Outcome] == "" {
			return fmt.Errorf("%w: unknown outcome", ErrRejected)
		}
	}
	for i, e := range c.Entries {
		if kinds[e.Kind] == "" {
			return fmt.Errorf("%w: entry %d: unknown kind", ErrRejected, i)
		}
		if homeless && len(e.Parts) > 0 {
			return fmt.Errorf("%w: entry %d: body without an exchange", ErrRejected, i)
		}
		for _, p := range e.Parts {
			if partKinds[p.Kind] == "" {
				return fmt.Errorf("%w: entry %d: unknown kind of body", ErrRejected, i)
			}
		}
	}
	return cmp.Or(
		checkAll(c.Patients), checkAll(c.Settled), checkAll(c.Work),
		checkAll(c.Letters), checkAll(c.Dispatched), checkAll(c.Items), checkAll(c.Closures),
	)
}

// checkAll returns the first fault of what is kept beside the journal.
func checkAll[T interface{ Check() error }](all []T) error {
	for _, one := range all {
		if err := one.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Entry is one event to be: what happened, and the bodies that belong to it.
type Entry struct {
	Kind  Kind
	Facts Facts
	Parts []Part
}

// Opening is what an exchange can be searched by.
type Opening struct {
	Claim       *Claim // nil: the message is not compared with earlier ones
	Application string // MSH-3
	Facility    string // MSH-4
	ControlID   string // MSH-10
	Type        string // MSH-9
	LocalID     string // the trust's own patient number
	NHSNumber   string // as sent, ten digits
	User        string // on whose behalf: EVN-5, or who uses the command line; "" is the sending system itself

	// What else it is found by, which costs a row each:
	NHSNumbers []string // ten digits each, whether they are an NHS number or not
	LocalIDs   []string // such as those that a merge takes away
}

// Claim says which messages count as the same (spec/hl7v2.md 3.6): same sender, same
// control id, same content but for MSH-7.
type Claim struct {
	Application string
	Facility    string
	ControlID   string
	Digest      [sha256.Size]byte // SHA-256 of the message without MSH-7
	Window      time.Duration     // an earlier claim older than this counts as none
}

// ClaimKey is the unique key of a claim. The control id leads because feeds count it up:
// an index whose keys arrive in order stays cheap.
type ClaimKey struct {
	ControlID string
	Sender    [16]byte
	Body      [16]byte
}

// Key returns the claim's unique key.
func (c Claim) Key() ClaimKey {
	k := ClaimKey{ControlID: Text(c.ControlID)}
	sender := sha256.Sum256([]byte(c.Application + "\x00" + c.Facility))
	copy(k.Sender[:], sender[:])
	copy(k.Body[:], c.Digest[:])
	return k
}

// maxText bounds a search column: a B-tree entry has to fit a third of a page.
const maxText = 200

// Text makes s fit for a search column: valid UTF-8, no NUL, at most 200 bytes. What was
// really said is in the bodies.
func Text(s string) string {
	s = cut(s)
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	return cut(legible(s))
}

// legible leaves out what no database keeps in a text.
func legible(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// cut keeps at most maxText bytes of s, and no part of a character.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	for end := maxText; end > maxText-utf8.UTFMax; end-- {
		if utf8.RuneStart(s[end]) {
			return s[:end]
		}
	}
	return s[:maxText]
}

// Closing says how an exchange ended. Its reply is the part of kind [Reply] in the
// commit's last entry.
type Closing struct {
	Outcome   Outcome
	NHSNumber string // as found, ten digits
	// Forget gives the claim up: the same message, sent again, is a new one. For answers
	// that say "could not be dealt with now".
	Forget bool
}

// Receipt says what became of a commit that did not fail.
type Receipt struct {
	Status Status
	First  ID // the exchange that the message belongs to when Status is not Kept
}

// Status is what became of a commit.
type Status uint8

// The statuses.
const (
	// Kept means that all of the commit is on disk.
	Kept Status = iota
	// Duplicate means that the message was claimed before, by the exchange First. Only an
	// event of kind [Resent] was kept, under First.
	Duplicate
	// AlreadyClosed means that the exchange had a reply before this commit brought one.
	// Everything but the reply was kept, and an event of kind [Resent] instead of it.
	AlreadyClosed
)

// Exchange is a found exchange: how it was opened and, if it was, closed.
type Exchange struct {
	ID
	At          time.Time
	Application string
	Facility    string
	ControlID   string
	Type        string
	LocalID     string
	NHSNumber   string
	User        string
	Outcome     Outcome // 0: unfinished; of a trace that ended later, its
	NHSFound    string
	Chain       string // where its first event is
	Seq         int64
}
