package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"spinetrace/mllp"
	"spinetrace/store"
)

// hl7Sink writes messages as they came, each in a frame of MLLP: nothing else keeps their bytes as
// they are, line ends and all, and `send` reads such a file as it is.
type hl7Sink struct {
	db      store.Audit
	w       io.Writer
	replies bool

	dropped, cut, damaged int // messages that are left out
}

func newHL7Sink(x *exporting, db store.Store, t *target) (sink, error) {
	return &hl7Sink{db: db, w: t, replies: x.replies}, nil
}

// kinds returns which bodies of an event are wanted.
func (s *hl7Sink) kinds(k store.Kind) []store.PartKind {
	switch {
	case k == store.Received, k == store.Exchanged && !s.replies:
		return []store.PartKind{store.Frame}
	case k == store.Exchanged:
		return []store.PartKind{store.Frame, store.Reply}
	case k == store.Replied && s.replies:
		return []store.PartKind{store.Reply}
	}
	return nil
}

func (s *hl7Sink) take(ctx context.Context, e store.Event) (rows int, err error) {
	kinds := s.kinds(e.Kind)
	if len(kinds) == 0 {
		return 0, nil
	}
	digests, err := e.Digests()
	facts, err2 := e.Facts()
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("%s: %w; audit verify says where the chain breaks", place{e.Chain, e.Seq}, err)
	}
	wanted := func(d store.Digest) bool {
		return slices.ContainsFunc(kinds, func(k store.PartKind) bool { return k.String() == d.Kind })
	}
	switch {
	case !slices.ContainsFunc(digests, wanted):
		return 0, nil // a question from the command line, or a message that is not answered
	case strings.Contains(facts.Reason, tooLarge):
		s.cut++
		return 0, nil
	}
	return s.write(ctx, e, kinds)
}

// tooLarge is in the reason why a message was refused of which only the beginning was kept.
const tooLarge = "Message too large"

func (s *hl7Sink) write(ctx context.Context, e store.Event, kinds []store.PartKind) (rows int, err error) {
	parts, kept, err := s.db.Parts(ctx, e)
	switch {
	case errors.Is(err, store.ErrParts):
		s.damaged++
		return 0, nil
	case errors.Is(err, store.ErrNoBodyKey):
		return 0, fmt.Errorf("%w; add it to %sBODY_KEY", err, prefix)
	case err != nil:
		return 0, err
	case !kept:
		s.dropped++
		return 0, nil
	}
	for _, kind := range kinds {
		if body, ok := store.FindPart(parts, kind); ok && len(body) > 0 {
			if err := mllp.WriteFrame(s.w, body); err != nil {
				return rows, err
			}
			rows++
		}
	}
	return rows, nil
}

func (s *hl7Sink) end() error { return nil }

func (s *hl7Sink) left() (note string, fault error) {
	if s.dropped > 0 {
		note += fmt.Sprintf("; %d left out, not kept any more: audit verify --bodies tells whether they were dropped", s.dropped)
	}
	if s.cut > 0 {
		note += fmt.Sprintf("; %d left out: refused as too large, and never kept whole", s.cut)
	}
	if s.damaged > 0 {
		fault = fmt.Errorf("%d left out, because what is stored is damaged; audit verify --bodies says what", s.damaged)
	}
	return note, fault
}
