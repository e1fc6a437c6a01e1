package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"spinetrace/store"
)

// qualityStore is a journal, closed again, with something in every section of the report, and beside
// each what must not be in it.
func qualityStore(t *testing.T) journal {
	t.Helper()
	j := backlogStore(t)
	old := j.openChainAt(t, "old", time.Now().AddDate(0, 0, -60))
	exchanged(t, old, "NT8", store.Facts{Application: "PAS", Facility: "RXX", Type: "ADT^A31", Outcome: "not traced", Reason: "name"})
	closeStore(t, old)
	db := j.open(t, "main")
	defer closeStore(t, db)
	more := []store.Item{{
		Kind: store.InvalidNumber, Subject: "RXX^D100008", Exchange: j.ids[0], NHSNumber: "9990000026",
		Patient: store.PatientKey{Authority: "RXX", LocalID: "D100008"}, Doc: "{}",
	}, {
		Kind: store.SharedNumber, Subject: "NHS number 9994104616", Exchange: j.ids[0], NHSNumber: "9994104616",
		Patient: store.PatientKey{Authority: "RXX", LocalID: "D100009"}, Doc: "{}",
	}}
	keep(t, db, store.Commit{
		Exchange: j.ids[0], Entries: []store.Entry{{Kind: store.Finished}}, Items: more, Patients: qualityPatients(j.ids[0]),
	})
	for i, reason := range []string{"status", "status", "birth date"} {
		exchanged(t, db, fmt.Sprint("NT", i), store.Facts{Application: "PAS", Facility: "RXX", Type: "ADT^A31", Outcome: "not traced", Reason: reason})
	}
	exchanged(t, db, "NT9", store.Facts{Application: "LAB", Type: "QBP^Q23", Outcome: "not traced", Reason: "verified in the index"})
	received(t, db)
	return j
}

// exchanged commits a message and its answer in one event.
func exchanged(t *testing.T, db store.Journal, controlID string, f store.Facts) {
	t.Helper()
	f.ControlID = controlID
	keep(t, db, store.Commit{
		Exchange: store.NewID(), Open: &store.Opening{ControlID: controlID, Type: f.Type},
		Entries: []store.Entry{{Kind: store.Exchanged, Facts: f}}, Close: &store.Closing{Outcome: store.NotTraced},
	})
}

// received commits a message whose answer is an event of its own.
func received(t *testing.T, db store.Journal) {
	t.Helper()
	id := store.NewID()
	keep(t, db, store.Commit{
		Exchange: id, Open: &store.Opening{Type: "ADT^A28"},
		Entries: []store.Entry{{Kind: store.Received, Facts: store.Facts{Application: "LAB", Type: "ADT^A28"}}},
	})
	keep(t, db, store.Commit{
		Exchange: id, Close: &store.Closing{Outcome: store.NotTraced},
		Entries: []store.Entry{{Kind: store.Replied, Facts: store.Facts{Outcome: "not traced", Reason: "older message"}}},
	})
}

func qualityPatients(id store.ID) []store.Patient {
	told := func(authority, localID, number, status string) store.Patient {
		return store.Patient{
			Key:  store.PatientKey{Authority: authority, LocalID: localID},
			Told: store.Told{At: time.Now().Add(-time.Hour), Exchange: id, NHSNumber: number, Status: status, Print: store.Print{1}},
		}
	}
	found := func(p store.Patient, o store.Outcome, print store.Print) store.Patient {
		p.Found = store.Found{At: time.Now(), Exchange: id, Print: print, Outcome: o, Status: "05"}
		return p
	}
	gone := told("RXX", "D3", "9990000018", "01")
	gone.Moved = store.Moved{At: time.Now(), Exchange: id, Into: store.PatientKey{Authority: "RXX", LocalID: "D1"}}
	return []store.Patient{
		told("RXX", "D1", "9990000018", "01"), told("RXX", "D2", "9990000018", "02"), gone,
		told("RYY", "D2", "9990000018", "01"), // another hospital's
		told("RXX", "D4", "9990600147", "01"),
		found(told("RXX", "D5", "9994104616", "02"), store.NotVerified, store.Print{1}),
		found(told("RXX", "D6", "9990000026", "02"), store.NotVerified, store.Print{2}), // has changed since
	}
}

// TestReportQuality is the report of MSCA-DQ-05.
func TestReportQuality(t *testing.T) {
	t.Run("T-DQ-13", func(t *testing.T) {
		j := qualityStore(t)
		code, out, errs := runCommand("audit", "report", "quality", "--as", "clerk")
		if code != exitOK || errs != "" {
			t.Fatalf("exit code %d, stderr %q", code, errs)
		}
		golden(t, "report-quality.golden", masked(out))
		looks := j.looks(t)
		if len(looks) != 1 || looks[0].User != "clerk" || looks[0].Rows != 10 || looks[0].Filters["report"] != "quality" {
			t.Errorf("recorded is %+v", looks)
		}
	})
	t.Run("T-DQ-13 as CSV", func(t *testing.T) {
		qualityStore(t)
		_, out, _ := runCommand("audit", "report", "quality", "--csv")
		golden(t, "report-quality-csv.golden", masked(out))
	})
	t.Run("T-DQ-13 as JSON", func(t *testing.T) {
		qualityStore(t)
		_, out, _ := runCommand("audit", "report", "quality", "--json", "--most", "1")
		var sections []string
		for _, line := range jsonRows(t, out) {
			sections = append(sections, line["section"].(string))
		}
		if got, want := strings.Join(sections, ", "), "shared, held by another record, not verified, superseded, invalid, differs, not traced"; got != want {
			t.Errorf("sections %s, want %s", got, want)
		}
		lines := jsonLines(t, out)
		if end := lines[len(lines)-1]; end["complete"] != false || end["more"] != "there are more in shared, not traced: give a larger --most" {
			t.Errorf("the last line is %v", end)
		}
	})
	t.Run("T-DQ-13 in part", func(t *testing.T) {
		qualityStore(t)
		_, out, _ := runCommand("audit", "report", "quality", "--most", "1")
		golden(t, "report-quality-part.golden", masked(out))
		if _, out, _ = runCommand("audit", "report", "quality", "--most", "3"); !strings.HasSuffix(out, "\nrow 10 of 10, page 1 of 1\n") {
			t.Errorf("all of it, as many as asked for in one section, is\n%s", out)
		}
	})
	t.Run("T-DQ-13 of nothing", func(t *testing.T) {
		newJournal(t)
		_, out, _ := runCommand("audit", "report", "quality", "--from", "1ns")
		golden(t, "report-quality-none.golden", masked(out))
	})
}

// TestReportQualityFindsTheStart: whatever the time, exactly the events since then are read.
func TestReportQualityFindsTheStart(t *testing.T) {
	j := newJournal(t)
	day := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for n := range 9 {
		db := j.openChainAt(t, "days", day.AddDate(0, 0, n))
		keep(t, db, store.Commit{Entries: []store.Entry{{Kind: store.Warned}}})
		closeStore(t, db)
	}
	db := j.open(t, "reading")
	defer closeStore(t, db)
	head := store.Head{Chain: "days", Seq: 9}
	for n := range 11 {
		from, err := firstSince(context.Background(), db, head, day.AddDate(0, 0, n).Add(-time.Hour))
		if want := int64(min(n, 9)) + 1; err != nil || from != want {
			t.Errorf("from day %d on: event %d, %v; want %d", n, from, err, want)
		}
	}
}

func TestReportQualityUsage(t *testing.T) {
	newJournal(t)
	for args, says := range map[string]string{
		"audit report":                      "say one of latency, looks, quality, unfinished, untraced, volume, work",
		"audit report quality --from 0s":    "--from is not a time",
		"audit report quality --most 0":     "--most must be 1 or more",
		"audit report quality --json --csv": "exclude each other",
	} {
		if code, out, errs := runCommand(strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, says) || out != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %q", args, code, out, errs, says)
		}
	}
}
