package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// A Break is a place where a chain does not hold.
type Break struct {
	Chain string
	Seq   int64
	What  string // what is wrong there, without content
}

// Error says where and what.
func (b *Break) Error() string {
	return fmt.Sprintf("store: chain %s breaks at %d: %s", b.Chain, b.Seq, b.What)
}

// Walk is what Verify has seen.
type Walk struct {
	Head   Head
	Events int64
	Bodies int64 // checked against their digests
}

// Verify walks one chain from its first event to its head: no gap, each hash right, each
// column equal to its place in the document and, if bodies is true, each body's size and
// digest. It stops at the first break, which is a [*Break]; other errors mean that the
// chain could not be read. progress, if not nil, is called now and then.
func Verify(ctx context.Context, a Audit, chain string, bodies bool, progress func(Walk)) (Walk, error) {
	w := Walk{Head: Head{Chain: chain}}
	for e, err := range a.Events(ctx, Query{Chain: chain, From: 1}) {
		if err != nil {
			return w, fmt.Errorf("store: verify %s: %w", chain, err)
		}
		if what := w.Head.check(e); what != "" {
			return w, &Break{chain, w.Head.Seq + 1, what}
		}
		if bodies {
			n, err := checkParts(ctx, a, e)
			if err != nil {
				return w, err
			}
			w.Bodies += n
		}
		w.Head = Head{Chain: chain, Seq: e.Seq, At: e.At, Hash: e.Hash}
		if w.Events++; progress != nil && w.Events%100_000 == 0 {
			progress(w)
		}
	}
	return w, nil
}

// check says what is wrong with e as the event after h, or "".
func (h Head) check(e Event) string {
	if e.Seq != h.Seq+1 {
		return fmt.Sprintf("missing, the next event is %d", e.Seq)
	}
	if sha256.Sum256(append(h.Hash[:len(h.Hash):len(h.Hash)], e.Doc...)) != e.Hash {
		return "hash does not follow from the event before and the document"
	}
	if e.At.Before(h.At) {
		return "earlier than the event before"
	}
	rest, ok := strings.CutPrefix(e.Doc, string(appendPlace(nil, e)))
	if !ok || e.Exchange == (ID{}) && strings.HasPrefix(rest, exchangeKey) {
		return difference(e)
	}
	return ""
}

// difference says which column is not what the document says.
func difference(e Event) string {
	d, err := e.document()
	switch {
	case err != nil:
		return "document cannot be read"
	case d.Chain != e.Chain:
		return "chain differs from the document"
	case d.Seq != e.Seq:
		return "sequence number differs from the document"
	case d.At != e.At.UTC().Format(timeLayout):
		return "time differs from the document"
	case d.Kind != e.Kind.String():
		return "kind differs from the document"
	}
	return "exchange differs from the document"
}

// checkParts compares an event's bodies with the digests in its document.
func checkParts(ctx context.Context, a Audit, e Event) (int64, error) {
	if !strings.Contains(e.Doc, digestsKey) {
		return 0, nil
	}
	parts, ok, err := a.Parts(ctx, e)
	switch {
	case errors.Is(err, ErrParts):
		return 0, &Break{e.Chain, e.Seq, "body damaged"}
	case err != nil:
		return 0, fmt.Errorf("store: verify %s: body of %d: %w", e.Chain, e.Seq, err)
	case !ok:
		return 0, &Break{e.Chain, e.Seq, "body missing"}
	case len(parts) == 0 || !strings.HasSuffix(e.Doc, string(append(appendDigests(nil, parts), '}'))):
		return 0, &Break{e.Chain, e.Seq, "body differs from its digest"}
	}
	return int64(len(parts)), nil
}
