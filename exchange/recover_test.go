package exchange_test

import (
	"context"
	"strings"
	"testing"

	"spinetrace/store"
)

// leave takes a message down as a process does that dies before it answers.
func leave(t *testing.T, d *disk, message string) store.ID {
	t.Helper()
	id := store.NewID()
	_, err := d.Commit(context.Background(), store.Commit{
		Exchange: id,
		Open:     &store.Opening{ControlID: "LEFT"},
		Entries: []store.Entry{{
			Kind: store.Received, Parts: []store.Part{{Kind: store.Frame, Data: []byte(message)}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// kindsOf returns the story of an exchange.
func kindsOf(t *testing.T, d *disk, id store.ID) string {
	t.Helper()
	var kinds []string
	for e, err := range d.Events(context.Background(), store.Query{Exchange: id}) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Kind.String())
	}
	return strings.Join(kinds, " ")
}

// TestWhatWasLeftUnansweredIsTraced: its sender may never send it again.
func TestWhatWasLeftUnansweredIsTraced(t *testing.T) {
	d := newDisk(t)
	traced := leave(t, d, a28("LEFT1"))
	stored := leave(t, d, strings.ReplaceAll(a28("LEFT2"), "A28", "A03"))
	broken := leave(t, d, "no HL7")
	s := newSite(d)
	s.provider.say = verified
	for want := 3; want >= 0; want -= 3 { // a second start finds nothing new
		if n, err := s.handler.Recover(context.Background(), d, "main"); err != nil || n != want {
			t.Fatalf("Recover() = %d, %v; want %d", n, err, want)
		}
	}
	left, err := d.Pending(context.Background(), false, 10)
	if err != nil || len(left) != 1 || left[0].Exchange != traced {
		t.Fatalf("queued: %v, %v; want the one that traces", left, err)
	}
	for id, want := range map[store.ID]string{
		traced: "received interrupted", stored: "received interrupted", broken: "received interrupted",
	} {
		if got := kindsOf(t, d, id); got != want {
			t.Errorf("story: %s, want %s", got, want)
		}
	}
}
