package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
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
	Head     Head
	Events   int64
	Bodies   int64    // checked against their digests
	Dropped  int64    // not kept any more, as an event of kind [BodiesDropped] says
	Locked   []Locked // not checked, by key
	Wrong    []Break  // whose bodies are missing or changed, the first [MostWrong]
	Anchored []Head   // of other chains, every one that the chain names, in order, those that did not move once; without times
}

// MostWrong is how many events with wrong bodies a [Walk] names.
const MostWrong = 1000

// Locked are bodies that were not compared: they were encrypted with a key that is not given.
type Locked struct {
	Key    int
	Bodies int64
	First  int64 // the event that the first of them belongs to
}

// locked counts the bodies of an event under a key's number.
func (w *Walk) locked(e Event, key int) error {
	digests, err := e.Digests()
	if err != nil {
		return &Break{e.Chain, e.Seq, "document cannot be read"}
	}
	i := slices.IndexFunc(w.Locked, func(l Locked) bool { return l.Key == key })
	if i < 0 {
		i, w.Locked = len(w.Locked), append(w.Locked, Locked{Key: key, First: e.Seq})
	}
	w.Locked[i].Bodies += int64(len(digests))
	return nil
}

// Verify walks one chain from its first event to its head: no gap, each hash right, each
// column equal to its place in the document and, if bodies is true, each body's size and
// digest. Bodies of exchanges that began before [DroppedBefore] may be missing, and those whose keys
// are not given are counted. It stops at the first break of the chain, which is a [*Break], and goes on behind wrong
// bodies, of which it returns the first if the chain itself holds; other errors mean
// that the chain could not be read. How far the chain should get is for the caller to compare, with [Audit.Heads]
// and what was kept elsewhere. progress, if not nil, is called now and then.
func Verify(ctx context.Context, a Audit, chain string, bodies bool, progress func(Walk)) (Walk, error) {
	w := Walk{Head: Head{Chain: chain}}
	check, links, latest := bodyCheck{audit: a}, linkCheck{}, make(map[string]Head)
	for e, err := range a.Events(ctx, Query{Chain: chain, From: 1}) {
		if err != nil {
			return w, fmt.Errorf("store: verify %s: %w", chain, err)
		}
		if what := links.event(w.Head, e); what != "" {
			return w, &Break{chain, w.Head.Seq + 1, what}
		}
		if bodies {
			if err := w.wrong(check.event(ctx, e, &w)); err != nil {
				return w, err
			}
		}
		if e.Kind == Anchored {
			if what := w.anchored(e, latest); what != "" {
				return w, &Break{chain, e.Seq, what}
			}
		}
		w.Head = e.head()
		if w.Events++; progress != nil && w.Events%100_000 == 0 {
			progress(w)
		}
	}
	n, err := a.Count(ctx, chain, w.Head.Seq)
	switch {
	case err != nil:
		return w, fmt.Errorf("store: verify %s: %w", chain, err)
	case n > w.Events:
		return w, &Break{chain, w.Head.Seq, fmt.Sprintf("%d more events have numbers up to this one, and stand out of their place in time", n-w.Events)}
	case len(w.Wrong) > 0:
		return w, &w.Wrong[0]
	}
	return w, nil
}

// wrong notes a break that is one of bodies. The chain goes on behind it: its hashes are of documents alone.
func (w *Walk) wrong(err error) error {
	var b *Break
	if !errors.As(err, &b) {
		return err
	}
	if len(w.Wrong) < MostWrong {
		w.Wrong = append(w.Wrong, *b)
	}
	return nil
}

// linkCheck compares events with the heads before them. Its memory is used again.
type linkCheck struct{ buf []byte }

// event says what is wrong with e as the event after h, or "".
func (c *linkCheck) event(h Head, e Event) string {
	if e.Seq != h.Seq+1 {
		return fmt.Sprintf("missing, the next event is %d", e.Seq)
	}
	c.buf = append(append(c.buf[:0], h.Hash[:]...), e.Doc...)
	if sha256.Sum256(c.buf) != e.Hash {
		return "hash does not follow from the event before and the document"
	}
	if e.At.Before(h.At) {
		return "earlier than the event before"
	}
	c.buf = appendPlace(c.buf[:0], e)
	n := min(len(c.buf), len(e.Doc))
	if e.Doc[:n] != string(c.buf) || e.Exchange == (ID{}) && strings.HasPrefix(e.Doc[n:], exchangeKey) {
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

// bodyCheck compares bodies with the digests in the documents of their events.
type bodyCheck struct {
	audit Audit
	since ID // exchanges before this one may have lost their bodies
}

func (c *bodyCheck) dropped(e Event) bool { return bytes.Compare(e.Exchange[:], c.since[:]) < 0 }

// event checks one event's bodies, and counts them in w.
func (c *bodyCheck) event(ctx context.Context, e Event, w *Walk) error {
	if !e.HasBodies() {
		return nil
	}
	parts, ok, err := c.audit.Parts(ctx, e)
	var lacking *MissingKeyError
	switch {
	case errors.As(err, &lacking):
		return w.locked(e, lacking.Number)
	case errors.Is(err, ErrParts):
		return &Break{e.Chain, e.Seq, "body damaged"}
	case err != nil:
		return fmt.Errorf("store: verify %s: body of %d: %w", e.Chain, e.Seq, err)
	case !ok:
		return c.missing(ctx, e, w)
	}
	if what := CheckParts(e, parts); what != "" {
		return &Break{e.Chain, e.Seq, what}
	}
	w.Bodies += int64(len(parts))
	return nil
}

// missing tells bodies that were dropped from bodies that are gone. It goes by when the exchange
// began, as dropping does: an event of it may be weeks younger. Bodies may be dropped meanwhile.
func (c *bodyCheck) missing(ctx context.Context, e Event, w *Walk) error {
	if !c.dropped(e) {
		before, err := DroppedBefore(ctx, c.audit)
		if err != nil {
			return err
		}
		c.since = FirstID(before)
	}
	if !c.dropped(e) {
		return &Break{e.Chain, e.Seq, "body missing"}
	}
	digests, err := e.Digests()
	if err != nil {
		return &Break{e.Chain, e.Seq, "document cannot be read"}
	}
	w.Dropped += int64(len(digests))
	return nil
}
