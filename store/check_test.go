package store

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"
)

// counted is a memory that counts how often events are read.
type counted struct {
	*memory
	reads int
}

func (c *counted) Events(ctx context.Context, q Query) iter.Seq2[Event, error] {
	c.reads++
	return c.memory.Events(ctx, q)
}

// TestCheckReadsOnceForAStretch of events that follow each other, and not before the first one.
func TestCheckReadsOnceForAStretch(t *testing.T) {
	for _, tt := range []struct {
		events []int
		reads  int
	}{{[]int{0, 1, 2, 3}, 0}, {[]int{1, 2, 3}, 1}, {[]int{1, 3}, 2}, {[]int{0, 2, 3}, 1}, {nil, 0}} {
		m := &counted{memory: newMemory()}
		var events []Event
		for _, i := range tt.events {
			events = append(events, m.events[i])
		}
		wrong, err := Check(t.Context(), m, events)
		if strings.Join(wrong, "") != "" || len(wrong) != len(events) || err != nil || m.reads != tt.reads {
			t.Errorf("Check(%v) = %q, error %v, after %d reads; want nothing wrong after %d", tt.events, wrong, err, m.reads, tt.reads)
		}
	}
}

func TestCheckFinds(t *testing.T) {
	const follows = "hash does not follow from the event before and the document"
	for name, tt := range map[string]struct {
		change func(m *memory)
		want   []string
	}{
		"document":        {func(m *memory) { m.events[1].Doc += " " }, []string{"", follows, "", ""}},
		"hash":            {func(m *memory) { m.events[1].Hash[0]++ }, []string{"", follows, follows, ""}},
		"rewritten event": {func(m *memory) { m.events[1].Doc += " "; rehash(m, 1) }, []string{"", "", follows, ""}},
		"kind":            {func(m *memory) { m.events[3].Kind = Asked }, []string{"", "", "", "kind differs from the document"}},
		"back in time": {func(m *memory) { m.events[1].At = m.events[0].At.Add(-time.Hour) },
			[]string{"", "earlier than the event before", "", ""}},
		"event missing": {func(m *memory) { m.events = slices.Delete(m.events, 1, 2) }, []string{"", "the event before it is missing", ""}},
		"first missing": {func(m *memory) { m.events = m.events[1:] }, []string{"the event before it is missing", "", ""}},
	} {
		m := newMemory()
		tt.change(m)
		got, err := Check(t.Context(), m, m.events)
		if !slices.Equal(got, tt.want) || err != nil {
			t.Errorf("%s: Check() = %q, error %v; want %q", name, got, err, tt.want)
		}
	}
}

// unreadable is an Audit whose events cannot be read.
type unreadable struct{ Audit }

func (unreadable) Events(context.Context, Query) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) { yield(Event{}, ErrUnavailable) }
}

func TestCheckStopsWhenItCannotRead(t *testing.T) {
	if _, err := Check(t.Context(), unreadable{}, newMemory().events[1:]); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Check() error = %v, want ErrUnavailable", err)
	}
}

func TestCheckParts(t *testing.T) {
	m := newMemory() // its second event has no bodies
	first, right := m.events[0], m.bodies[1]
	for name, tt := range map[string]struct {
		event Event
		parts []Part
		want  string
	}{
		"as they were":    {first, right, ""},
		"none of none":    {m.events[1], nil, ""},
		"other content":   {first, []Part{{Frame, []byte{9}}, {Reply, nil}}, "body differs from its digest"},
		"none of some":    {first, nil, "body differs from its digest"},
		"one of two":      {first, right[:1], "body differs from its digest"},
		"not in document": {m.events[1], right, "body is not named in the document"},
	} {
		if got := CheckParts(tt.event, tt.parts); got != tt.want {
			t.Errorf("%s: CheckParts() = %q, want %q", name, got, tt.want)
		}
	}
}
