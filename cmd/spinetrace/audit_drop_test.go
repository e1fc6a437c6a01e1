package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"spinetrace/store"
)

// withBodies commits a message with a body and an answer.
func withBodies(t *testing.T, db store.Journal, id store.ID) {
	t.Helper()
	keep(t, db, store.Commit{
		Exchange: id, Open: &store.Opening{ControlID: "OLD", Type: "ADT^A28"},
		Entries: []store.Entry{{Kind: store.Exchanged, Facts: store.Facts{ControlID: "OLD", Outcome: "not traced"}, Parts: []store.Part{
			{Kind: store.Frame, Data: []byte("MSH|^~\\&|PAS||||20260601||ADT^A28|OLD|P|2.4\r")},
			{Kind: store.Reply, Data: []byte("MSH|^~\\&|S||||20260601||ACK|1|P|2.4\rMSA|AA|OLD\r")},
		}}},
		Close: &store.Closing{Outcome: store.NotTraced},
	})
}

// oldStore is a journal with bodies of which three events' are old enough to go.
func oldStore(t *testing.T) journal {
	t.Helper()
	j := newJournal(t)
	old := time.Now().AddDate(0, 0, -20)
	db := j.openChainAt(t, "old", old)
	defer closeStore(t, db)
	for range 3 {
		withBodies(t, db, idAt(old))
	}
	return j
}

func wantDropped(t *testing.T, says string) {
	t.Helper()
	code, out, errs := runCommand("audit", "drop-bodies", "--before", "240h", "--reason", "retention schedule", "--as", "records manager", "--yes")
	if code != exitOK || out != says || !strings.Contains(errs, "3 events before ") || !strings.Contains(errs, "3 of 3\n") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// wantShownDropped shows a message whose bodies were dropped, of which that is said and nothing is wrong.
func wantShownDropped(t *testing.T) {
	t.Helper()
	code, out, errs := runCommand("audit", "show", "--seq", "old:1")
	if code != exitOK || !strings.Contains(out, " bytes, dropped\n") || !strings.Contains(out, "  values            dropped\n") || strings.Contains(out, "!!") {
		t.Errorf("audit show of a message without bodies: exit code %d\n%s%s", code, out, errs)
	}
}

// TestTDQ03: whoever clears bodies away is in the journal, with the number, before they go.
func TestTDQ03(t *testing.T) {
	j := oldStore(t)
	wantDropped(t, "the bodies of 3 events are dropped\n")
	events := j.commanded(t)
	if len(events) != 1 || events[0].Kind != store.BodiesDropped {
		t.Fatalf("recorded are %d events", len(events))
	}
	f := factsOf(t, events[0])
	before, err := time.Parse(time.RFC3339, f.Details["before"])
	if f.User != "records manager" || f.Rows != 3 || f.Reason != "retention schedule" || err != nil || time.Since(before) < 240*time.Hour {
		t.Errorf("recorded is %+v, %v", f, err)
	}
	code, out, errs := runCommand("audit", "verify", "--bodies")
	if code != exitOK || !strings.Contains(out, "bodies (6 dropped)") {
		t.Errorf("audit verify: exit code %d\n%s%s", code, out, errs)
	}
	wantShownDropped(t)
	_, out, _ = runCommand("audit", "show", "--seq", "main.cli:1")
	for _, want := range []string{"BODIES DROPPED", "records manager", "before 2", "retention schedule"} {
		if !strings.Contains(out, want) {
			t.Errorf("audit show of the record has no %q:\n%s", want, out)
		}
	}
	code, out, _ = runCommand("audit", "drop-bodies", "--before", "240h", "--reason", "again", "--yes")
	if code != exitOK || !strings.HasPrefix(out, "no event before ") || len(j.commanded(t)) != 3 {
		t.Errorf("once more: exit code %d, %s", code, out)
	}
}

func TestDropBodiesAsks(t *testing.T) {
	for answer, want := range map[string]error{"yes\n": nil, "yes": nil, "y\n": errNotAgreed, "no\n": errNotAgreed, "": errNotAgreed} {
		var out bytes.Buffer
		d := dropping{before: seedStart}
		err := d.agreed(console{In: strings.NewReader(answer), Err: &out}, 1200)
		if !errors.Is(err, want) || !strings.HasPrefix(out.String(), "1200 events before 2026-10-20T09:00:00Z will lose their bodies for good.\nWrite yes") {
			t.Errorf("answer %q: %v\n%s", answer, err, out.String())
		}
	}
}

// TestNothingIsDroppedUnrecorded: the record comes first, or nothing happens.
func TestNothingIsDroppedUnrecorded(t *testing.T) {
	j := oldStore(t)
	db := j.open(t, "main.cli")
	defer closeStore(t, db)
	d := dropping{before: time.Now().AddDate(0, 0, -10), decision: decision{who: "x", reason: "y"}}
	var out bytes.Buffer
	if err := d.drop(context.Background(), console{Out: &out, Err: &out}, unwritable{db}, 3); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("drop() = %v", err)
	}
	if n, err := db.CountBodies(context.Background(), d.before); n != 3 || err != nil {
		t.Errorf("%d events have old bodies, %v; want 3", n, err)
	}
}

func TestDropBodiesUsage(t *testing.T) {
	newJournal(t)
	t.Setenv(prefix+"DUPLICATE_WINDOW", "720h")
	for args, says := range map[string]string{
		"--reason x --yes":                           "--before is missing",
		"--before 2026-01-01 --yes":                  "--reason is missing",
		"--before soon --reason x --yes":             "--before is not a time",
		"--before 191h --reason x --yes":             "--before is less than 8 days ago",
		"--before 2999-01-01 --reason x --yes":       "--before is less than 8 days ago",
		"--before 300h --reason x --yes":             "which is how far SPINETRACE_DUPLICATE_WINDOW reaches",
		"--before 2026-01-01 --reason x":             "nobody can be asked here; give --yes",
		"--before 2026-01-01 --reason x --yes --as=": "--as must name",
	} {
		code, out, errs := runCommand(append([]string{"audit", "drop-bodies"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(errs, says) || out != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %q", args, code, out, errs, says)
		}
	}
}
