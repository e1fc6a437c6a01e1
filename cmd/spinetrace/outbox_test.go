package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"spinetrace/store"
)

func TestOutboxList(t *testing.T) {
	j := backlogStore(t)
	code, out, errs := runCommand("outbox", "list", "--as", "operator")
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d, stderr %q", code, errs)
	}
	golden(t, "outbox-list.golden", masked(out))
	if strings.Contains(out, "\x1b") {
		t.Error("a control character of a sender reaches the terminal")
	}
	looks := j.looks(t)
	if len(looks) != 1 || looks[0].User != "operator" || looks[0].Rows != 2 || looks[0].Filters["command"] != "outbox list" {
		t.Errorf("recorded is %+v", looks)
	}
}

func TestOutboxListForPrograms(t *testing.T) {
	backlogStore(t)
	_, out, _ := runCommand("outbox", "list", "--json", "--state", "delivered")
	if got := jsonRows(t, out); len(got) != 1 || got[0]["position"] != 3.0 || got[0]["local_id"] != "D100004" || got[0]["due"] != nil {
		t.Errorf("as JSON: %s", out)
	}
	_, out, _ = runCommand("outbox", "list", "--csv", "--most", "1")
	head, rest, _ := strings.Cut(masked(out), "\n")
	if head != strings.Join(letterColumns, ",")+","+confidential || !strings.HasPrefix(rest, "2,pas,parked,update,MOMENT,,") || strings.Count(rest, "\n") != 2 {
		t.Errorf("as CSV:\n%s", out)
	}
	if _, out, _ = runCommand("outbox", "list", "--state", "dropped"); !strings.HasSuffix(out, "\nThere is no such letter.\n\nrow 0 of 0, page 1 of 1\n") {
		t.Errorf("an empty list is\n%s", out)
	}
}

func TestOutboxRetry(t *testing.T) {
	j := backlogStore(t)
	code, out, errs := runCommand("outbox", "retry", "2", "1", "--as", "operator", "--reason", "PAS mended")
	if want := "letter 2 to pas is tried after letter 1, which is before it\nletter 1 to pas is tried at the next turn, in a few seconds\n"; code != exitOK || out != want || errs != "" {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	events := j.commanded(t)
	if len(events) != 2 || events[0].Kind != store.Requeued || events[0].Exchange != j.ids[0] {
		t.Fatalf("recorded is %v", kindsOf(events))
	}
	f := factsOf(t, events[0])
	if f.User != "operator" || f.Destination != "pas" || f.Letter != 2 || f.ControlID != "ST0002" || f.Reason != "PAS mended" {
		t.Errorf("recorded is %+v", f)
	}
	if l := j.letter(t, 2); l.State != store.Waiting || l.Attempt != 0 || l.Refusals != 0 {
		t.Errorf("letter 2 is %v after %d attempts", l.State, l.Attempt)
	}
}

// letter reads a letter behind the commands' back.
func (j journal) letter(t *testing.T, position int64) store.Letter {
	t.Helper()
	db := j.open(t, "reading")
	defer closeStore(t, db)
	l, ok, err := db.Letter(context.Background(), position)
	if err != nil || !ok {
		t.Fatalf("letter %d: %t, %v", position, ok, err)
	}
	return l
}

func TestOutboxRetryAllParked(t *testing.T) {
	backlogStore(t)
	if code, out, errs := runCommand("outbox", "retry", "--all-parked"); code != exitOK || out != "letter 2 to pas is tried after letter 1, which is before it\n" {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if code, out, _ := runCommand("outbox", "retry", "--all-parked"); code != exitOK || out != "no letter is parked\n" {
		t.Errorf("with nothing parked: exit code %d, %q", code, out)
	}
}

func TestOutboxDrop(t *testing.T) {
	j := backlogStore(t)
	code, out, errs := runCommand("outbox", "drop", "1", "3", "9", "--as", "operator", "--reason", "entered by hand")
	want := "letter 1 to pas is dropped\nletter 3 was delivered before\nletter 9 is not there\n"
	if code != exitFailed || out != want || !strings.Contains(errs, "not all was done") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	events := j.commanded(t)
	if len(events) != 1 || events[0].Kind != store.Withdrawn {
		t.Fatalf("recorded is %v", kindsOf(events))
	}
	if f := factsOf(t, events[0]); f.User != "operator" || f.Letter != 1 || f.Reason != "entered by hand" {
		t.Errorf("recorded is %+v", f)
	}
	if l := j.letter(t, 1); l.State != store.Dropped || l.Reason != "entered by hand" {
		t.Errorf("letter 1 is %v: %s", l.State, l.Reason)
	}
}

// TestOutboxDropLosesToDelivery: what a relay delivered while somebody decided is not dropped.
func TestOutboxDropLosesToDelivery(t *testing.T) {
	j := backlogStore(t)
	db := j.open(t, "main.cli")
	defer closeStore(t, db)
	said, done, err := letterDecision{
		decision: decision{"operator", "too late"}, kind: store.Withdrawn, state: store.Dropped,
	}.one(context.Background(), faster{db}, 1)
	if err != nil || done || said != "was delivered meanwhile" {
		t.Errorf("%q, %t, %v", said, done, err)
	}
}

// faster is a store on which a relay delivers a letter just before it is dropped.
type faster struct{ store.Store }

func (f faster) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	if len(c.Dispatched) > 0 {
		c.Dispatched = append([]store.Dispatch{{Position: c.Dispatched[0].Position, State: store.Delivered}}, c.Dispatched...)
	}
	return f.Store.Commit(ctx, c)
}

// TestOutboxLeavesALetterInFlightAlone: its attempt may end any moment, whatever is decided.
func TestOutboxLeavesALetterInFlightAlone(t *testing.T) {
	j := backlogStore(t)
	db := j.open(t, "main")
	l, _, err := db.Next(context.Background(), "pas", time.Hour)
	closeStore(t, db)
	if err != nil || l.Position != 1 {
		t.Fatalf("Next() = letter %d, %v", l.Position, err)
	}
	for _, args := range []string{"retry 1", "drop 1 --reason late"} {
		code, out, errs := runCommand(strings.Fields("outbox " + args)...)
		if want := "letter 1 is being sent just now; try again in a moment\n"; code != exitFailed || out != want {
			t.Errorf("outbox %s: exit code %d, %q, %q; want %q", args, code, out, errs, want)
		}
	}
	if events := j.commanded(t); len(events) != 0 {
		t.Errorf("recorded is %v", kindsOf(events))
	}
}

func TestOutboxUsage(t *testing.T) {
	backlogStore(t)
	for _, tt := range []struct{ args, says string }{
		{"outbox", "say one of drop, list, retry"},
		{"outbox post", `that is no action; there are drop, list, retry`},
		{"outbox list --state lost", "--state is not one of delivered, dropped, parked, waiting"},
		{"outbox list --json --csv", "exclude each other"},
		{"outbox retry", "give the positions of letters, or --all-parked"},
		{"outbox retry 2 --all-parked", "give the positions of letters, or --all-parked"},
		{"outbox retry two", `"two" is no position`},
		{"outbox retry 2 --as=", "--as must name who decides"},
		{"outbox retry 2 --reason " + strings.Repeat("x", 201), "--reason is too long"},
		{"outbox drop --reason x", "give the positions of letters"},
		{"outbox drop 2", "--reason is missing"},
	} {
		code, out, errs := runCommand(strings.Fields(tt.args)...)
		if code != exitUsage || !strings.Contains(errs, tt.says) || out != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %q", tt.args, code, out, errs, tt.says)
		}
	}
}
