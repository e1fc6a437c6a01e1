package exchange_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

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
			Kind: store.Received, Facts: store.Facts{ControlID: "LEFT", User: store.System}, Parts: []store.Part{{Kind: store.Frame, Data: []byte(message)}},
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

// TestWhatWasLeftUnansweredIsTracedAfterALongStop: the start itself is in the journal by then.
func TestWhatWasLeftUnansweredIsTracedAfterALongStop(t *testing.T) {
	d := newDisk(t)
	leave(t, d, a28("LEFT4"))
	d.stop(t)
	d.now = func() time.Time { return noon().Add(time.Hour) }
	d.start(t)
	if _, err := d.Commit(context.Background(), store.Commit{Entries: []store.Entry{{Kind: store.Started}}}); err != nil {
		t.Fatal(err)
	}
	s := newSite(d)
	if n, err := s.handler.Recover(context.Background(), d, "main"); err != nil || n != 1 {
		t.Errorf("Recover() = %d, %v; want 1", n, err)
	}
}

// TestWhatWasLeftUnansweredWaitsForTheIndex: without it nobody knows whether to trace.
func TestWhatWasLeftUnansweredWaitsForTheIndex(t *testing.T) {
	d := newDisk(t)
	leave(t, d, a28("LEFT5"))
	s := newSite(d)
	s.handler.Index = unread{}
	if _, err := s.handler.Recover(context.Background(), d, "main"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Recover() = %v, want %v", err, store.ErrUnavailable)
	}
	s.handler.Index = d
	if n, err := s.handler.Recover(context.Background(), d, "main"); err != nil || n != 1 {
		t.Errorf("Recover() = %d, %v; want 1", n, err)
	}
	if left, err := d.Pending(context.Background(), false, 10); err != nil || len(left) != 1 {
		t.Errorf("queued: %v, %v; want one", left, err)
	}
}

// unread is an index that cannot be read.
type unread struct{ store.Index }

// Patient implements store.Index.
func (unread) Patient(context.Context, store.PatientKey) (store.Patient, bool, error) {
	return store.Patient{}, false, store.ErrUnavailable
}
