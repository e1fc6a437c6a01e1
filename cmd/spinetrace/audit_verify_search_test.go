package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// searchable fills the store of a data source with a message that was traced, as event 1 to 3, and one
// that was not, as event 4.
func searchable(t *testing.T, db store.Store) {
	t.Helper()
	facts := store.Facts{Peer: "192.0.2.7:40001", Application: "PAS", ControlID: "C1", Type: "ADT^A28", NHSSent: "9990000018"}
	first := store.NewID()
	keep(t, db, store.Commit{
		Exchange: first, Open: &store.Opening{Application: "PAS", ControlID: "C1", Type: "ADT^A28", NHSNumber: "9990000018"},
		Entries: []store.Entry{{Kind: store.Received, Facts: facts}, {Kind: store.Asked, Facts: store.Facts{MessageID: "urn:uuid:1"}}},
	})
	keep(t, db, store.Commit{
		Exchange: first, Sent: "9990000018", Close: &store.Closing{Outcome: store.Verified, NHSNumber: "9990000018"},
		Entries: []store.Entry{{Kind: store.Replied, Facts: store.Facts{Outcome: "verified", NHSFound: "9990000018"}}},
	})
	exchanged(t, db, "C2", store.Facts{Type: "ADT^A03", Outcome: "not traced"})
	closeStore(t, db)
}

var anyID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

const (
	searchedWell  = "search          2 exchanges\n1 chain verified, no event is missing or changed up to the heads shown; messages are found by what it says; bodies were not compared (--bodies)\n"
	searchedWrong = `search          2 exchanges, WRONG in 4 places:
           main:1  exchange.nhs_sent DIFFERS from the event (exchange ID)
           main:3  reply.outcome DIFFERS from the event (exchange ID)
           main:2  mention is MISSING, though the event tells of it (exchange ID)
           main:4  exchange is MISSING, though the event tells of it (exchange ID)
`
)

var searchForgeries = []string{
	"update exchange set nhs_sent = '9990000026' where seq = 1", "update reply set outcome = 5 where outcome = 2",
	"delete from mention", "delete from exchange where seq = 4",
}

func TestAuditVerifySearchOnPostgres(t *testing.T) {
	g := newGuarded(t)
	searchable(t, g.start(t, "spinetrace_runtime", "main", nil))
	setAll(t, map[string]string{"STORE": g.as(t, "spinetrace_reader")})
	checkSearch(t, func() { g.forge(t, searchForgeries...) })
}

func TestAuditVerifySearch(t *testing.T) {
	j := journal{path: filepath.Join(t.TempDir(), "journal.db")}
	db, err := sqlite.Open(j.path, store.Options{})
	if err == nil {
		err = db.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	searchable(t, db)
	setAll(t, map[string]string{"STORE": "sqlite:" + j.path})
	checkSearch(t, func() {
		j.tamper(t, "drop trigger exchange_update", "drop trigger reply_update", "drop trigger mention_delete", "drop trigger exchange_delete")
		j.tamper(t, searchForgeries...)
	})
}

// checkSearch looks at what audit verify --search says, before and after rows were changed.
func checkSearch(t *testing.T, forge func()) {
	t.Helper()
	code, out, errs := runCommand("audit", "verify", "--search")
	if code != exitOK || !strings.HasSuffix(out, searchedWell) {
		t.Errorf("exit code %d\n%s%swant %s", code, out, errs, searchedWell)
	}
	forge()
	code, out, errs = runCommand("audit", "verify", "--search")
	if code != exitFailed || !strings.HasSuffix(anyID.ReplaceAllString(out, "ID"), searchedWrong) || !strings.Contains(errs, "messages are not found by what the journal says of them") {
		t.Errorf("exit code %d\n%s%swant %s", code, out, errs, searchedWrong)
	}
	_, out, _ = runCommand("audit", "verify", "--search", "--json")
	lines := jsonLines(t, out)
	found, ok := lines[len(lines)-1]["search"].(map[string]any)
	if !ok || found["exchanges"] != 2.0 || found["wrong"] != 4.0 {
		t.Fatalf("as JSON: %s", out)
	}
	first := found["mismatches"].([]any)[0].(map[string]any)
	delete(first, "exchange")
	if got, want := fmt.Sprint(first), "map[chain:main column:exchange.nhs_sent seq:1 what:differs]"; got != want {
		t.Errorf("as JSON %s, want %s", got, want)
	}
	if code, out, _ = runCommand("audit", "verify"); code != exitOK {
		t.Errorf("without --search: exit code %d\n%s", code, out)
	}
}
