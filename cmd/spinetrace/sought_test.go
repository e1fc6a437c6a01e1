package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

// onBoth runs a test over a journal of either kind that write has filled.
func onBoth(t *testing.T, write func(*testing.T, store.Store), test func(*testing.T)) {
	t.Run("sqlite", func(t *testing.T) {
		j := emptyJournal(t)
		db := j.open(t, "main")
		write(t, db)
		closeStore(t, db)
		test(t)
	})
	t.Run("postgres", func(t *testing.T) {
		g := newGuarded(t)
		db := g.start(t, "spinetrace_runtime", "main", nil)
		write(t, db)
		closeStore(t, db)
		setAll(t, map[string]string{"STORE": g.as(t, "spinetrace_reader")})
		test(t)
	})
}

// about writes a message that was answered, with what it is found by and what Spine was asked and named.
func about(t *testing.T, db store.Journal, controlID string, open store.Opening, end store.Closing, named string, patients ...store.Patient) {
	t.Helper()
	id := store.NewID()
	open.ControlID, open.Type = controlID, "ADT^A28"
	facts := store.Facts{
		Application: open.Application, Facility: open.Facility, ControlID: controlID, Type: open.Type, LocalID: open.LocalID, NHSSent: open.NHSNumber,
	}
	entries := []store.Entry{{Kind: store.Received, Facts: facts}}
	if named != "" {
		entries = append(entries,
			store.Entry{Kind: store.Asked, Facts: store.Facts{NHSSent: open.NHSNumber}}, store.Entry{Kind: store.Answered, Facts: store.Facts{NHSFound: named}})
	}
	entries = append(entries, store.Entry{Kind: store.Replied, Facts: store.Facts{Outcome: end.Outcome.String(), NHSFound: end.NHSNumber}})
	for i := range patients {
		patients[i].Moved.At, patients[i].Moved.Exchange = seedStart, id
	}
	keep(t, db, store.Commit{Exchange: id, Open: &open, Entries: entries, Close: &end, Patients: patients})
}

// controlIDs runs a command and returns what is in that column, in order.
func controlIDs(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := runCommand(append(args, "--json")...)
	if code != exitOK {
		t.Fatalf("%q: %s", args, errs)
	}
	var ids []string
	for _, row := range jsonRows(t, out) {
		ids = append(ids, fmt.Sprint(row["control_id"]))
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// exported is controlIDs for the export of a patient.
func exported(t *testing.T, args ...string) string {
	t.Helper()
	ids := columnOf(t, export(t, append(args, "--format", "csv")...), "control_id")
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == "" })
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " ")
}

// TestTAUD05bWhateverTheNumber: a patient is found by numbers that were named and not used, that were wrong,
// and that a merge took away.
func TestTAUD05bWhateverTheNumber(t *testing.T) {
	into := func(from, to string) store.Patient {
		return store.Patient{Key: store.PatientKey{Authority: "RXX", LocalID: from}, Moved: store.Moved{Into: store.PatientKey{Authority: "RXX", LocalID: to}}}
	}
	onBoth(t, func(t *testing.T, db store.Store) {
		about(t, db, "HELD", store.Opening{NHSNumber: oldNumber, LocalID: "R1"}, store.Closing{Outcome: store.HeldElsewhere}, newNumber)
		about(t, db, "NEW", store.Opening{NHSNumber: newNumber, LocalID: "R2"}, store.Closing{Outcome: store.Verified, NHSNumber: newNumber}, newNumber)
		about(t, db, "REFERRED", store.Opening{NHSNumber: "9990000018"}, store.Closing{Outcome: store.Superseded}, "9990000026")
		about(t, db, "WRONG", store.Opening{NHSNumbers: []string{"9990000019"}}, store.Closing{Outcome: store.NotTraced}, "")
		about(t, db, "BEFORE", store.Opening{LocalID: "MOLD"}, store.Closing{Outcome: store.NotTraced}, "")
		about(t, db, "MERGE", store.Opening{LocalID: "MNEW", LocalIDs: []string{"MOLD"}}, store.Closing{Outcome: store.NotTraced}, "", into("MOLD", "MNEW"))
		about(t, db, "AFTER", store.Opening{LocalID: "MNEW"}, store.Closing{Outcome: store.NotTraced}, "")
		about(t, db, "GONE", store.Opening{LocalID: "MGONE"}, store.Closing{Outcome: store.NotTraced}, "",
			store.Patient{Key: store.PatientKey{Authority: "RXX", LocalID: "MGONE"}})
	}, func(t *testing.T) {
		for args, want := range map[string]string{
			"--nhs-number " + newNumber:               "HELD NEW",
			"--nhs-number " + oldNumber:               "HELD NEW",
			"--nhs-number 9990000026":                 "REFERRED",
			"--nhs-number 9990000018":                 "REFERRED",
			"--nhs-number 999-000-0019":               "WRONG",
			"--local-id MOLD":                         "AFTER BEFORE MERGE",
			"--local-id MNEW":                         "AFTER BEFORE MERGE",
			"--local-id MGONE":                        "GONE",
			"--local-id R1 --nhs-number " + newNumber: "HELD",
		} {
			if got := controlIDs(t, append([]string{"audit", "find"}, strings.Fields(args)...)...); got != want {
				t.Errorf("find %s: %q, want %q", args, got, want)
			}
			if got := exported(t, strings.Fields(args)...); got != want {
				t.Errorf("export %s: %q, want %q", args, got, want)
			}
		}
		for args, want := range map[string]string{
			"--nhs-number " + newNumber: "HELD NEW", "--nhs-number " + oldNumber: "HELD", "--local-id MOLD": "BEFORE MERGE", "--local-id MNEW": "AFTER MERGE",
		} {
			if got := controlIDs(t, append([]string{"audit", "find", "--exact"}, strings.Fields(args)...)...); got != want {
				t.Errorf("find --exact %s: %q, want %q", args, got, want)
			}
		}
		const says = "Messages about MNEW are here, too: one of these numbers and MOLD was merged into the other\n(--exact leaves them out)."
		if out := commandOut("audit", "find", "--local-id", "MOLD"); !strings.Contains(out, says) {
			t.Errorf("it is not said that MNEW is here:\n%s", out)
		}
	})
}

// TestFindTheSenderAsItIsPrinted: an MSH-3 with components is found by what the lists print, and by its first
// component.
func TestFindTheSenderAsItIsPrinted(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Store) {
		for id, sender := range map[string][2]string{"PLAIN": {"PAS", "RXX"}, "PARTS": {"PAS^1.2.826^ISO", "RXX^2.3^ISO"}, "OTHER": {"PASS", "RXX"}, "BARE": {"", "RYY"}} {
			about(t, db, id, store.Opening{Application: sender[0], Facility: sender[1]}, store.Closing{Outcome: store.NotTraced}, "")
		}
	}, func(t *testing.T) {
		for sender, want := range map[string]string{
			"PAS": "PARTS PLAIN", "PAS^RXX": "PARTS PLAIN", "PAS^1.2.826": "PARTS", "PAS^1.2.826^ISO": "PARTS", "PAS^1.2.826^ISO^RXX": "PARTS",
			"PA": "", "PAS^RX": "", "PASS^RXX": "OTHER", "RXX": "",
		} {
			if got := controlIDs(t, "audit", "find", "--sender", sender); got != want {
				t.Errorf("--sender %s: %q, want %q", sender, got, want)
			}
		}
		printed := jsonRows(t, commandOut("audit", "report", "volume", "--json"))
		if len(printed) != 4 {
			t.Fatalf("%d senders, want 4: %v", len(printed), printed)
		}
		for _, row := range printed {
			if got := controlIDs(t, "audit", "find", "--sender", row["sender"].(string)); got == "" {
				t.Errorf("nothing is found by the sender %q", row["sender"])
			}
		}
	})
}

// TestReportLooks: whoever looked at a patient is listed, by whatever the look was made, and so is the report
// itself.
func TestReportLooks(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Store) {
		about(t, db, "HELD", store.Opening{NHSNumber: oldNumber, LocalID: "R1"}, store.Closing{Outcome: store.HeldElsewhere}, newNumber)
		about(t, db, "NEW", store.Opening{NHSNumber: newNumber, LocalID: "R2"}, store.Closing{Outcome: store.NotTraced}, "")
		about(t, db, "WRONG", store.Opening{NHSNumbers: []string{"9990000019"}, LocalID: "R3"}, store.Closing{Outcome: store.NotTraced}, "")
	}, func(t *testing.T) {
		for n, args := range [][]string{
			{"show", "HELD"}, {"show", "WRONG"}, {"show", "NOTHING"}, {"find", "--control-id", "HELD"}, {"find", "--control-id", "WRONG"},
			{"find", "--nhs-number", "9990000042"}, {"find", "--local-id", "R1"}, {"export", "--format", "csv"}, {"export", "--format", "csv", "--local-id", "R3"},
			{"report", "volume"},
		} {
			runCommand(slices.Concat([]string{"audit"}, args, []string{"--as", fmt.Sprint("u", n)})...)
		}
		lookers := func(args ...string) string {
			t.Helper()
			code, out, errs := runCommand(slices.Concat([]string{"audit", "report", "looks", "--json", "--as", "auditor"}, args)...)
			if code != exitOK {
				t.Fatalf("%q: %s", args, errs)
			}
			var users []string
			for _, row := range jsonRows(t, out) {
				if user := row["user"].(string); user != "auditor" && !slices.Contains(users, user) {
					users = append(users, user)
				}
			}
			slices.Sort(users)
			return strings.Join(users, " ")
		}
		for args, want := range map[string]string{
			"":                                  "u0 u1 u2 u3 u4 u5 u6 u7 u8 u9",
			"--user u4":                         "u4",
			"--user nobody":                     "",
			"--nhs-number " + oldNumber:         "u0 u3 u6 u7",
			"--nhs-number " + newNumber:         "u0 u3 u6 u7",
			"--nhs-number 9990000019":           "u1 u4 u7",
			"--nhs-number 9990000042":           "u5 u7",
			"--local-id R3":                     "u1 u4 u7 u8",
			"--local-id R2 --exact":             "u7",
			"--nhs-number 9990000042 --user u5": "u5",
		} {
			if got := lookers(strings.Fields(args)...); got != want {
				t.Errorf("looks %s: %q, want %q", args, got, want)
			}
		}
		rows := jsonRows(t, commandOut("audit", "report", "looks", "--user", "u0", "--json"))
		filters, _ := rows[0]["filters"].(map[string]any)
		if len(rows) != 1 || rows[0]["command"] != "audit show" || rows[0]["rows"] != 4.0 || filters["control_id"] != "HELD" ||
			filters["nhs_number"] != oldNumber+" "+newNumber || filters["local_id"] != "R1" || filters["shown"] == nil {
			t.Errorf("the look is told as %v", rows)
		}
		rows = jsonRows(t, commandOut("audit", "report", "looks", "--user", "auditor", "--json"))
		if len(rows) < 10 || rows[len(rows)-1]["command"] != "audit report looks" {
			t.Errorf("the reports themselves are told as %v", rows)
		}
		if newest := rows[0]["at"].(string); newest < rows[len(rows)-1]["at"].(string) {
			t.Error("the newest is not first")
		}
	})
}

func TestReportLooksUsage(t *testing.T) {
	newJournal(t)
	for args, says := range map[string]string{
		"--nhs-number 999000001": "--nhs-number is not an NHS number: not ten digits",
		"--exact":                "--exact goes with --nhs-number or --local-id",
		"9990000018":             "there is an argument that belongs to no flag",
	} {
		code, out, errs := runCommand(append([]string{"audit", "report", "looks"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(errs, says) || out != "" || strings.Contains(errs, "99900000") {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %q", args, code, out, errs, says)
		}
	}
}

// TestReportLooksCountsAnExportOnce: its two records are one look; one that was not ended stands alone.
func TestReportLooksCountsAnExportOnce(t *testing.T) {
	j := newJournal(t)
	export(t, "--format", "csv")
	db := j.open(t, "main.cli")
	keep(t, db, store.Commit{Entries: []store.Entry{{Kind: store.Looked, Facts: store.Facts{
		User: "auditor", Filters: map[string]string{"command": "audit export", "format": "csv", "export": exportBegins},
	}}}})
	closeStore(t, db)
	var got []string
	for _, row := range jsonRows(t, commandOut("audit", "report", "looks", "--user", "auditor", "--json")) {
		filters, _ := row["filters"].(map[string]any)
		got = append(got, fmt.Sprint(row["command"], " ", filters["export"], " ", row["rows"]))
	}
	if diff := cmp.Diff([]string{"audit export begins 0", "audit export complete 7"}, got); diff != "" {
		t.Errorf("looks (-want +got):\n%s", diff)
	}
}

// TestReportLooksOnScreen: the report names the user, the command, the filters and the count, in a period.
func TestReportLooksOnScreen(t *testing.T) {
	j := newJournal(t)
	db := j.openChainAt(t, "main.cli", time.Now().Add(-time.Hour))
	keep(t, db, store.Commit{Entries: []store.Entry{{Kind: store.Looked, Facts: store.Facts{
		User: "auditor", Filters: map[string]string{"command": "audit find", "local_id": "R 1", "shown": j.ids[0].String()}, Rows: 3,
	}}}})
	closeStore(t, db)
	out := commandOut("audit", "report", "looks", "--local-id", "R 1", "--as", "other")
	for _, want := range []string{"auditor  audit find  3     local_id R 1  main.cli:1", "row 1 of 1, page 1 of 1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if strings.Contains(out, j.ids[0].String()) {
		t.Errorf("the screen is full of ids:\n%s", out)
	}
	out = commandOut("audit", "report", "looks", "--csv", "--user", "auditor")
	if !strings.Contains(out, `"local_id R 1, shown `+j.ids[0].String()+`"`) {
		t.Errorf("the ids are missing in:\n%s", out)
	}
}
