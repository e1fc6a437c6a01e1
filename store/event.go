package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what an event records. The numbers are stored: they never change.
type Kind uint8

// The kinds.
const (
	Started       Kind = 1  // the service started: version, configuration digest
	Stopped       Kind = 2  // the service stopped in good order
	Received      Kind = 3  // a message came in; body: Frame
	Exchanged     Kind = 4  // a message came in and was answered in one act; bodies: Frame, Reply
	Asked         Kind = 5  // a call to a national endpoint is about to be made; body: Request
	Answered      Kind = 6  // that call ended; body: Response, if one came
	Replied       Kind = 7  // the message was answered; body: Reply
	Resent        Kind = 8  // the same message came again, or the same exchange was answered twice
	Resumed       Kind = 9  // an exchange without an answer was taken up again by a resend
	Broken        Kind = 10 // bytes that never became a message; body: Frame, its first 4 KiB
	Looked        Kind = 11 // somebody read the audit: who, what for, how many rows
	Rewound       Kind = 12 // the database lost events that had been committed; the range is named
	Interrupted   Kind = 13 // an exchange was found without an answer when the service started again
	Warned        Kind = 14 // the service runs in a way that needs a reason, such as without TLS
	Finished      Kind = 15 // a trace ended after its sender had been told "trace pending"
	Anchored      Kind = 16 // the heads of the other chains, so that a cut tail shows
	Queued        Kind = 17 // a letter was put into the outbox; body: Sent
	Tried         Kind = 18 // an attempt to deliver a letter ended; body: Acknowledged, if an answer came
	Withdrawn     Kind = 19 // a letter is not delivered any more: overtaken, or an operator dropped it
	Requeued      Kind = 20 // an operator wants a letter tried again
	ItemClosed    Kind = 21 // a person dealt with an item: who and why
	BodiesDropped Kind = 22 // somebody is about to drop bodies: who, before which time, how many
	Reconfigured  Kind = 23 // the configuration is not that of the last start: the settings that changed
	Renewed       Kind = 24 // a certificate or a reference table is another: its name and fingerprint
	Clocked       Kind = 25 // how far the clock is off, as far as the host says
)

var kinds = map[Kind]string{
	Started: "started", Stopped: "stopped", Received: "received", Exchanged: "exchanged",
	Asked: "asked", Answered: "answered", Replied: "replied", Resent: "resent",
	Resumed: "resumed", Broken: "broken", Looked: "looked", Rewound: "rewound",
	Interrupted: "interrupted", Warned: "warned", Finished: "finished",
	Queued: "queued", Tried: "tried", Withdrawn: "withdrawn", Requeued: "requeued", ItemClosed: "item closed",
	Anchored: "anchored", BodiesDropped: "bodies dropped",
	Reconfigured: "configuration changed", Renewed: "reference changed", Clocked: "clock",
}

// String returns the kind in one word.
func (k Kind) String() string {
	if s, ok := kinds[k]; ok {
		return s
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Outcome is how an exchange ended. The numbers are stored: they never change.
type Outcome uint8

// The outcomes. Zero means that the exchange is unfinished.
const (
	NotTraced   Outcome = 1  // stored, and nobody was asked
	Verified    Outcome = 2  // the number sent belongs to the patient
	Traced      Outcome = 3  // a number, or details, were found
	Superseded  Outcome = 4  // the number was replaced
	NoMatch     Outcome = 5  // nobody fits the question
	ManyMatches Outcome = 6  // more than one patient does
	Invalidated Outcome = 7  // the number was withdrawn
	NotVerified Outcome = 8  // the number sent was not confirmed for the patient
	OldStyle    Outcome = 9  // the number is of the format before the ten digits
	Stale       Outcome = 10 // answered from a local copy, Spine unavailable
	Refused     Outcome = 11 // the back end, or the local check before it, refused the question
	Pending     Outcome = 12 // answered before the trace had ended
	Rejected    Outcome = 13 // the message was at fault: AE or AR
	Failed      Outcome = 14 // could not be dealt with now: 207
	Unanswered  Outcome = 15 // recorded, and rightly not answered
	Deferred    Outcome = 16 // answered before the trace, as batches and commit acknowledgements are

	HeldElsewhere Outcome = 17 // the number found belongs to another local record
)

var outcomes = map[Outcome]string{
	NotTraced: "not traced", Verified: "verified", Traced: "traced", Superseded: "superseded",
	NoMatch: "no match", ManyMatches: "many matches", Invalidated: "invalidated",
	NotVerified: "not verified", OldStyle: "old style", Stale: "stale", Refused: "refused",
	Pending: "trace pending", Rejected: "rejected", Failed: "failed", Unanswered: "unanswered", Deferred: "deferred",
	HeldElsewhere: "held by another record",
}

// String returns the outcome in words.
func (o Outcome) String() string {
	if s, ok := outcomes[o]; ok {
		return s
	}
	if o == 0 {
		return "unfinished"
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// ParseOutcome returns the outcome that String has this word for.
func ParseOutcome(s string) (Outcome, bool) {
	for o, word := range outcomes {
		if word == s {
			return o, true
		}
	}
	return 0, false
}

// System is the user of what nobody asked for: the service did it by itself, or for a system that
// named no person.
const System = "system"

// IsSystem tells whether a name would be read as [System], in any case: nobody is it by saying so.
func IsSystem(name string) bool { return strings.EqualFold(name, System) }

// Facts are what an event says, beside its place in the chain. Empty ones are left out of
// the document. Texts are as they came; the true bytes are in the bodies.
type Facts struct {
	Peer        string            `json:"peer,omitempty"`              // address and port
	Subject     string            `json:"tls_subject,omitempty"`       // of the peer's certificate
	Application string            `json:"application,omitempty"`       // MSH-3
	Facility    string            `json:"facility,omitempty"`          // MSH-4
	ControlID   string            `json:"control_id,omitempty"`        // MSH-10
	Type        string            `json:"type,omitempty"`              // MSH-9
	User        string            `json:"user,omitempty"`              // on whose behalf: a person, or System; events of older programs have none for that
	Role        string            `json:"role,omitempty"`              // role profile of the user's smartcard
	LocalID     string            `json:"local_id,omitempty"`          // the trust's own patient number
	NHSSent     string            `json:"nhs_number_sent,omitempty"`   // ten digits
	NHSFound    string            `json:"nhs_number_found,omitempty"`  // ten digits
	Attempt     int               `json:"attempt,omitempty"`           // 1 for the first call of an exchange
	Backend     string            `json:"backend,omitempty"`           // smsp or pds
	Operation   string            `json:"operation,omitempty"`         // for example verifyNHSNumber
	Endpoint    string            `json:"endpoint,omitempty"`          // URL of the national endpoint
	MessageID   string            `json:"message_id,omitempty"`        // wsa:MessageID or X-Request-ID of the question
	TrackingID  string            `json:"tracking_id,omitempty"`       // ITK tracking id or X-Correlation-ID
	PayloadID   string            `json:"payload_id,omitempty"`        // of the question's ITK payload
	AnswerID    string            `json:"answer_message_id,omitempty"` // wsa:MessageID of the answer
	Status      int               `json:"http_status,omitempty"`       // of the answer
	Code        string            `json:"code,omitempty"`              // response or fault code as received
	TookMicros  int64             `json:"took_us,omitempty"`           // microseconds
	Ack         string            `json:"ack,omitempty"`               // MSA-1 of the reply
	Outcome     string            `json:"outcome,omitempty"`           // in words
	Decision    string            `json:"nhs_number_status,omitempty"` // NSTS value decided for the patient
	Reason      string            `json:"reason,omitempty"`            // why, without patient data
	Version     string            `json:"software,omitempty"`          // version and commit of the program
	Config      string            `json:"configuration,omitempty"`     // digest
	Host        string            `json:"host,omitempty"`              // that the program ran on
	Login       string            `json:"login,omitempty"`             // whom that host takes the user of a command for, if User is another name
	DBLogin     string            `json:"database_login,omitempty"`    // whom the database takes it for, which only the database can know
	Filters     map[string]string `json:"filters,omitempty"`           // what a look at the audit asked for
	Rows        int               `json:"rows,omitempty"`              // how many it showed
	From        int64             `json:"from,omitempty"`              // a range of sequence numbers
	To          int64             `json:"to,omitempty"`                // the last of the range
	Destination string            `json:"destination,omitempty"`       // of a letter
	Letter      int64             `json:"letter,omitempty"`            // its position in the outbox
	Items       string            `json:"items,omitempty"`             // kinds of the items that were raised
	Item        int64             `json:"item,omitempty"`              // the number of one
	Differences string            `json:"differences,omitempty"`       // the fields in which the national record differs
	Heads       map[string]string `json:"heads,omitempty"`             // of other chains: number and hash in hexadecimal, a space between
	Details     map[string]string `json:"details,omitempty"`           // of events of the service itself: settings that changed, fingerprints, offsets
}

// Hash is a SHA-256 digest.
type Hash [sha256.Size]byte

// String returns the digest in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Event is one thing that happened, as it is stored. Doc is a JSON document in ASCII that
// repeats Chain, Seq, At, Kind and Exchange, then the facts, then size and SHA-256 of every
// body. Hash is SHA-256 over the previous event's hash (32 zero bytes for the first) and
// the bytes of Doc: nothing else is needed to check a chain.
type Event struct {
	Chain    string
	Seq      int64
	At       time.Time // UTC, microseconds
	Kind     Kind
	Exchange ID // zero for events of the service itself
	Doc      string
	Hash     Hash
}

// document is the shape of Event.Doc; the order of its fields is the order on disk. It is
// written by appendDocument.
type document struct {
	Chain    string   `json:"chain"`
	Seq      int64    `json:"seq"`
	At       string   `json:"at"`
	Kind     string   `json:"kind"`
	Exchange string   `json:"exchange,omitempty"`
	Facts             // flat
	Digests  []Digest `json:"bodies,omitempty"`
}

// Digest is what the chain says of a body that is kept beside it.
type Digest struct {
	Kind   string `json:"kind"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// timeLayout keeps the six decimals that both databases keep.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Head is the newest event's position in a chain. The zero Seq is a chain without events.
type Head struct {
	Chain string
	Seq   int64
	At    time.Time
	Hash  Hash
}

// Append makes the next event of the chain and moves h to it. Time never runs backwards
// along a chain: at is the later of the clock and the event before. Every event has a user: if
// nobody is named that is [System].
func (h *Head) Append(now time.Time, exchange ID, entry Entry) Event {
	at := now.UTC().Truncate(time.Microsecond)
	if at.Before(h.At) {
		at = h.At
	}
	entry.Facts.User = cmp.Or(entry.Facts.User, System)
	e := Event{Chain: h.Chain, Seq: h.Seq + 1, At: at, Kind: entry.Kind, Exchange: exchange}
	b := append(make([]byte, 0, 1024), h.Hash[:]...)
	b = appendDocument(b, e, entry)
	e.Doc, e.Hash = string(b[len(h.Hash):]), sha256.Sum256(b)
	*h = Head{Chain: e.Chain, Seq: e.Seq, At: e.At, Hash: e.Hash}
	return e
}

// Stamp returns the event's time as its document has it.
func (e Event) Stamp() string { return e.At.UTC().Format(timeLayout) }

func (e Event) document() (document, error) {
	var d document
	if err := json.Unmarshal([]byte(e.Doc), &d); err != nil {
		return document{}, fmt.Errorf("store: event document: not JSON at byte %d", offset(err))
	}
	return d, nil
}

func offset(err error) int64 {
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		return s.Offset
	}
	return 0
}

// HasBodies tells whether the document names bodies.
func (e Event) HasBodies() bool { return strings.Contains(e.Doc, digestsKey) }

// Facts reads the facts out of the document.
func (e Event) Facts() (Facts, error) {
	d, err := e.document()
	return d.Facts, err
}

// Digests reads the digests of the event's bodies out of the document.
func (e Event) Digests() ([]Digest, error) {
	d, err := e.document()
	return d.Digests, err
}
