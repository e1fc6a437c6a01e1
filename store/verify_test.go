package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// memory is an Audit over one chain in a slice, and of others what commands wrote.
type memory struct {
	Audit
	events []Event
	bodies map[int64][]Part
	err    error // instead of the bodies
	others map[string][]Event
	dark   error // instead of the heads
	hidden int64 // events that Events does not come to
}

func (m *memory) Events(_ context.Context, q Query) iter.Seq2[Event, error] {
	of := m.events
	if q.Chain != "main" {
		of = m.others[q.Chain]
	}
	return func(yield func(Event, error) bool) {
		for _, e := range of {
			if e.Seq >= q.From && !yield(e, nil) {
				return
			}
		}
	}
}

func (m *memory) Heads(context.Context) ([]Head, error) {
	var heads []Head
	for chain, events := range m.others {
		last := events[len(events)-1]
		heads = append(heads, Head{chain, last.Seq, last.At, last.Hash})
	}
	return heads, m.dark
}

// Count tells of hidden events, too, which Events does not come to.
func (m *memory) Count(ctx context.Context, chain string, upTo int64) (n int64, err error) {
	for e := range m.Events(ctx, Query{Chain: chain}) {
		if e.Seq <= upTo {
			n++
		}
	}
	return n + m.hidden, nil
}

func (m *memory) Parts(_ context.Context, e Event) ([]Part, bool, error) {
	parts, ok := m.bodies[e.Seq]
	return parts, ok, m.err
}

func newMemory() *memory {
	m := &memory{bodies: map[int64][]Part{}}
	head := Head{Chain: "main"}
	for i := range 4 {
		entry := Entry{Kind: Exchanged, Facts: Facts{Reason: `,"bodies":[`}}
		if i != 1 {
			entry.Parts = []Part{{Frame, []byte{byte(i)}}, {Reply, nil}}
			m.bodies[int64(i)+1] = entry.Parts
		}
		m.events = append(m.events, head.Append(someTime.Add(time.Duration(i)*time.Second), someID, entry))
	}
	return m
}

func TestVerifyWalksToTheHead(t *testing.T) {
	m := newMemory()
	w, err := Verify(t.Context(), m, "main", true, nil)
	if err != nil {
		t.Fatalf("Verify() error = %v", err)
	}
	last := m.events[3]
	if diff := cmp.Diff(Walk{Head: Head{"main", 4, last.At, last.Hash}, Events: 4, Bodies: 6}, w); diff != "" {
		t.Errorf("Verify() (-want +got):\n%s", diff)
	}
	m.bodies = nil
	if w, err := Verify(t.Context(), m, "main", false, nil); err != nil || w.Bodies != 0 {
		t.Errorf("Verify() without bodies = %v, error %v", w, err)
	}
}

// rehash makes an event's hash right again, as somebody would who knows how it is made.
func rehash(m *memory, i int) {
	previous := Hash{}
	if i > 0 {
		previous = m.events[i-1].Hash
	}
	m.events[i].Hash = sum256(append(previous[:], m.events[i].Doc...))
}

func TestVerifyFinds(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(m *memory)
		seq    int64
		what   string
	}{
		"first event missing":  {func(m *memory) { m.events = m.events[1:] }, 1, "missing, the next event is 2"},
		"event missing":        {func(m *memory) { m.events = append(m.events[:1], m.events[2:]...) }, 2, "missing, the next event is 3"},
		"event twice":          {func(m *memory) { m.events[2] = m.events[1] }, 3, "missing, the next event is 2"},
		"document":             {func(m *memory) { m.events[1].Doc += " " }, 2, "hash does not follow from the event before and the document"},
		"hash":                 {func(m *memory) { m.events[1].Hash[0]++ }, 2, "hash does not follow from the event before and the document"},
		"rewritten event":      {func(m *memory) { m.events[1].Doc += " "; rehash(m, 1) }, 3, "hash does not follow from the event before and the document"},
		"chain":                {func(m *memory) { m.events[1].Chain = "other" }, 2, "chain differs from the document"},
		"time":                 {func(m *memory) { m.events[1].At = m.events[1].At.Add(time.Microsecond) }, 2, "time differs from the document"},
		"kind":                 {func(m *memory) { m.events[1].Kind = Asked }, 2, "kind differs from the document"},
		"exchange":             {func(m *memory) { m.events[1].Exchange = ID{} }, 2, "exchange differs from the document"},
		"sequence":             {func(m *memory) { m.events[1].Doc = m.events[0].Doc; rehash(m, 1) }, 2, "sequence number differs from the document"},
		"not a document":       {func(m *memory) { m.events[1].Doc = "SPECIMEN"; rehash(m, 1) }, 2, "document cannot be read"},
		"back in time":         {func(m *memory) { m.events[1].At = m.events[0].At.Add(-time.Hour) }, 2, "earlier than the event before"},
		"body missing":         {func(m *memory) { delete(m.bodies, 3) }, 3, "body missing"},
		"body empty":           {func(m *memory) { m.bodies[3] = nil }, 3, "body differs from its digest"},
		"body changed":         {func(m *memory) { m.bodies[3] = []Part{{Frame, []byte{9}}, {Reply, nil}} }, 3, "body differs from its digest"},
		"body of other kind":   {func(m *memory) { m.bodies[3][1].Kind = Request }, 3, "body differs from its digest"},
		"one body of two":      {func(m *memory) { m.bodies[3] = m.bodies[3][1:] }, 3, "body differs from its digest"},
		"one body more":        {func(m *memory) { m.bodies[3] = append(m.bodies[3], Part{Frame, nil}) }, 3, "body differs from its digest"},
		"body not to be taken": {func(m *memory) { m.err = ErrParts }, 1, "body damaged"},
	} {
		m := newMemory()
		tt.change(m)
		_, err := Verify(t.Context(), m, "main", true, nil)
		var found *Break
		if !errors.As(err, &found) || *found != (Break{"main", tt.seq, tt.what}) {
			t.Errorf("%s: Verify() error = %v, want a break at %d: %s", name, err, tt.seq, tt.what)
		}
	}
}

// TestVerifyCountsWhatIsLocked, and finds what is wrong behind it.
func TestVerifyCountsWhatIsLocked(t *testing.T) {
	m := newMemory()
	m.err = fmt.Errorf("memory: %w", &MissingKeyError{9})
	w, err := Verify(t.Context(), m, "main", true, nil)
	if diff := cmp.Diff([]Locked{{Key: 9, Bodies: 6, First: 1}}, w.Locked); diff != "" || err != nil || w.Events != 4 || w.Bodies != 0 {
		t.Errorf("Verify() = %+v, error %v; locked (-want +got):\n%s", w, err, diff)
	}
	m.events[3].Doc += " "
	var found *Break
	if w, err = Verify(t.Context(), m, "main", true, nil); !errors.As(err, &found) || found.Seq != 4 || len(w.Locked) != 1 {
		t.Errorf("Verify() = %+v, error %v; want a break at 4", w, err)
	}
}

func TestVerifyStopsWhenItCannotRead(t *testing.T) {
	m := newMemory()
	m.err = ErrUnavailable
	var found *Break
	if _, err := Verify(t.Context(), m, "main", true, nil); !errors.Is(err, ErrUnavailable) || errors.As(err, &found) {
		t.Errorf("Verify() error = %v, want ErrUnavailable and not a break", err)
	}
}
