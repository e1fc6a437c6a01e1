package store

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Errors a caller can test for.
var (
	// ErrUnavailable says that the commit did not happen as far as the caller may know: the
	// store cannot be reached, is recovering, or is shutting down. Nothing positive may be said.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrRejected says that the store refused this commit alone, because of what is in it.
	// It was not kept and will not be if repeated.
	ErrRejected = errors.New("store: commit rejected")
	// ErrSchema says that the database's schema is not one this program knows.
	ErrSchema = errors.New("store: unknown schema")
	// ErrChainInUse says that another process is writing the chain.
	ErrChainInUse = errors.New("store: chain in use")
	// ErrBodiesDenied says that the login may read the journal, and no bodies.
	ErrBodiesDenied = errors.New("store: this login may not read bodies")
)

// ID names an exchange: a UUIDv7, so that ids sort by the time they were made.
type ID = uuid.UUID

// NewID makes an ID.
func NewID() ID { return uuid.Must(uuid.NewV7()) }

// A Journal keeps what happened. It is safe for concurrent use.
type Journal interface {
	// Commit makes all of c durable, or nothing, and returns when it is on disk. It waits
	// no longer than ctx; a commit whose caller has gone may still happen, so nothing that c
	// points at may be changed afterwards. Errors are [ErrUnavailable] and [ErrRejected],
	// wrapped; neither holds any of c's content.
	Commit(ctx context.Context, c Commit) (Receipt, error)
	// Answer returns the reply that an exchange was closed with, byte for byte. ok is false
	// while it has none.
	Answer(ctx context.Context, exchange ID) (reply []byte, ok bool, err error)
}

// A Store is a Journal with its life, its readers, and what is kept beside it: the index of
// patients, the queue of work, the letters that are to be delivered, the items that people have
// to look at.
type Store interface {
	Journal
	Audit
	Index
	Queue
	Outbox
	Piles
	Backlog
	Pruner

	// Start connects, checks the schema and takes the chain; it returns when the store
	// accepts commits. While the store cannot be reached it keeps trying until ctx ends.
	// What waiting cannot mend is an error at once: a wrong password, a missing database,
	// [ErrSchema], [ErrOtherBodyKey], [ErrNoBodyKey], and [ErrChainInUse] once the chain was held for [Options.ChainWait].
	// Afterwards the store mends itself whenever it can.
	Start(ctx context.Context) error
	// Ready says whether a commit would be tried now, and if not, why, in one sentence for
	// an operator.
	Ready() error
	// Unkeyed says why commits with bodies are refused: the chain is that of commands, and the key is
	// not given that bodies are encrypted with; [ErrNoBodyKey]. A service does not start then.
	Unkeyed() error
	// Close finishes the commits in hand, gives the chain back and waits for everything the
	// store runs.
	Close() error
}

// Audit reads what the journal holds. Readers take no lock that a writer would wait for.
type Audit interface {
	// Heads returns the newest event's position of every chain that has one, by name.
	Heads(ctx context.Context) ([]Head, error)
	// Events returns the events of one chain, in order, from q.From on; or those of one
	// exchange, across chains, in the order they happened.
	Events(ctx context.Context, q Query) iter.Seq2[Event, error]
	// Count returns how many events a chain has up to a number, wherever they stand. Events comes to
	// none that is out of its place in time.
	Count(ctx context.Context, chain string, upTo int64) (int64, error)
	// Strays counts what belongs to nothing; unless bodies is true, the events of no chain only.
	Strays(ctx context.Context, bodies bool) (Strays, error)
	// Parts returns the bodies that an event's digests point at; ok is false when they are
	// no longer kept. Errors are, among others, [ErrParts], [ErrNoBodyKey] and [ErrBodiesDenied].
	Parts(ctx context.Context, e Event) (parts []Part, ok bool, err error)
	// Search returns exchanges, newest first. The order of two is that of their ids, and never
	// changes.
	Search(ctx context.Context, s Search) ([]Exchange, error)
	// Rows returns what every exchange is found by, with its events, in the order of ids: also of
	// those that have events alone, or no events.
	Rows(ctx context.Context) iter.Seq2[Row, error]
}

// Strays are rows of the journal that belong to nothing: nobody would come to them by walking the
// chains, or by searching.
type Strays struct {
	Events    int64 `json:"events"`    // of no chain
	Bodies    int64 `json:"bodies"`    // of no event
	Exchanges int64 `json:"exchanges"` // that have events, and cannot be searched for
}

// Query selects events: by Chain, From and Limit, or by Exchange.
type Query struct {
	Chain    string
	From     int64 // the first sequence number; 0 and 1 mean the chain's beginning
	Limit    int   // at most so many, which are read at once; 0: all
	Exchange ID    // if not zero, the rest is ignored
}

// Options are what both stores need to know. Zero values mean the documented defaults.
type Options struct {
	Chain       string           // the chain this process writes; default "main"
	ChainWait   time.Duration    // how long Start waits for a chain that is in use; default 15 s
	ClaimWindow time.Duration    // claims older than this are purged; default 168 h
	BodyKeys    *BodyKeys        // bodies are encrypted with the newest of them; nil: they are not
	Now         func() time.Time // default time.Now
	Log         *slog.Logger     // recovery, takeover, purging; never content. Default: discarded
}

// Commands tells whether the chain is that of the command line. It need not have the newest body key
// to read, nor writes down new ones.
func (o Options) Commands() bool { return strings.HasSuffix(o.Chain, CommandChain) }

// HasBodies tells whether some entry has bodies.
func (c Commit) HasBodies() bool {
	return slices.ContainsFunc(c.Entries, func(e Entry) bool { return len(e.Parts) > 0 })
}

// WithDefaults returns o with its zero values replaced.
func (o Options) WithDefaults() Options {
	if o.Chain == "" {
		o.Chain = "main"
	}
	if o.ChainWait == 0 {
		o.ChainWait = 15 * time.Second
	}
	if o.ClaimWindow == 0 {
		o.ClaimWindow = 168 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
