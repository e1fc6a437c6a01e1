package main

import (
	"strings"
	"testing"

	"spinetrace/exchange"
	"spinetrace/store"
)

// searched is a journal in PostgreSQL with messages, a merge and an item, for a login that reads no bodies.
func searched(t *testing.T) {
	t.Helper()
	g := newGuarded(t)
	db := g.start(t, "spinetrace_runtime", "main", nil)
	defer closeStore(t, db)
	ids := writeJournal(t, db)
	about(t, db, "MERGE", store.Opening{LocalID: "MNEW", LocalIDs: []string{"MOLD"}}, store.Closing{Outcome: store.NotTraced}, "", store.Patient{
		Key:   store.PatientKey{Authority: "RXX", LocalID: "MOLD"},
		Moved: store.Moved{Into: store.PatientKey{Authority: "RXX", LocalID: "MNEW"}},
	})
	details := exchange.ItemDoc{Name: "BLOGGS, Jo", Differences: []string{"sex: M | F"}, Sender: "PAS^RXX"}
	keep(t, db, store.Commit{Exchange: ids[0], Entries: []store.Entry{{Kind: store.Warned}}, Items: []store.Item{{
		Kind: store.Discrepancy, Subject: "x", Patient: store.PatientKey{Authority: "RXX", LocalID: "MNEW"}, NHSNumber: "9990000018", Exchange: ids[0], Doc: details.JSON(),
	}}})
	setAll(t, map[string]string{"STORE": g.as(t, "spinetrace_searcher"), "ODS": "RXX"})
}

// TestSearcherHasTheEvents: the audit works without the right to read messages, and nothing that is shown
// is out of one.
func TestSearcherHasTheEvents(t *testing.T) {
	searched(t)
	commandOut("audit", "find") // or the report of looks, if its turn comes first, has none
	for args, want := range map[string]string{
		"audit find --nhs-number 9990000018":   soleID,
		"audit find --local-id MOLD":           "MERGE",
		"audit show " + soleID:                 "message in        61 bytes, this login may not read bodies: that needs the role spinetrace_reader\n",
		"audit show " + soleID + " --bodies":   "  values            this login may not read bodies: that needs the role spinetrace_reader\n",
		"audit show " + soleID + " --json":     `"contents_missing":"this login may not read bodies: that needs the role spinetrace_reader"`,
		"audit show " + soleID + " --csv":      "main:5,",
		"audit show --seq main:1":              "STARTED",
		"audit verify":                         "no event is missing or changed",
		"audit head":                           "main:",
		"audit export --format csv":            soleID,
		"audit export --nhs-number 9990000018": "AuditEvent",
		"audit report latency":                 "NHS Confidential",
		"audit report looks":                   "audit ",
		"audit report quality":                 "differences and senders are left out: this login may not read\nthem: that needs the role spinetrace_reader.",
		"audit report quality --csv":           "differs",
		"audit report unfinished":              "NHS Confidential",
		"audit report untraced":                "NHS Confidential",
		"audit report volume":                  "PAS",
		"audit report work":                    "NHS Confidential",
		"outbox list":                          "There is no such letter.",
		"items list":                           "discrepancy",
		"items show 1":                         "details           this login may not read them: that needs the role spinetrace_reader\n",
		"items show 1 --json":                  `"details_missing":"this login may not read them`,
	} {
		code, out, errs := runCommand(strings.Fields(args)...)
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, no %q in\n%s%s", args, code, want, out, errs)
		}
		for _, withheld := range []string{"MSH|", "BLOGGS", "M | F", "!!"} {
			if strings.Contains(out, withheld) {
				t.Errorf("%s: %q is shown:\n%s", args, withheld, out)
			}
		}
	}
}

// TestSearcherIsToldWhoReadsBodies: what cannot be done without them fails, in one sentence.
func TestSearcherIsToldWhoReadsBodies(t *testing.T) {
	searched(t)
	for _, args := range []string{"audit verify --bodies", "audit export --hl7", "audit export --bodies"} {
		code, out, errs := runCommand(strings.Fields(args)...)
		if code != exitFailed || strings.Contains(out, "MSH|") ||
			!strings.Contains(errs, "this login may not read bodies: grant it the role spinetrace_reader, which `spinetrace migrate roles` makes") {
			t.Errorf("%s: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	if out := commandOut("migrate", "roles"); !strings.Contains(out, "spinetrace_searcher the same without messages") {
		t.Errorf("migrate roles does not tell of the role:\n%s", out)
	}
}
