package main

import (
	"fmt"
	"strings"
	"testing"

	"spinetrace/store"
)

// forgeable is a journal of either kind that can be changed past its program.
type forgeable struct {
	store  string // for an auditor
	forge  func(t *testing.T, statements ...string)
	binary string // how its SQL writes bytes
}

// forgeables fill a journal of either kind, with what newJournal has.
var forgeables = map[string]func(*testing.T) forgeable{
	"sqlite": func(t *testing.T) forgeable {
		j := newJournal(t)
		return forgeable{"sqlite:" + j.path, func(t *testing.T, statements ...string) {
			j.tamper(t, append([]string{
				"drop trigger event_update", "drop trigger event_delete", "drop trigger body_update", "drop trigger body_delete",
			}, statements...)...)
		}, "x'%x'"}
	},
	"postgres": func(t *testing.T) forgeable {
		g := newGuarded(t)
		db := g.start(t, "spinetrace_runtime", "main", nil)
		writeJournal(t, db)
		closeStore(t, db)
		return forgeable{g.as(t, "spinetrace_reader"), g.forge, `'\x%x'`}
	},
}

// TestAuditShowChecksWhatItShows: what was changed is marked where it stands, in every form, the look is
// recorded, and the command fails.
func TestAuditShowChecksWhatItShows(t *testing.T) {
	other := store.PackParts([]store.Part{{Kind: store.Reply, Data: []byte("MSH|^~\\&|S||||20260601||ACK|1|P|2.4\rMSA|AE|" + soleID + "\r")}})
	for name, tt := range map[string]struct {
		forgery string // %s: another answer
		seq     int
		wrong   string
		shows   string
	}{
		"a changed document": {`update event set doc = replace(doc, 'SMSP-0000', 'SMSP-0001') where seq = 4`, 4,
			"hash does not follow from the event before and the document", "code              SMSP-0001"},
		"a changed column": {`update event set kind = 14 where seq = 3`, 3, "kind differs from the document", "verifyNHSNumber"},
		"a missing event":  {`delete from event where seq = 3`, 4, "the event before it is missing", "ANSWERED"},
		"a changed body": {`update body set codec = 0, data = %s where seq = 5`, 5,
			"body differs from its digest", "< MSA|AE|"},
		"a deleted body": {`delete from body where seq = 5`, 5,
			"body missing: it was never dropped by audit drop-bodies", "52 bytes, missing: it was never dropped by audit drop-bodies"},
	} {
		for kind, fill := range forgeables {
			t.Run(name+"/"+kind, func(t *testing.T) {
				f := fill(t)
				statement := tt.forgery
				if strings.Contains(statement, "%s") {
					statement = fmt.Sprintf(statement, fmt.Sprintf(f.binary, other))
				}
				f.forge(t, statement)
				setAll(t, map[string]string{"STORE": f.store})
				wantDoubted(t, fmt.Sprint("main:", tt.seq), tt.wrong)
				if out := commandOut("audit", "show", soleID); !strings.Contains(out, tt.shows) {
					t.Errorf("no %q in\n%s", tt.shows, out)
				}
				if out := commandOut("audit", "head"); !strings.Contains(out, "main.cli:4:") {
					t.Errorf("not every look is recorded:\n%s", out)
				}
			})
		}
	}
}

// wantDoubted shows the story of newJournal in every form, and wants one event marked.
func wantDoubted(t *testing.T, at, wrong string) {
	t.Helper()
	verdict := "1 event does not hold, the first at " + at + ": run spinetrace audit verify --bodies\n"
	code, out, errs := runCommand("audit", "show", soleID)
	_, told, _ := strings.Cut(out, "\n"+at+"  ")
	head, told, _ := strings.Cut(told, "\n")
	if code != exitFailed || !strings.HasPrefix(told, "  !! does not hold  "+wrong+"\n") || !strings.HasSuffix(out, "\n!! "+verdict) || !strings.HasSuffix(errs, verdict) {
		t.Errorf("exit code %d, %s is not marked behind %q:\n%s%s", code, at, head, out, errs)
	}
	code, out, _ = runCommand("audit", "show", soleID, "--json")
	for _, row := range jsonRows(t, out) {
		marked := fmt.Sprint(row["does_not_hold"]) == "["+wrong+"]"
		if here := fmt.Sprintf("main:%v", row["event"].(map[string]any)["seq"]) == at; marked != here || code != exitFailed {
			t.Errorf("as JSON, exit code %d, marked %t: %v", code, marked, row)
		}
	}
	code, out, _ = runCommand("audit", "show", soleID, "--csv")
	if code != exitFailed || strings.Count(out, "does_not_hold,"+wrong) != 1 {
		t.Errorf("as CSV, exit code %d:\n%s", code, out)
	}
}

// TestAuditShowFindsNothingWrong where nothing is.
func TestAuditShowFindsNothingWrong(t *testing.T) {
	for kind, fill := range forgeables {
		t.Run(kind, func(t *testing.T) {
			setAll(t, map[string]string{"STORE": fill(t).store})
			for _, args := range []string{soleID, soleID + " --json", soleID + " --csv", "--seq main:1", "--seq main:7", "--seq main.cli:2"} {
				code, out, errs := runCommand(append([]string{"audit", "show"}, strings.Fields(args)...)...)
				if code != exitOK || strings.Contains(out, "!!") || strings.Contains(out, "does_not_hold") {
					t.Errorf("show %s: exit code %d\n%s%s", args, code, out, errs)
				}
			}
		})
	}
}
