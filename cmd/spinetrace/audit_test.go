package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// journal is a store in a file, closed again, that the settings name.
type journal struct {
	path string
	ids  []store.ID // of the exchanges, oldest first
}

// control ids of the journal's exchanges.
const (
	soleID   = "SOLE0001" // one exchange, with a question to the back end
	sharedID = "TWICE001" // two exchanges
)

func newJournal(t *testing.T) journal {
	t.Helper()
	j := journal{path: filepath.Join(t.TempDir(), "journal.db")}
	setAll(t, map[string]string{"STORE": "sqlite:" + j.path})
	db := j.open(t, "main")
	defer closeStore(t, db)
	j.ids = writeJournal(t, db)
	return j
}

// writeJournal writes three exchanges behind a start, and returns their ids, oldest first.
func writeJournal(t *testing.T, db store.Journal) []store.ID {
	t.Helper()
	keep(t, db, store.Commit{Entries: []store.Entry{{Kind: store.Started, Facts: store.Facts{Version: "v0", Host: "h"}}}})
	ids := []store.ID{store.NewID(), store.NewID(), store.NewID()}
	keep(t, db, store.Commit{
		Exchange: ids[0],
		Open:     &store.Opening{Application: "PAS", ControlID: soleID, Type: "ADT^A31", NHSNumber: "9990000018"},
		Entries: []store.Entry{
			{Kind: store.Received, Facts: store.Facts{Application: "PAS", ControlID: soleID, Type: "ADT^A31", NHSSent: "9990000018", LocalID: "A\x1b[31mB"},
				Parts: []store.Part{{Kind: store.Frame, Data: []byte("MSH|^~\\&|PAS||||20260601||ADT^A31|" + soleID + "|P|2.4\rPID|1||caf\xe9\r")}}},
			{Kind: store.Asked, Facts: store.Facts{Attempt: 1, Operation: "verifyNHSNumber"},
				Parts: []store.Part{{Kind: store.Request, Data: []byte("<a><b>question</b></a>")}}},
		},
	})
	keep(t, db, store.Commit{
		Exchange: ids[0], Close: &store.Closing{Outcome: store.Verified, NHSNumber: "9990000018"},
		Entries: []store.Entry{
			{Kind: store.Answered, Facts: store.Facts{Attempt: 1, Code: "SMSP-0000", TookMicros: 1500},
				Parts: []store.Part{{Kind: store.Response, Data: []byte("<c>answer</c>")}}},
			{Kind: store.Replied, Facts: store.Facts{Ack: "AA", Outcome: "verified"},
				Parts: []store.Part{{Kind: store.Reply, Data: []byte("MSH|^~\\&|S||||20260601||ACK|1|P|2.4\rMSA|AA|" + soleID + "\r")}}},
		},
	})
	for _, id := range ids[1:] {
		keep(t, db, store.Commit{
			Exchange: id, Open: &store.Opening{Application: "PAS", ControlID: sharedID, Type: "ADT^A03"},
			Entries: []store.Entry{{Kind: store.Exchanged, Facts: store.Facts{ControlID: sharedID, Outcome: "not traced"}}},
			Close:   &store.Closing{Outcome: store.NotTraced},
		})
	}
	return ids
}

// open opens the journal for a test, under a chain's name.
func (j journal) open(t *testing.T, chain string) store.Store {
	t.Helper()
	db, err := sqlite.Open(j.path, store.Options{Chain: chain})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

func closeStore(t *testing.T, db store.Store) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func keep(t *testing.T, db store.Journal, c store.Commit) {
	t.Helper()
	if _, err := db.Commit(context.Background(), c); err != nil {
		t.Fatal(err)
	}
}

// tamper changes the file behind the back of the program, as somebody could who may write it.
func (j journal) tamper(t *testing.T, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", j.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// looks returns the facts of everything on the chain of the commands.
func (j journal) looks(t *testing.T) []store.Facts {
	t.Helper()
	db := j.open(t, "reading")
	defer closeStore(t, db)
	var looks []store.Facts
	for e, err := range db.Events(context.Background(), store.Query{Chain: "main.cli"}) {
		if err != nil {
			t.Fatal(err)
		}
		facts, err := e.Facts()
		if err != nil || e.Kind != store.Looked {
			t.Fatalf("event %d of main.cli is %v, %v", e.Seq, e.Kind, err)
		}
		looks = append(looks, facts)
	}
	return looks
}

func TestAuditShowTellsTheStory(t *testing.T) {
	newJournal(t)
	code, out, errs := runCommand("audit", "show", soleID, "--as", "auditor")
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d, stderr %q", code, errs)
	}
	golden(t, "audit-show.golden", mask(out))
	if first, _, _ := strings.Cut(out, "\n"); first != "NHS Confidential: Personal Data about a patient" {
		t.Errorf("the first line is %q", first)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("a control character of a sender reaches the terminal")
	}
}

func TestAuditShowBodies(t *testing.T) {
	newJournal(t)
	_, out, _ := runCommand("audit", "show", "--bodies", soleID)
	for _, want := range []string{"  ?   <b>question</b>\n", "  ! <c>answer</c>\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not shown:\n%s", want, out)
		}
	}
}

// TestAuditShowFindsByEveryName: a control id, a place of any event, or the exchange's id.
func TestAuditShowFields(t *testing.T) {
	newJournal(t)
	_, out, _ := runCommand("audit", "show", "--fields", "--bodies", soleID)
	for _, want := range []string{
		"\n  > PID  Patient Identification\n  >   PID-1  Set ID - PID             1\n  >   PID-3  Patient Identifier List  café\n",
		"\n  <   MSA-2  Message Control ID   " + soleID + "\n",
		"\n  ? <a>\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not shown:\n%s", want, out)
		}
	}
}

func TestAuditShowFindsByEveryName(t *testing.T) {
	j := newJournal(t)
	db := j.open(t, "main")
	keep(t, db, store.Commit{Exchange: j.ids[0], Entries: []store.Entry{
		{Kind: store.Queued, Facts: store.Facts{Destination: "pas", ControlID: "STUPDATE1", Type: store.Update.String()}},
	}})
	closeStore(t, db)
	for _, args := range [][]string{
		{"STUPDATE1"}, {soleID}, {j.ids[0].String()}, {"--seq", "main:3"}, {soleID, "--seq", "main:5"}, {"--seq", "main:2", soleID},
	} {
		code, out, errs := runCommand(append([]string{"audit", "show"}, args...)...)
		if code != exitOK || !strings.Contains(out, "Exchange "+j.ids[0].String()) {
			t.Errorf("show %q: exit code %d, %s%s", args, code, out, errs)
		}
	}
	if _, out, _ := runCommand("audit", "show", "--seq", "main:1"); !strings.Contains(out, "STARTED") {
		t.Errorf("an event of the service itself is not shown:\n%s", out)
	}
}

func TestAuditShowAsksWhichOfSeveral(t *testing.T) {
	j := newJournal(t)
	code, out, _ := runCommand("audit", "show", sharedID)
	older, newer := strings.Index(out, "--seq main:6"), strings.Index(out, "--seq main:7")
	if code != exitOK || newer < 0 || older < newer {
		t.Errorf("exit code %d; not both, the newest first:\n%s", code, out)
	}
	if _, out, _ = runCommand("audit", "show", sharedID, "--seq", "main:6"); !strings.Contains(out, j.ids[1].String()) {
		t.Errorf("--seq does not choose:\n%s", out)
	}
	_, out, _ = runCommand("audit", "show", sharedID, "--json")
	if lines := jsonRows(t, out); len(lines) != 2 || lines[0]["seq"] != "main:7" {
		t.Errorf("as JSON: %s", out)
	}
}

func TestAuditShowJSON(t *testing.T) {
	newJournal(t)
	_, out, _ := runCommand("audit", "show", soleID, "--json")
	var kinds []string
	for _, line := range jsonRows(t, out) {
		event := line["event"].(map[string]any)
		kinds = append(kinds, fmt.Sprint(event["kind"]))
		if hash := line["hash"].(string); len(hash) != 64 {
			t.Errorf("hash %q", hash)
		}
	}
	if got, want := strings.Join(kinds, " "), "received asked answered replied"; got != want {
		t.Errorf("kinds %q, want %q", got, want)
	}
	if !strings.Contains(out, `"kind":"frame","base64"`) || !strings.Contains(out, `"kind":"reply","text":"MSH|^~\\&|`) {
		t.Errorf("the bodies are not there as they were:\n%s", out)
	}
	if strings.Contains(out, "question") {
		t.Error("a body that was not asked for is shown")
	}
}

func jsonLines(t *testing.T, out string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(out) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		lines = append(lines, v)
	}
	return lines
}

func TestEveryLookIsRecorded(t *testing.T) {
	j := newJournal(t)
	for _, args := range [][]string{
		{soleID, "--as", "one"}, {sharedID, "--as", "two", "--bodies"}, {"NOBODY", "--as", "three"}, {soleID, "--seq", "main:6", "--as", "four"},
	} {
		runCommand(append([]string{"audit", "show"}, args...)...)
	}
	want := []string{
		fmt.Sprintf("one: command audit show, control_id SOLE0001, local_id A\x1b[31mB, nhs_number 9990000018, shown %s: 4", j.ids[0]),
		fmt.Sprintf("two: bodies yes, command audit show, control_id TWICE001, shown %s %s: 2", j.ids[2], j.ids[1]),
		"three: command audit show, control_id NOBODY: 0",
		"four: command audit show, control_id SOLE0001, seq main:6: 0",
	}
	looks := j.looks(t)
	if len(looks) != len(want) {
		t.Fatalf("%d looks are recorded, want %d", len(looks), len(want))
	}
	for i, f := range looks {
		if got := fmt.Sprintf("%s: %s: %d", f.User, pairs(f.Filters), f.Rows); got != want[i] {
			t.Errorf("look %d is %q, want %q", i, got, want[i])
		}
	}
}

// unwritable is a store that cannot commit.
type unwritable struct{ store.Store }

func (unwritable) Commit(context.Context, store.Commit) (store.Receipt, error) {
	return store.Receipt{}, store.ErrUnavailable
}

func TestNothingIsShownUnrecorded(t *testing.T) {
	j := newJournal(t)
	db := j.open(t, "main.cli")
	defer closeStore(t, db)
	var out bytes.Buffer
	err := showing{controlID: soleID, as: "auditor"}.run(context.Background(), &out, unwritable{db})
	if !errors.Is(err, store.ErrUnavailable) || out.Len() > 0 {
		t.Errorf("run() = %v, and %d bytes were shown", err, out.Len())
	}
}

func TestAuditWantsAStoreThatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "typo.db")
	setAll(t, map[string]string{"STORE": "sqlite:" + path})
	for _, args := range [][]string{{"show", soleID}, {"verify"}, {"head"}} {
		code, _, errs := runCommand(append([]string{"audit"}, args...)...)
		if code != exitFailed || !strings.Contains(errs, "SPINETRACE_STORE") {
			t.Errorf("%s: exit code %d, stderr %q", args[0], code, errs)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("reading made a store")
	}
}

func TestAuditUsage(t *testing.T) {
	newJournal(t)
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"audit", exitUsage, "say one of drop-bodies, export, find, head, reindex, report, show, verify"},
		{"audit seek X", exitUsage, `that is no action; there are drop-bodies, export, find, head, reindex, report, show, verify`},
		{"audit show", exitUsage, "no control id"},
		{"audit show A B", exitUsage, "there are too many arguments; the command takes 1 beside flags"},
		{"audit show --seq main", exitUsage, "write CHAIN:N"},
		{"audit show --seq main:0", exitUsage, "write CHAIN:N"},
		{"audit show A --as=", exitUsage, "--as"},
		{"audit show A --fields --json", exitUsage, "--fields is for people"},
		{"audit verify --kept main:7", exitUsage, "write CHAIN:N:HASH"},
		{"audit verify --kept main:x:" + strings.Repeat("0", 64), exitUsage, "write CHAIN:N"},
		{"audit show NOBODY", exitFailed, "the journal holds no such message"},
		{"audit show --seq main:99", exitFailed, "the journal holds no such message"},
		{"audit show " + soleID + " --seq main:6", exitFailed, "the journal holds no such message"},
		{"audit verify --chain other", exitFailed, "no chain of that name"},
	} {
		code, out, errs := runCommand(strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(errs, tt.says) || out != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %d, %q", tt.args, code, out, errs, tt.code, tt.says)
		}
	}
}

func TestAuditVerifyPasses(t *testing.T) {
	newJournal(t)
	for _, args := range [][]string{{}, {"--bodies"}, {"--chain", "main"}} {
		code, out, errs := runCommand(append([]string{"audit", "verify"}, args...)...)
		if code != exitOK || errs != "" || !strings.Contains(out, "7 events") || !strings.Contains(out, "up to main:7") {
			t.Errorf("verify %q: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	_, out, _ := runCommand("audit", "verify", "--json", "--bodies", "--chain", "main")
	if got := jsonLines(t, out); len(got) != 1 || got[0]["events"] != 7.0 || got[0]["bodies"] != 4.0 || got[0]["break"] != nil {
		t.Errorf("as JSON: %s", out)
	}
}

func TestAuditVerifyNamesTheBreak(t *testing.T) {
	for name, tt := range map[string]struct {
		tamper []string
		args   []string
		says   string
	}{
		"a byte of a document": {
			[]string{"drop trigger event_update", "update event set doc = replace(doc, 'SMSP-0000', 'SMSP-0001') where seq = 4"},
			nil, "BROKEN at main:4: hash does not follow",
		},
		"a missing event": {
			[]string{"drop trigger event_delete", "delete from event where seq = 3"},
			nil, "BROKEN at main:3: missing",
		},
		"a column": {
			[]string{"drop trigger event_update", "update event set kind = 14 where seq = 6"},
			nil, "BROKEN at main:6: kind differs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJournal(t)
			j.tamper(t, tt.tamper...)
			code, out, errs := runCommand(append([]string{"audit", "verify"}, tt.args...)...)
			if code != exitFailed || !strings.Contains(out, tt.says) || !strings.Contains(errs, "1 chain is broken") {
				t.Errorf("exit code %d\n%s%swant %q", code, out, errs, tt.says)
			}
			_, out, _ = runCommand(append([]string{"audit", "verify", "--json", "--chain", "main"}, tt.args...)...)
			if got := jsonLines(t, out); len(got) != 1 || got[0]["break"] == nil {
				t.Errorf("as JSON: %s", out)
			}
		})
	}
}

// TestAuditVerifyNamesWrongBodies, all of them: the chain goes on behind a body that cannot be had back.
func TestAuditVerifyNamesWrongBodies(t *testing.T) {
	j := newJournal(t)
	_, head, _ := runCommand("audit", "head")
	j.tamper(t, "drop trigger body_delete", "delete from body where seq = 3",
		"drop trigger body_update", "update body set codec = 0, data = x'0401ff' where seq = 4")
	code, out, errs := runCommand("audit", "verify", "--bodies")
	if code != exitFailed || !strings.Contains(errs, "bodies of 2 events are missing or changed") || strings.Contains(errs+out, "BROKEN") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{"WRONG at main:3: body missing\n", "WRONG at main:4: body differs from its digest\n", "up to main:7\n", strings.Fields(head)[0][len("main:7:"):]} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	_, out, _ = runCommand("audit", "verify", "--bodies", "--json", "--chain", "main")
	lines := jsonLines(t, out)
	if wrong, _ := lines[0]["bodies_wrong"].([]any); len(lines) != 1 || len(wrong) != 2 || lines[0]["break"] != nil || lines[0]["seq"] != 7.0 {
		t.Errorf("as JSON: %s", out)
	}
	j.tamper(t, "drop trigger event_update", "update event set doc = 'x' where seq = 6")
	if _, out, _ := runCommand("audit", "verify", "--bodies"); !strings.Contains(out, "BROKEN at main:6") || !strings.Contains(out, "WRONG at main:4") {
		t.Errorf("a chain that breaks as well:\n%s", out)
	}
}

// TestAuditVerifyComparesKeptHeads: a chain whose end was cut off holds in itself.
func TestAuditVerifyComparesKeptHeads(t *testing.T) {
	j := newJournal(t)
	_, out, _ := runCommand("audit", "head")
	printed := strings.Fields(out)[0] // what is copied and pasted
	hash := printed[len("main:7:"):]
	other := strings.Repeat("0", len(hash))
	for _, tt := range []struct{ kept, says string }{
		{printed, ""},
		{"main:7:" + strings.ToUpper(hash), ""},
		{"main:7:" + other, "BROKEN at main:7: hash is not the one it had as the head"},
		{"main:8:" + hash, "BROKEN at main:8: missing: the chain was longer"},
		{"gone:1:" + hash, "BROKEN at gone:1: missing"},
	} {
		code, out, _ := runCommand("audit", "verify", "--kept", tt.kept)
		if (code == exitOK) != (tt.says == "") || !strings.Contains(out, tt.says) {
			t.Errorf("--kept %s: exit code %d\n%swant %q", tt.kept, code, out, tt.says)
		}
	}
	j.tamper(t, "drop trigger event_delete", "delete from event where seq = 7")
	if code, out, _ := runCommand("audit", "verify"); code != exitOK || !strings.Contains(out, "up to the heads shown") {
		t.Errorf("exit code %d without a kept head\n%s", code, out)
	}
	if code, _, _ := runCommand("audit", "verify", "--kept", "main:7:"+hash); code != exitFailed {
		t.Errorf("exit code %d although the end was cut off", code)
	}
}

// TestAuditVerifySaysWhatItDidNotLookAt: a body that is gone shows only where bodies are read.
func TestAuditVerifySaysWhatItDidNotLookAt(t *testing.T) {
	newJournal(t)
	_, out, _ := runCommand("audit", "head")
	kept := "--kept=" + strings.Fields(out)[0]
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "verified, no event is missing or changed up to the heads shown; bodies were not compared (--bodies)\n"},
		{[]string{"--bodies"}, "verified, nothing is missing or changed up to the heads shown\n"},
		{[]string{kept}, "verified, no event is missing or changed; bodies were not compared (--bodies)\n"},
		{[]string{"--bodies", kept}, "verified, nothing is missing or changed\n"},
	} {
		if _, out, _ := runCommand(append([]string{"audit", "verify"}, tt.args...)...); !strings.HasSuffix(out, tt.want) {
			t.Errorf("audit verify %v prints\n%swant %s", tt.args, out, tt.want)
		}
	}
}

// TestAuditShowNamesWhatHasNoType: a broken frame never had one.
func TestAuditShowNamesWhatHasNoType(t *testing.T) {
	j := newJournal(t)
	db := j.open(t, "main")
	id := store.NewID()
	keep(t, db, store.Commit{
		Exchange: id, Open: &store.Opening{},
		Entries: []store.Entry{{Kind: store.Broken, Facts: store.Facts{Peer: "192.0.2.7:40001", Reason: "junk, 9 bytes"}}},
		Close:   &store.Closing{Outcome: store.Unanswered},
	})
	closeStore(t, db)
	code, out, errs := runCommand("audit", "show", id.String())
	if want := "A broken frame from 192.0.2.7:40001: unanswered\n"; code != exitOK || !strings.Contains(out, want) {
		t.Errorf("exit code %d, no %q in\n%s%s", code, want, out, errs)
	}
}

// TestAuditShowSurvivesDamage: what can be shown of a damaged message is shown.
func TestAuditShowSurvivesDamage(t *testing.T) {
	j := newJournal(t)
	j.tamper(t, "drop trigger event_update", "drop trigger body_update", "drop trigger body_delete",
		"update event set doc = 'x' where seq = 3", "update body set codec = 0, data = x'04ff' where seq = 4", "delete from body where seq = 5")
	code, out, errs := runCommand("audit", "show", soleID)
	for _, want := range []string{"the document cannot be read", "13 bytes, damaged", "52 bytes, missing", "MSH|^~\\&|PAS"} {
		if code != exitFailed || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in\n%s%s", code, want, out, errs)
		}
	}
	if code, out, _ = runCommand("audit", "show", soleID, "--json"); code != exitFailed || len(jsonRows(t, out)) != 4 {
		t.Errorf("as JSON: exit code %d, %s", code, out)
	}
}

func TestAuditHead(t *testing.T) {
	newJournal(t)
	runCommand("audit", "show", soleID)
	_, out, _ := runCommand("audit", "head")
	if got, want := mask(out), "main:7:SHA256  TIME\nmain.cli:1:SHA256  TIME\n"; got != want {
		t.Errorf("head prints\n%swant\n%s", got, want)
	}
	_, out, _ = runCommand("audit", "head", "--json")
	if got := jsonLines(t, out); len(got) != 2 || got[0]["chain"] != "main" || got[0]["seq"] != 7.0 || got[0]["kept"] != fmt.Sprintf("main:7:%s", got[0]["hash"]) {
		t.Errorf("as JSON: %s", out)
	}
}

func TestAuditBesideServe(t *testing.T) {
	auditBesideServe(t, "sqlite:"+filepath.Join(t.TempDir(), "journal.db"))
}

// auditBesideServe reads and verifies a journal that a service is writing, and traces into
// it.
func auditBesideServe(t *testing.T, dsn string) {
	t.Helper()
	r := startService(t, map[string]string{"STORE": dsn})
	r.waitReady(t)
	if _, err := r.send(t, sampleA28("C1")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ args, says string }{
		{"audit show C1 --bodies", "REPLIED"},
		{"trace --nhs-number 9990000018 --dob 19620417", "Answered: verified"},
		{"audit show --seq main.cli:1", "control_id C1"},
		{"audit show --seq main.cli:2", "FINISHED"},
		{"audit head", "main.cli:"},
		{"audit verify --bodies", "2 chains verified"},
	} {
		code, out, errs := runCommand(strings.Fields(step.args)...)
		if code != exitOK || !strings.Contains(out, step.says) {
			t.Errorf("%s: exit code %d, no %q in\n%s%s", step.args, code, step.says, out, errs)
		}
	}
}

func TestFold(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"", ""},
		{"PID|1||", "PID|1||"},
		{"PID|1234|567890|x", "PID|1234|/567890|x"},
		{"ab~cdefgh~ijklmno", "ab~cdefgh~/ijklmno"},
		{".1 ab  .2 c d", ".1 ab  /.2 c d"},
		{"ééééééééééééééé", "éééééééééé/ééééé"},
	} {
		if got := strings.Join(fold(tt.line, 10), "/"); got != tt.want {
			t.Errorf("fold(%q) = %q, want %q", tt.line, got, tt.want)
		}
	}
}

func TestIndentXML(t *testing.T) {
	for in, want := range map[string]string{
		`<?xml version="1.0"?><a><b c="d"/><e>f</e></a>`: "<?xml version=\"1.0\"?>\n<a>\n  <b c=\"d\"/>\n  <e>f</e>\n</a>\n",
		"</a></b><c>": "</a>\n</b>\n<c>\n",
		"plain":       "plain",
		"":            "",
	} {
		if got := string(indentXML([]byte(in))); got != want {
			t.Errorf("indentXML(%q) = %q, want %q", in, got, want)
		}
	}
}
