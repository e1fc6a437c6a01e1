package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"spinetrace/exchange"
	"spinetrace/store"
)

func TestItemsList(t *testing.T) {
	j := backlogStore(t)
	code, out, errs := runCommand("items", "list", "--as", "clerk")
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d, stderr %q", code, errs)
	}
	golden(t, "items-list.golden", masked(out))
	if looks := j.looks(t); len(looks) != 1 || looks[0].User != "clerk" || looks[0].Rows != 3 {
		t.Errorf("recorded is %+v", looks)
	}
}

func TestItemsListChooses(t *testing.T) {
	backlogStore(t)
	for args, want := range map[string]string{
		"":                                   "1 2 3",
		"--kind discrepancy":                 "2",
		"--most 2":                           "1 2",
		"--local-id D100004":                 "1 2",
		"--local-id D100004 --authority rxx": "1 2",
		"--local-id D100004 --authority RYY": "",
		"--local-id D100004 --most 1":        "1",
		"--closed":                           "",
	} {
		_, out, errs := runCommand(append([]string{"items", "list", "--json"}, strings.Fields(args)...)...)
		var numbers []string
		for _, line := range jsonRows(t, out) {
			numbers = append(numbers, number(int64(line["number"].(float64))))
		}
		if got := strings.Join(numbers, " "); got != want {
			t.Errorf("items list %s: %q, want %q\n%s", args, got, want, errs)
		}
	}
}

// TestItemsListReadsEveryPage: what is filtered here may be on any page.
func TestItemsListReadsEveryPage(t *testing.T) {
	j := backlogStore(t)
	db := j.open(t, "main.cli")
	defer closeStore(t, db)
	var got int
	err := eachItem(context.Background(), db, store.ItemQuery{Limit: 1}, func(store.Item) bool { got++; return true })
	if err != nil || got != 3 {
		t.Errorf("%d items in pages of one, %v; want 3", got, err)
	}
}

func TestItemsListCSV(t *testing.T) {
	backlogStore(t)
	_, out, _ := runCommand("items", "list", "--csv", "--kind", "replaced number")
	want := strings.Join(itemColumns, ",") + "," + confidential + "\n1,replaced number,MOMENT,MOMENT,1,RXX,D100004,9990600147,UUID,,,,\n,,,,,,,,,,,,\"row 1 of 1, page 1 of 1\"\n"
	if masked(out) != want {
		t.Errorf("as CSV:\n%swant\n%s", masked(out), want)
	}
}

func TestItemsShow(t *testing.T) {
	j := backlogStore(t)
	code, out, errs := runCommand("items", "show", "1", "2", "3", "--as", "clerk")
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d, stderr %q", code, errs)
	}
	golden(t, "items-show.golden", masked(out))
	if looks := j.looks(t); len(looks) != 3 || looks[0].User != "clerk" || looks[0].Filters["item"] != "1" || looks[0].Rows != 1 {
		t.Errorf("recorded is %+v", looks)
	}
}

// TestItemsShowSaysWhatIsWrongWithANumber: one that was replaced belongs to the patient all the same.
func TestItemsShowSaysWhatIsWrongWithANumber(t *testing.T) {
	for kind, want := range map[store.ItemKind]string{
		store.ReplacedNumber: "999 060 0147 (superseded)", store.InvalidNumber: "999 060 0147 (invalid)",
	} {
		rows := docRows(kind, exchange.ItemDoc{NHSNumber: "9990600147", Invalid: true, Numbers: []string{"9990000018"}})
		if rows[0].value != want || rows[1] != (factRow{"NHS number sent", "999 000 0018"}) {
			t.Errorf("%s: %q; want %q", kind, rows[:2], want)
		}
	}
}

func TestItemsShowJSON(t *testing.T) {
	backlogStore(t)
	_, out, _ := runCommand("items", "show", "1", "--json")
	got := jsonLines(t, out)
	if len(got) != 1 || got[0]["kind"] != "replaced number" || got[0]["nhs_number"] != "9990600147" {
		t.Fatalf("as JSON: %s", out)
	}
	if details := got[0]["details"].(map[string]any); details["nhs_number_found"] != "9994104616" || details["nhs_number_invalid"] != true {
		t.Errorf("details: %v", details)
	}
}

func TestItemsNothingIsShownUnrecorded(t *testing.T) {
	j := backlogStore(t)
	db := j.open(t, "main.cli")
	defer closeStore(t, db)
	var out strings.Builder
	if err := showItem(context.Background(), console{Out: &out}, unwritable{db}, 1, "clerk", false); err == nil || out.Len() > 0 {
		t.Errorf("showItem() = %v, and %d bytes were shown", err, out.Len())
	}
}

func TestItemsClose(t *testing.T) {
	j := backlogStore(t)
	code, out, errs := runCommand("items", "close", "1", "2", "--as", "clerk", "--reason", "records merged")
	if code != exitOK || out != "item 1 is closed\nitem 2 is closed\n" || errs != "" {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	events := j.commanded(t)
	if len(events) != 2 || events[1].Kind != store.ItemClosed || events[1].Exchange != j.ids[0] {
		t.Fatalf("recorded is %v", kindsOf(events))
	}
	if f := factsOf(t, events[1]); f.User != "clerk" || f.Item != 2 || f.Reason != "records merged" {
		t.Errorf("recorded is %+v", f)
	}
	code, out, _ = runCommand("items", "close", "2", "8", "--reason", "again")
	if code != exitFailed || out != "item 2 was closed before\nitem 8 is not there\n" {
		t.Errorf("again: exit code %d\n%s", code, out)
	}
	_, out, _ = runCommand("items", "show", "2")
	golden(t, "items-closed.golden", masked(out))
}

// TestItemsCloseAll: also more than a page of them, and no other kind.
func TestItemsCloseAll(t *testing.T) {
	j := backlogStore(t)
	db := j.open(t, "main")
	c := store.Commit{Exchange: j.ids[0], Entries: []store.Entry{{Kind: store.Tried}}}
	for n := range pageSize {
		c.Items = append(c.Items, store.Item{Kind: store.Undelivered, Subject: fmt.Sprint("record ", n), Exchange: j.ids[0]})
	}
	keep(t, db, c)
	closeStore(t, db)
	args := []string{"items", "close", "--all", "--kind", "not delivered", "--reason", "the PAS was replaced", "--as", "operator"}
	for _, want := range []string{"501 items of kind not delivered closed\n", "0 items of kind not delivered closed\n"} {
		if code, out, errs := runCommand(args...); code != exitOK || out != want || errs != "" {
			t.Errorf("exit code %d, %q, %q; want %q", code, out, errs, want)
		}
	}
	if events := j.commanded(t); len(events) != 501 || factsOf(t, events[500]).User != "operator" {
		t.Errorf("%d events are recorded", len(events))
	}
	if _, out, _ := runCommand("items", "list", "--json"); strings.Count(out, `"number":`) != 2 {
		t.Errorf("left open are\n%s", out)
	}
}

// TestItemsCloseTruth: while a stored result is used again nothing opens another item.
func TestItemsCloseTruth(t *testing.T) {
	_, out, _ := runCommand("items", "close", "-h")
	if !strings.Contains(out, "the next trace of the patient opens\nanother: after RETRACE_AFTER, or once the record has changed.") {
		t.Errorf("items close -h:\n%s", out)
	}
}

func TestItemsUsage(t *testing.T) {
	backlogStore(t)
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"items", exitUsage, "say one of close, list, show"},
		{"items find", exitUsage, `that is no action; there are close, list, show`},
		{"items list --kind gossip", exitUsage, "--kind is not one of shared number, "},
		{"items list --authority RXX", exitUsage, "--authority goes with --local-id"},
		{"items list --most 0", exitUsage, "--most must be 1 or more"},
		{"items show", exitUsage, "give the numbers of items"},
		{"items show one", exitUsage, `"one" is no item`},
		{"items show 1 --as=", exitUsage, "--as must name who looks"},
		{"items show 9", exitFailed, "there is no item 9"},
		{"items show 8 9 --json", exitFailed, "there is no item 8, 9"},
		{"items close --reason x", exitUsage, "give the numbers of items"},
		{"items close 1", exitUsage, "--reason is missing"},
		{"items close --all --reason x", exitUsage, "--all needs a --kind, one of shared number, "},
		{"items close --all --kind gossip --reason x", exitUsage, "--all needs a --kind, one of shared number, "},
		{"items close 1 --all --kind discrepancy --reason x", exitUsage, "give the numbers of items, or --all, not both"},
		{"items close 1 --kind discrepancy --reason x", exitUsage, "--kind goes with --all"},
		{"items close --all --kind discrepancy", exitUsage, "--reason is missing"},
	} {
		code, out, errs := runCommand(strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(errs, tt.says) || out != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %d, %q", tt.args, code, out, errs, tt.code, tt.says)
		}
	}
}
