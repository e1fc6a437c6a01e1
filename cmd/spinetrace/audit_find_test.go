package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

// Numbers of one patient: oldNumber was superseded by newNumber.
const (
	oldNumber = "9990600147"
	newNumber = "9994104616"
)

// seeded is an exchange of findStore.
type seeded struct {
	chain string
	open  store.Opening
	asked *store.Facts // of a call; nil: nobody was asked
	close store.Closing
	late  store.Closing // zero: the reply was the end
}

// seeds are one a day from seedStart on. Their control ids are what they are called by here; two
// messages have the same one.
var seeds = []seeded{
	{open: store.Opening{Application: "PAS", Facility: "RXX", ControlID: "C0", LocalID: "R1", NHSNumber: "9990000018"},
		asked: &store.Facts{MessageID: "urn:uuid:0001", TrackingID: "T1"}, close: store.Closing{Outcome: store.Verified, NHSNumber: "9990000018"}},
	{open: store.Opening{Application: "PAS", Facility: "RXX", ControlID: "C1", LocalID: "R2", NHSNumber: oldNumber, User: "NURSE1"},
		asked: &store.Facts{MessageID: "urn:uuid:0002"}, close: store.Closing{Outcome: store.Superseded, NHSNumber: newNumber}},
	{open: store.Opening{Application: "LAB", Facility: "RXX", ControlID: "C2", LocalID: "R2", NHSNumber: newNumber, User: "NURSE1"},
		close: store.Closing{Outcome: store.Verified, NHSNumber: newNumber}},
	{open: store.Opening{Application: "PAS", Facility: "RYY", ControlID: "C3", LocalID: "R2", NHSNumber: oldNumber, User: "NURSE2"},
		close: store.Closing{Outcome: store.NotTraced}},
	{open: store.Opening{Application: "PAS", Facility: "RXX", ControlID: "C4", LocalID: "R3"},
		asked: &store.Facts{PayloadID: "P5"}, close: store.Closing{Outcome: store.Deferred}, late: store.Closing{Outcome: store.Traced, NHSNumber: newNumber}},
	{chain: "second", open: store.Opening{Application: "LAB", Facility: "RXX", ControlID: "C0", LocalID: "R3", User: "O'NEIL"},
		close: store.Closing{Outcome: store.NoMatch}},
}

var seedStart = time.Date(2026, 10, 20, 9, 0, 0, 0, time.UTC)

// idAt returns an id as of a moment.
func idAt(at time.Time) store.ID {
	id, first := store.NewID(), store.FirstID(at)
	copy(id[:6], first[:6])
	return id
}

// findStore is a journal with seeds, closed again, that the settings name. Its ids are those of
// the seeds.
func findStore(t *testing.T) journal {
	t.Helper()
	j := newJournal(t)
	j.ids = nil
	for n, s := range seeds {
		chain := s.chain
		if chain == "" {
			chain = "days"
		}
		at := seedStart.AddDate(0, 0, n)
		db := j.openChainAt(t, chain, at)
		j.ids = append(j.ids, seed(t, db, s, idAt(at)))
		closeStore(t, db)
	}
	return j
}

func seed(t *testing.T, db store.Journal, s seeded, id store.ID) store.ID {
	t.Helper()
	s.open.Type = "ADT^A28"
	facts := store.Facts{Application: s.open.Application, Facility: s.open.Facility, ControlID: s.open.ControlID, User: s.open.User}
	entries := []store.Entry{{Kind: store.Received, Facts: facts}}
	if s.asked != nil {
		entries = append(entries, store.Entry{Kind: store.Asked, Facts: *s.asked})
	}
	keep(t, db, store.Commit{Exchange: id, Open: &s.open, Entries: entries})
	keep(t, db, store.Commit{Exchange: id, Entries: []store.Entry{{Kind: store.Replied, Facts: store.Facts{Outcome: s.close.Outcome.String()}}}, Close: &s.close})
	if s.late.Outcome != 0 {
		keep(t, db, store.Commit{Exchange: id, Entries: []store.Entry{{Kind: store.Finished}}, Late: &s.late})
	}
	return id
}

// jsonRows returns the rows of a list in JSON, between its first and its last line.
func jsonRows(t *testing.T, out string) []map[string]any {
	t.Helper()
	lines := jsonLines(t, out)
	if len(lines) < 2 || lines[0]["confidentiality"] != confidential || lines[len(lines)-1]["rows"] != float64(len(lines)-2) {
		t.Fatalf("a list without its first or its last line:\n%s", out)
	}
	return lines[1 : len(lines)-1]
}

// numbersOf returns which seeds rows are, by their local numbers and times.
func numbersOf(t *testing.T, j journal, rows []map[string]any) string {
	t.Helper()
	var numbers []string
	for _, row := range rows {
		n := slices.IndexFunc(j.ids, func(id store.ID) bool { return id.String() == row["exchange"] })
		numbers = append(numbers, fmt.Sprint(n))
	}
	return strings.Join(numbers, " ")
}

// found runs audit find and returns which seeds it lists.
func found(t *testing.T, j journal, args ...string) string {
	t.Helper()
	code, out, errs := runCommand(append([]string{"audit", "find", "--json"}, args...)...)
	if code != exitOK {
		t.Fatalf("audit find %q: exit code %d, %s", args, code, errs)
	}
	return numbersOf(t, j, jsonRows(t, out))
}

// TestTAUD05a: each filter, alone and with others, finds exactly what it should, the newest first.
func TestTAUD05a(t *testing.T) {
	j := findStore(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--nhs-number", "9990000018", "--local-id", "R1"}, "0"},
		{[]string{"--nhs-number", "999 000 0018", "--from", "2026-10-01", "--until", "2026-11-01"}, "0"},
		{[]string{"--nhs-number", "999-410-4616", "--exact"}, "4 2 1"},
		{[]string{"--nhs-number", oldNumber, "--exact"}, "3 1"},
		{[]string{"--local-id", "R2"}, "3 2 1"},
		{[]string{"--local-id", "R3"}, "5 4"},
		{[]string{"--control-id", "C0"}, "5 0"},
		{[]string{"--message-id", "urn:uuid:0002"}, "1"},
		{[]string{"--message-id", "T1"}, "0"},
		{[]string{"--message-id", "P5"}, "4"},
		{[]string{"--user", "NURSE1"}, "2 1"},
		{[]string{"--user", "O'NEIL"}, "5"},
		{[]string{"--user", "nobody"}, ""},
		{[]string{"--sender", "LAB"}, "5 2"},
		{[]string{"--sender", "PAS^RYY"}, "3"},
		{[]string{"--outcome", "no match"}, "5"},
		{[]string{"--outcome", "traced", "--local-id", "R3"}, "4"},
		{[]string{"--from", "2026-10-21T09:00:00Z", "--until", "2026-10-23T09:00:00Z"}, "2 1"},
		{[]string{"--from", "2026-10-21T09:00:00.001Z", "--until", "2026-10-23T09:00:00.001Z"}, "3 2"},
		{[]string{"--chain", "second"}, "5"},
		{[]string{"--chain", "days", "--seq", "1"}, "0"},
		{[]string{"--chain", "days", "--seq", "2-9"}, "3 2 1"},
		{[]string{"--sender", "PAS", "--user", "NURSE2", "--local-id", "R2"}, "3"},
		{[]string{"--user", "NURSE1", "--nhs-number", newNumber, "--exact", "--outcome", "superseded"}, "1"},
		{[]string{"--user", "NURSE1", "--control-id", "C3"}, ""},
		{[]string{"--chain", "days", "--from", "2026-10-22T00:00:00Z", "--sender", "PAS"}, "4 3"},
	} {
		if got := found(t, j, tt.args...); got != tt.want {
			t.Errorf("audit find %q: %q, want %q", tt.args, got, tt.want)
		}
	}
	t.Run("pages", func(t *testing.T) {
		for _, args := range [][]string{
			{"--until", "2026-10-31"}, {"--nhs-number", newNumber}, {"--sender", "PAS", "--until", "2026-10-31T00:00:00Z"},
		} {
			whole := found(t, j, args...)
			for most := 1; most <= len(seeds); most++ {
				if got := paged(t, j, most, args...); got != whole {
					t.Errorf("%q in pages of %d: %q, want %q", args, most, got, whole)
				}
			}
		}
	})
}

// paged walks the pages by the commands that they end with.
func paged(t *testing.T, j journal, most int, args ...string) string {
	t.Helper()
	args = append([]string{"audit", "find", "--json", "--most", fmt.Sprint(most)}, args...)
	var all []map[string]any
	for {
		code, out, errs := runCommand(args...)
		if code != exitOK {
			t.Fatalf("%q: exit code %d, %s", args, code, errs)
		}
		rows := jsonRows(t, out)
		all = append(all, rows...)
		lines := jsonLines(t, out)
		end := lines[len(lines)-1]
		if end["complete"] == true {
			return numbersOf(t, j, all)
		}
		if len(rows) != most {
			t.Fatalf("a page of %d, want %d", len(rows), most)
		}
		_, command, _ := strings.Cut(end["more"].(string), "spinetrace ")
		args = strings.Fields(command)
	}
}

// TestTAUD05b: whichever of a patient's numbers is asked for, everybody who accessed the record
// under either is listed, and the screen says so.
func TestTAUD05b(t *testing.T) {
	j := findStore(t)
	for _, number := range []string{oldNumber, newNumber} {
		if got, want := found(t, j, "--nhs-number", number, "--until", "2026-11-01"), "4 3 2 1"; got != want {
			t.Errorf("%s: %q, want %q", number, got, want)
		}
		if got, want := found(t, j, "--nhs-number", number, "--from", "2026-10-21T12:00:00Z", "--until", "2026-10-23T12:00:00Z"), "3 2"; got != want {
			t.Errorf("%s between two times: %q, want %q", number, got, want)
		}
	}
	_, out, _ := runCommand("audit", "find", "--nhs-number", oldNumber, "--as", "auditor")
	golden(t, "audit-find-tied.golden", masked(out))
	if !strings.Contains(out, spaced(newNumber)) {
		t.Error("the other number is not named")
	}
	_, out, _ = runCommand("audit", "find", "--nhs-number", oldNumber, "--exact")
	if strings.Contains(out, "here, too") {
		t.Errorf("--exact includes another number:\n%s", out)
	}
}

// TestTiedByTheIndex: an entry that was told of one number, and for which Spine gave another, ties
// them as long as it is about the same person.
func TestTiedByTheIndex(t *testing.T) {
	j := newJournal(t)
	db := j.open(t, "main")
	at := seedStart
	for n, p := range []store.Patient{
		{Told: store.Told{NHSNumber: oldNumber}, Found: store.Found{Outcome: store.Superseded, NHSNumber: newNumber, Status: "01"}},
		{Told: store.Told{NHSNumber: oldNumber, Print: store.Print{1}}, Found: store.Found{Outcome: store.Superseded, NHSNumber: "9990000026"}},
		{Told: store.Told{NHSNumber: oldNumber}, Found: store.Found{Outcome: store.Traced, NHSNumber: "9990000018"}},
		{Told: store.Told{NHSNumber: "9990000018"}, Found: store.Found{Outcome: store.HeldElsewhere, NHSNumber: oldNumber}},
	} {
		p.Key = store.PatientKey{Authority: "RXX", LocalID: fmt.Sprint("R", n)}
		p.Told.At, p.Told.Exchange, p.Found.At, p.Found.Exchange = at, j.ids[0], at, j.ids[0]
		keep(t, db, store.Commit{Exchange: j.ids[0], Entries: []store.Entry{{Kind: store.Finished}}, Patients: []store.Patient{p}})
	}
	defer closeStore(t, db)
	got, err := tiedTo(context.Background(), db, oldNumber)
	if diff := cmp.Diff([]string{"9990000018", newNumber}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestTAUD05c: who looked, for what and how many were shown is recorded before anything is shown.
func TestTAUD05c(t *testing.T) {
	j := findStore(t)
	runCommand("audit", "find", "--nhs-number", "999 060 0147", "--from", "2026-10-01T00:00:00Z", "--as", "auditor")
	runCommand("audit", "find", "--user", "nobody", "--as", "other")
	want := []string{
		fmt.Sprintf("auditor: command audit find, from 2026-10-01T00:00:00Z, nhs_number 9990600147, shown %s %s %s %s, tied_to 9994104616: 4",
			j.ids[4], j.ids[3], j.ids[2], j.ids[1]),
		"other: command audit find, user nobody: 0",
	}
	var got []string
	for _, f := range j.looks(t) {
		got = append(got, fmt.Sprintf("%s: %s: %d", f.User, pairs(f.Filters), f.Rows))
		if f.Login != osUser() || f.Host != hostname() {
			t.Errorf("recorded as by %q on %q; --as takes the place of no login", f.Login, f.Host)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("looks (-want +got):\n%s", diff)
	}
	db := j.open(t, "main.cli")
	defer closeStore(t, db)
	var out strings.Builder
	q := inquiry{listing: listing{most: 9, who: "auditor"}, sought: sought{number: oldNumber}}
	if err := q.run(context.Background(), &out, unwritable{db}); !errors.Is(err, store.ErrUnavailable) || out.Len() > 0 {
		t.Errorf("run() = %v, and %d bytes were shown", err, out.Len())
	}
}

func TestAuditFindOnScreen(t *testing.T) {
	findStore(t)
	code, out, errs := runCommand("audit", "find", "--until", "2026-11-01T00:00:00Z", "--most", "4", "--as", "auditor")
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d, stderr %q", code, errs)
	}
	golden(t, "audit-find.golden", masked(out))
	_, out, _ = runCommand("audit", "find", "--user", "O'NEIL", "--outcome", "no match", "--from", "999999h", "--most", "1")
	golden(t, "audit-find-one.golden", masked(out))
	_, out, _ = runCommand("audit", "find", "--user", "nobody")
	golden(t, "audit-find-none.golden", masked(out))
}

func TestAuditFindUsage(t *testing.T) {
	newJournal(t)
	for args, says := range map[string]string{
		"--nhs-number 99900000019":             "--nhs-number is not an NHS number: not ten digits",
		"9990000018":                           "there is an argument that belongs to no flag",
		"--most 9990000018x":                   "invalid value for flag --most: parse error",
		"-9990000018":                          "flag provided but not defined;",
		"--nhs-number 999000001":               "--nhs-number is not an NHS number",
		"--exact":                              "--exact goes with --nhs-number or --local-id",
		"--outcome lost":                       "--outcome is not one of not traced, verified, traced",
		"--from yesterday":                     "--from is not a time",
		"--until 2026-02-30":                   "--until is not a time",
		"--from -24h":                          "--from is not a time",
		"--from 2026-06-02 --until 2026-06-01": "--from is not before --until",
		"--seq 4":                              "--seq needs --chain",
		"--chain main --seq 0":                 "--seq is neither N nor N-M",
		"--chain main --seq 4-3":               "--seq is neither N nor N-M",
		"--after C1":                           "--after is not the id of an exchange",
		"--sender ^RXX":                        "--sender begins with the application",
		"--most 0":                             "--most must be 1 or more",
		"--json --csv":                         "exclude each other",
		"--as=":                                "--as must name",
		"--as System":                          "--as must name a person",
		"C1":                                   "there is an argument that belongs to no flag",
		"--nhs-number 999000001X --from 24h --as me": "not an NHS number",
	} {
		code, out, errs := runCommand(append([]string{"audit", "find"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(errs, says) || out != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %q", args, code, out, errs, says)
		}
		if strings.Contains(errs, "99900000") {
			t.Errorf("%s: the number is repeated: %s", args, errs)
		}
	}
}

// TestAuditFindInNoChain: that nothing was found in a chain that there is not would mislead.
func TestAuditFindInNoChain(t *testing.T) {
	newJournal(t)
	code, out, errs := runCommand("audit", "find", "--chain", "other")
	if code != exitFailed || !strings.Contains(errs, errNoChain.Error()) || out != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
}

func TestParseWhen(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, london)
	for _, tt := range []struct {
		text     string
		wholeDay bool
		want     string
	}{
		{"2026-06-01", false, "2026-05-31T23:00:00Z"},
		{"2026-06-01", true, "2026-06-01T23:00:00Z"},
		{"2026-10-25", false, "2026-10-24T23:00:00Z"},
		{"2026-10-25", true, "2026-10-26T00:00:00Z"}, // a day of 25 hours
		{"2026-03-29", true, "2026-03-29T23:00:00Z"}, // and one of 23
		{"2026-06-01T09:00:00+02:00", true, "2026-06-01T07:00:00Z"},
		{"24h", true, "2026-11-21T12:00:00Z"},
		{"", true, "0001-01-01T00:00:00Z"},
	} {
		got, err := parseWhen(tt.text, now, tt.wholeDay)
		if err != nil || got.UTC().Format(time.RFC3339) != tt.want {
			t.Errorf("parseWhen(%q, %v) = %v, %v; want %s", tt.text, tt.wholeDay, got, err, tt.want)
		}
	}
}

// lists are the commands that hand out rows, over a store that has some for each.
var lists = [][]string{
	{"audit", "find"}, {"audit", "report", "quality"}, {"audit", "report", "work"}, {"outbox", "list"}, {"items", "list"}, {"audit", "show", soleID},
}

// TestTIG04a: the label is in the first line on screen and in JSON, and in the header of CSV.
func TestTIG04a(t *testing.T) {
	qualityStore(t)
	for _, args := range append(lists, []string{"items", "show", "1"}) {
		_, out, _ := runCommand(args...)
		if first, _, _ := strings.Cut(out, "\n"); first != "NHS Confidential: Personal Data about a patient" {
			t.Errorf("%q begins with %q", args, first)
		}
		_, out, _ = runCommand(append(args, "--json")...)
		if lines := jsonLines(t, out); len(lines) == 0 || lines[0]["confidentiality"] != "NHS Confidential: Personal Data about a patient" {
			t.Errorf("%q as JSON: %s", args, out)
		}
	}
	for _, args := range lists[:5] {
		records := csvOf(t, args...)
		if head := records[0]; head[len(head)-1] != "NHS Confidential: Personal Data about a patient" {
			t.Errorf("%q as CSV begins with %q", args, head)
		}
	}
}

func csvOf(t *testing.T, args ...string) [][]string {
	t.Helper()
	_, out, _ := runCommand(append(args, "--csv")...)
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(records) < 2 {
		t.Fatalf("%q as CSV: %v\n%s", args, err, out)
	}
	return records
}

// TestTIG04b: what is handed out says at its end that it is all there, and of how many pages it is the
// last; or where the rest is.
func TestTIG04b(t *testing.T) {
	qualityStore(t)
	for _, args := range lists {
		_, out, _ := runCommand(append(args, "--json")...)
		n := len(jsonRows(t, out)) // which looks at the last line
		lines := jsonLines(t, out)
		if end := lines[len(lines)-1]; end["complete"] != true || end["page"] != 1.0 || end["pages"] != 1.0 {
			t.Errorf("%q as JSON ends with %v", args, end)
		}
		if args[1] == "show" {
			continue
		}
		records := csvOf(t, args...)
		last := records[len(records)-1]
		if want := fmt.Sprintf("row %d of %d, page 1 of 1", n, n); len(records) != n+2 || last[len(last)-1] != want || strings.Join(last[:len(last)-1], "") != "" {
			t.Errorf("%q as CSV: %d lines for %d rows, the last %q", args, len(records), n, last)
		}
		if _, out, _ := runCommand(args...); n > 0 && !strings.HasSuffix(out, fmt.Sprintf("\nrow %d of %d, page 1 of 1\n", n, n)) {
			t.Errorf("%q ends with %q", args, out[max(0, len(out)-80):])
		}
	}
	_, out, _ := runCommand("items", "list", "--most", "2", "--json")
	if !strings.Contains(out, `{"rows":2,"page":1,"complete":false,"more":"there may be more: give a larger --most"}`) {
		t.Errorf("a list that was cut:\n%s", out)
	}
	everyPage(t, len(jsonRows(t, commandOut("audit", "find", "--json"))))
	if code, _, errs := runCommand("audit", "find", "--page", "2"); code != exitUsage || !strings.Contains(errs, "--page is the number of a page, and goes with --after") {
		t.Errorf("--page without --after: exit code %d, %s", code, errs)
	}
}

func commandOut(args ...string) string {
	_, out, _ := runCommand(args...)
	return out
}

// nextPage is how a page that is not the last ends.
var nextPage = regexp.MustCompile(`row (\d+) of (\d+), page (\d+); there are more: spinetrace (audit find .*)\n$`)

// everyPage follows the commands for the next page: only the last knows how many there are.
func everyPage(t *testing.T, messages int) {
	t.Helper()
	out := commandOut("audit", "find", "--most", "1")
	for n := 1; n < messages; n++ {
		said := nextPage.FindStringSubmatch(out)
		if said == nil || said[1] != "1" || said[2] != "1" || said[3] != strconv.Itoa(n) {
			t.Fatalf("page %d of %d ends with %q", n, messages, out[max(0, len(out)-200):])
		}
		out = commandOut(strings.Fields(said[4])...)
	}
	if want := fmt.Sprintf("\nrow 1 of 1, page %d of %d\n", messages, messages); messages < 2 || !strings.HasSuffix(out, want) {
		t.Errorf("the last page ends with %q, want %q", out[max(0, len(out)-200):], want)
	}
}
