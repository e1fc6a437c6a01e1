package store

import (
	"context"
	"fmt"
	"strings"
)

// Check says of each of some events what is wrong with it, "" if nothing is: its hash, time and columns,
// by the rules of [Verify], as the event that follows the one before it in its chain. That one is read,
// unless it is among the events. Whether it holds itself is not looked at.
func Check(ctx context.Context, a Audit, events []Event) ([]string, error) {
	links, last := linkCheck{}, make(map[string]Head)
	wrong := make([]string, len(events))
	for i, e := range events {
		before, err := headBefore(ctx, a, e, last[e.Chain])
		if err != nil {
			return nil, fmt.Errorf("store: check %s:%d: %w", e.Chain, e.Seq, err)
		}
		if wrong[i] = "the event before it is missing"; before.Seq == e.Seq-1 {
			wrong[i] = links.event(before, e)
		}
		last[e.Chain] = e.head()
	}
	return wrong, nil
}

func (e Event) head() Head { return Head{Chain: e.Chain, Seq: e.Seq, At: e.At, Hash: e.Hash} }

// headBefore returns the position of the event before e: last, if it is that, or what the chain has there.
func headBefore(ctx context.Context, a Audit, e Event, last Head) (Head, error) {
	if last.Seq == e.Seq-1 {
		return last, nil // which of the first event is the zero head
	}
	for before, err := range a.Events(ctx, Query{Chain: e.Chain, From: e.Seq - 1, Limit: 1}) {
		return before.head(), err
	}
	return Head{}, nil
}

// CheckParts says what is wrong with the bodies that are kept of an event, as [Audit.Parts] returns them;
// "" if they are those that its document names.
func CheckParts(e Event, parts []Part) string {
	switch {
	case !e.HasBodies() && len(parts) > 0:
		return "body is not named in the document"
	case !e.HasBodies():
		return ""
	case len(parts) == 0 || !strings.HasSuffix(e.Doc, string(append(appendDigests(nil, parts), '}'))):
		return "body differs from its digest"
	}
	return ""
}
