package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
	"spinetrace/store"
)

// demoJournal is what the demo leaves behind, and the messages that it sent.
func demoJournal(t *testing.T) (j journal, sent [][]byte) {
	t.Helper()
	dir := t.TempDir()
	if code, out, errs := runCommand("demo", "--once", "--dir", dir); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	for _, s := range samples {
		message, err := os.ReadFile(filepath.Join(dir, "hl7", s.file))
		if err != nil {
			t.Fatal(err)
		}
		split, err := splitMessages(message)
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, split...)
	}
	j = journal{path: filepath.Join(dir, "spinetrace.db")}
	setAll(t, map[string]string{"STORE": "sqlite:" + j.path, "ODS": "DEMO"})
	return j, sent
}

// all reads every event of the journal, in the order of its chains.
func (j journal) all(t *testing.T) []store.Event {
	t.Helper()
	db := j.open(t, "reading")
	defer closeStore(t, db)
	heads, err := db.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var events []store.Event
	for _, h := range heads {
		some, err := collect(t.Context(), db, store.Query{Chain: h.Chain}, -1)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, some...)
	}
	return events
}

// export runs the command and returns what it writes.
func export(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := runCommand(append([]string{"audit", "export", "--as", "auditor"}, args...)...)
	if code != exitOK || !strings.Contains(errs, " written") {
		t.Fatalf("%v: exit code %d, stderr %q", args, code, errs)
	}
	return out
}

func TestAuditExportOfTheDemo(t *testing.T) {
	j, sent := demoJournal(t)
	before := j.all(t)
	t.Run("fhir", func(t *testing.T) { checkAuditEvents(t, before, export(t)) })
	t.Run("fhir with bodies", func(t *testing.T) {
		if plain, whole := export(t, "--chain", "main"), export(t, "--chain", "main", "--bodies"); strings.Contains(plain, `"query":`) || !strings.Contains(whole, `"query":`) {
			t.Error("questions are shown unasked, or not shown when asked for")
		}
	})
	t.Run("csv", func(t *testing.T) { checkExportedCSV(t, before, export(t, "--format", "csv")) })
	t.Run("hl7", func(t *testing.T) { checkExportedHL7(t, sent, export(t, "--format", "hl7")) })
	t.Run("hl7 with replies", func(t *testing.T) {
		frames, err := splitMessages([]byte(export(t, "--format", "hl7", "--replies")))
		acks := 0
		for _, frame := range frames {
			m, err := hl7v2.Parse(frame)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.Segment("MSA"); ok {
				acks++
			}
		}
		// The last sample is the first again: it is one message, with one answer.
		if want := len(sent) - 1; err != nil || acks != want || len(frames) != 2*want {
			t.Errorf("%d frames with %d answers, %v; want %d answers to as many", len(frames), acks, err, want)
		}
	})
}

// checkAuditEvents looks for each event of the journal by its place and hash: those that begin
// an AuditEvent, and those that end what another began.
func checkAuditEvents(t *testing.T, events []store.Event, out string) {
	told, last := make(map[string]int), ""
	for _, line := range jsonLines(t, out) {
		if line["resourceType"] != "AuditEvent" {
			t.Fatalf("a line is a %v", line["resourceType"])
		}
		recorded := line["recorded"].(string)
		if recorded < last {
			t.Errorf("%s comes behind %s", recorded, last)
		}
		last = recorded
		for _, e := range line["entity"].([]any) {
			entity := e.(map[string]any)
			if entity["description"] != "journal row" {
				continue
			}
			at := entity["what"].(map[string]any)["identifier"].(map[string]any)["value"].(string)
			hash := entity["detail"].([]any)[0].(map[string]any)["valueString"].(string)
			told[at+" "+hash]++
		}
	}
	for _, e := range events {
		key := fmt.Sprintf("%s %s", place{e.Chain, e.Seq}, e.Hash)
		if n := told[key]; n != 1 && e.Kind != store.Queued {
			t.Errorf("%s (%s) is told of %d times", place{e.Chain, e.Seq}, e.Kind, n)
		}
	}
}

// checkExportedCSV makes the documents of the journal's events of what is in the cells.
func checkExportedCSV(t *testing.T, events []store.Event, out string) {
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	head, last := lines[0], lines[len(lines)-1]
	if n := len(head) - 1; head[n] != confidential || last[n] != lastLine(len(lines)-2, 1) {
		t.Errorf("the label is %q, the end %q", head[n], last[n])
	}
	got := make(map[string]map[string]string)
	for _, line := range lines[1 : len(lines)-1] {
		cells := make(map[string]string)
		for i, name := range head[:len(head)-1] {
			cells[name] = strings.TrimPrefix(line[i], "'")
		}
		got[cells["chain"]+":"+cells["seq"]] = cells
	}
	for _, e := range events {
		want := map[string]any{}
		if err := json.Unmarshal([]byte(e.Doc), &want); err != nil {
			t.Fatal(err)
		}
		cells := got[place{e.Chain, e.Seq}.String()]
		if cells["hash"] != e.Hash.String() {
			t.Fatalf("%s: hash %q", place{e.Chain, e.Seq}, cells["hash"])
		}
		for name, value := range want {
			if text := asCell(t, value); name != "bodies" && cells[name] != text {
				t.Errorf("%s: %s is %q, want %q", place{e.Chain, e.Seq}, name, cells[name], text)
			}
		}
		digests, _ := e.Digests()
		if cells["bodies"] != digestText(digests) {
			t.Errorf("%s: bodies are %q", place{e.Chain, e.Seq}, cells["bodies"])
		}
	}
}

func asCell(t *testing.T, value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return number(int64(v))
	case map[string]any:
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return ""
}

// checkExportedHL7 compares the frames with what was sent, and reads them as `send` does.
func checkExportedHL7(t *testing.T, sent [][]byte, out string) {
	letters, err := readLetters([]string{"-"}, strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range letters {
		if _, err := hl7v2.Parse(l.Message); err != nil || len(hl7v2.Split(l.Message).Messages) != 1 {
			t.Errorf("message %d: %v", l.Number, err)
		}
		got = append(got, string(l.Message))
	}
	var want []string
	for _, message := range sent[:len(sent)-1] { // the last is the first again
		want = append(want, string(message))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-sent +exported:\n%s", diff)
	}
}

// TestAuditExportColumns: a fact that is new has a column, or this fails.
func TestAuditExportColumns(t *testing.T) {
	want := []string{"chain", "seq", "at", "kind", "exchange"}
	for field := range reflect.TypeFor[store.Facts]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		want = append(want, name)
	}
	want = append(want, "bodies", "hash")
	var got []string
	for _, c := range exportColumns {
		got = append(got, c.name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-journal +columns:\n%s", diff)
	}
}

func TestHarmless(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "9990000018": "9990000018", "a=b": "a=b",
		"=1+1": "'=1+1", "+44": "'+44", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "'x": "''x",
	} {
		if got := harmless(cell); got != want || strings.TrimPrefix(got, "'") != cell && cell != "" && want != cell && got[1:] != cell {
			t.Errorf("harmless(%q) = %q, want %q", cell, got, want)
		}
	}
}

// oddFrames are what only frames of MLLP can keep as they are.
var oddFrames = []string{
	"MSH|^~\\&|PAS||||||ADT^A28|1|P|2.4\r\nPID|1||caf\xe9\r\n",
	"MSH|^~\\&|PAS||||||ADT^A28|2|P|2.4\nPID|1||no CR at all\n",
	"MSH|^~\\&|PAS||||||ADT^A28|3|P|2.4\rPID|1||a VT \v and an FS \x1c in a field|\x1c",
	"MSH|^~\\&|PAS||||||ADT^A28|4|P|2.4\rNTE|1||MSH|^~\\& in a text\r\r\r",
	"no HL7 at all",
}

// exchangedFrame commits a message as it came.
func exchangedFrame(t *testing.T, db store.Journal, frame string, f store.Facts) store.ID {
	t.Helper()
	id := store.NewID()
	keep(t, db, store.Commit{
		Exchange: id, Open: &store.Opening{ControlID: f.ControlID, Type: "ADT^A28", NHSNumber: f.NHSSent, LocalID: f.LocalID},
		Entries: []store.Entry{{Kind: store.Exchanged, Facts: f, Parts: []store.Part{{Kind: store.Frame, Data: []byte(frame)}}}},
		Close:   &store.Closing{Outcome: store.NotTraced, NHSNumber: f.NHSFound},
	})
	return id
}

func TestAuditExportKeepsBytes(t *testing.T) {
	j := emptyJournal(t)
	db := j.open(t, "main")
	for i, frame := range oddFrames {
		exchangedFrame(t, db, frame, store.Facts{ControlID: fmt.Sprint(i)})
	}
	closeStore(t, db)
	out := export(t, "--format", "hl7")
	frames := mllp.NewReader(strings.NewReader(out), 1<<20)
	for i, want := range oddFrames {
		if got, err := frames.Next(); err != nil || string(got) != want {
			t.Errorf("frame %d is %q, %v", i, got, err)
		}
	}
	// The last is no message, but a file of the others is one that send takes.
	letters, err := readLetters([]string{"-"}, strings.NewReader(out))
	if err != nil || len(letters) != len(oddFrames) {
		t.Errorf("%d letters, %v", len(letters), err)
	}
}

// emptyJournal is a store in a file in which nothing has happened.
func emptyJournal(t *testing.T) journal {
	t.Helper()
	j := journal{path: filepath.Join(t.TempDir(), "journal.db")}
	setAll(t, map[string]string{"STORE": "sqlite:" + j.path, "ODS": "RXX"})
	closeStore(t, j.open(t, "main"))
	return j
}

func TestAuditExportSaysWhatIsLeftOut(t *testing.T) {
	j := emptyJournal(t)
	db := j.open(t, "main")
	exchangedFrame(t, db, "MSH|^~\\&|1\r", store.Facts{ControlID: "1"})
	exchangedFrame(t, db, "MSH|^~\\&|2", store.Facts{ControlID: "2", Outcome: "failed", Reason: tooLarge + ": 70000000 bytes"})
	exchangedFrame(t, db, "MSH|^~\\&|3\r", store.Facts{ControlID: "3"})
	exchangedFrame(t, db, "MSH|^~\\&|4\r", store.Facts{ControlID: "4"})
	closeStore(t, db)
	j.tamper(t, "drop trigger body_update", "drop trigger body_delete",
		"delete from body where seq = 3", "update body set codec = 0, data = x'04ff' where seq = 4")
	code, out, errs := runCommand("audit", "export", "--format", "hl7")
	if code != exitFailed || out != "\vMSH|^~\\&|1\r\x1c\r" {
		t.Errorf("exit code %d, %q", code, out)
	}
	for _, want := range []string{"1 left out, not kept any more: audit verify --bodies tells", "1 left out: refused as too large", "1 left out, because what is stored is damaged"} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in %q", want, errs)
		}
	}
}

// TestAuditExportPeriod: chains are merged in the order of time, and cut at both ends.
func TestAuditExportPeriod(t *testing.T) {
	j := emptyJournal(t)
	day := time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
	for chain, offset := range map[string]time.Duration{"alpha": 0, "beta": 90 * time.Second} {
		for n := range 5 {
			db := j.openChainAt(t, chain, day.Add(offset+time.Duration(n)*3*time.Minute))
			keep(t, db, store.Commit{Entries: []store.Entry{{Kind: store.Warned, Facts: store.Facts{Reason: fmt.Sprint(chain, n)}}}})
			closeStore(t, db)
		}
	}
	for args, want := range map[string]string{
		"": "alpha0 beta0 alpha1 beta1 alpha2 beta2 alpha3 beta3 alpha4 beta4",
		"--from 2026-06-01T09:03:00Z --until 2026-06-01T09:09:00Z": "alpha1 beta1 alpha2 beta2",
		"--from 2026-06-01T09:03:00.000001Z --chain beta":          "beta1 beta2 beta3 beta4",
		"--until 2026-06-01T09:00:00Z":                             "",
		"--from 2026-06-02 --until 2026-06-03":                     "",
	} {
		args := append([]string{"--format", "csv"}, strings.Fields(args)...)
		if args[len(args)-1] == "csv" {
			args = append(args, "--until", "2026-06-02T00:00:00Z") // not what this test does itself
		}
		if got := strings.Join(columnOf(t, export(t, args...), "reason"), " "); got != want {
			t.Errorf("%v: %s, want %s", args, got, want)
		}
	}
}

// columnOf returns the cells of a column, without those of the last line.
func columnOf(t *testing.T, out, name string) []string {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.Index(lines[0], name)
	var cells []string
	for _, line := range lines[1 : len(lines)-1] {
		cells = append(cells, line[i])
	}
	return cells
}

func TestAuditExportOfAPatient(t *testing.T) {
	j := emptyJournal(t)
	db := j.open(t, "main")
	exchangedFrame(t, db, "1", store.Facts{ControlID: "ONE", NHSSent: "9990000018", LocalID: "L1"})
	late := exchangedFrame(t, db, "2", store.Facts{ControlID: "TWO", NHSSent: "9990000018", LocalID: "L2"})
	exchangedFrame(t, db, "3", store.Facts{ControlID: "THREE", NHSSent: "9990000026", LocalID: "L1"})
	keep(t, db, store.Commit{Exchange: late, Entries: []store.Entry{{Kind: store.Finished, Facts: store.Facts{ControlID: "TWO later"}}}})
	closeStore(t, db)
	export(t, "--format", "csv") // the chain of the commands begins with the first of them
	for args, want := range map[string]string{
		"--nhs-number 9990000018":                  "ONE TWO TWO later",
		"--local-id L1":                            "ONE THREE",
		"--nhs-number 9990000018 --local-id L1":    "ONE",
		"--nhs-number 9990000018 --chain main.cli": "",
		"--nhs-number 9990000034":                  "",
	} {
		got := columnOf(t, export(t, append(strings.Fields(args), "--format", "csv")...), "control_id")
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", args, got, want)
		}
	}
}

func TestAuditExportIsRecorded(t *testing.T) {
	j := newJournal(t)
	t.Setenv(prefix+"ODS", "RXX")
	export(t, "--bodies", "--from", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z", "--local-id", "LA1")
	export(t, "--format", "hl7", "--chain", "main")
	var got []string
	for _, f := range j.looks(t) {
		if f.Filters["format"] == "hl7" {
			delete(f.Filters, "until") // now
		}
		got = append(got, fmt.Sprintf("%s: %s: %d", f.User, pairs(f.Filters), f.Rows))
	}
	const first = "auditor: bodies yes, command audit export, export %s, format fhir, from 2026-01-01T00:00:00Z, local_id LA1, until 2026-01-02T00:00:00Z: 0"
	want := []string{
		fmt.Sprintf(first, "begins"), fmt.Sprintf(first, "complete"),
		"auditor: chain main, command audit export, export begins, format hl7: 0",
		"auditor: chain main, command audit export, export complete, format hl7: 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNothingIsExportedUnrecorded(t *testing.T) {
	j := newJournal(t)
	db := j.open(t, "main.cli")
	defer closeStore(t, db)
	var out bytes.Buffer
	x := exporting{format: "hl7", who: "auditor", chosen: selection{until: time.Now()}}
	err := x.run(t.Context(), console{Out: &out, Err: io.Discard}, unwritable{db})
	if !errors.Is(err, store.ErrUnavailable) || out.Len() > 0 {
		t.Errorf("run() = %v, and %d bytes were written", err, out.Len())
	}
}

func TestAuditExportToAFile(t *testing.T) {
	newJournal(t)
	name := filepath.Join(t.TempDir(), "export.csv")
	if out := export(t, "--format", "csv", "--out", name); out != "" {
		t.Errorf("standard output has %q", out)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	code, _, errs := runCommand("audit", "export", "--format", "csv", "--out", name)
	if code != exitFailed || !strings.Contains(errs, "is there already") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}

// TestAuditExportReplacesNothing: what took the name while the export was written stays, where there
// are links and where there are none.
func TestAuditExportReplacesNothing(t *testing.T) {
	newJournal(t)
	none := func(string, string) error { return errors.ErrUnsupported }
	for name, link := range map[string]func(string, string) error{"links": os.Link, "no links": none} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			part, out := filepath.Join(dir, "x.csv.1.part"), filepath.Join(dir, "x.csv")
			for _, file := range []string{part, out} {
				if err := os.WriteFile(file, []byte(filepath.Base(file)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := giveName(link, part, out)
			if kept, _ := os.ReadFile(out); err == nil || string(kept) != "x.csv" {
				t.Errorf("giveName() = %v, and the file holds %q", err, kept)
			}
			if err := os.Remove(out); err != nil {
				t.Fatal(err)
			}
			err = giveName(link, part, out)
			if moved, _ := os.ReadFile(out); err != nil || string(moved) != "x.csv.1.part" {
				t.Errorf("giveName() = %v, and the file holds %q", err, moved)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestAuditExportRaced: an export whose name is taken at its end fails, and leaves nothing.
func TestAuditExportRaced(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "x.csv")
	target, err := openTarget(io.Discard, out)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := target.close(nil); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("close() = %v", err)
	}
	if kept, _ := os.ReadFile(out); string(kept) != "mine" {
		t.Errorf("the file holds %q", kept)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestAuditExportHL7 is --format hl7 by a shorter name.
func TestAuditExportHL7(t *testing.T) {
	newJournal(t)
	if got, want := export(t, "--hl7"), export(t, "--format", "hl7"); got != want || !strings.HasPrefix(got, "\vMSH|") {
		t.Errorf("--hl7 writes %q, want %q", got, want)
	}
}

// TestAuditExportBrokenOff: what is not whole gets no name, and who got the rows is recorded.
func TestAuditExportBrokenOff(t *testing.T) {
	j := newJournal(t)
	j.tamper(t, "drop trigger event_update", "update event set doc = 'x' where seq = 4")
	dir := t.TempDir()
	code, _, errs := runCommand("audit", "export", "--as", "auditor", "--format", "csv", "--out", filepath.Join(dir, "x.csv"))
	if code != exitFailed || !strings.Contains(errs, "main:4: ") || strings.Contains(errs, "written") {
		t.Errorf("exit code %d, %q", code, errs)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	looks := j.looks(t)
	if last := looks[len(looks)-1]; last.Filters["export"] != "broken off" || last.Rows != 3 {
		t.Errorf("the last look is %v of %d rows", last.Filters, last.Rows)
	}
}

// TestReaderLeaves: how many rows went into a pipe that nobody reads any more is recorded like any.
func TestReaderLeaves(t *testing.T) {
	j := newJournal(t)
	for _, args := range []string{"audit export --format csv", "audit find"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := swift.command(t, map[string]string{"STORE": "sqlite:" + j.path}, strings.Fields(args)...)
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = w, &stderr
		err = cmd.Run()
		w.Close()
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || stderr.Len() > 0 {
			t.Errorf("%s: %v, stderr %q; want exit code %d and no word", args, err, &stderr, exitFailed)
		}
	}
	var got []string
	for _, f := range j.looks(t) {
		got = append(got, strings.TrimSpace(f.Filters["command"]+" "+f.Filters["export"]))
	}
	if diff := cmp.Diff([]string{"audit export begins", "audit export broken off", "audit find"}, got); diff != "" {
		t.Errorf("looks (-want +got):\n%s", diff)
	}
}

func TestAuditExportInterrupted(t *testing.T) {
	j := newJournal(t)
	db := j.open(t, "main.cli")
	ctx, interrupt := context.WithCancel(t.Context())
	x := exporting{format: "csv", who: "auditor", chosen: selection{until: time.Now()}}
	err := x.run(ctx, console{Out: io.Discard, Err: io.Discard}, interrupted{db, interrupt})
	closeStore(t, db)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("run() = %v", err)
	}
	if looks := j.looks(t); len(looks) != 2 || looks[1].Filters["export"] != "broken off" {
		t.Errorf("looks: %v", looks)
	}
}

// interrupted is a store whose user gives up once the look is recorded.
type interrupted struct {
	store.Store
	interrupt func()
}

func (i interrupted) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	defer i.interrupt()
	return i.Store.Commit(ctx, c)
}

func TestAuditExportUsage(t *testing.T) {
	newJournal(t)
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"--format xml", exitUsage, "--format is not one of csv, fhir, hl7"},
		{"--as=", exitUsage, "--as must name who exports"},
		{"--format csv --bodies", exitUsage, "--bodies goes with --format fhir"},
		{"--replies", exitUsage, "go with --format hl7"},
		{"--force", exitUsage, "go with --format hl7"},
		{"--from yesterday", exitUsage, "--from is not a time"},
		{"--until -1h", exitUsage, "--until is not a time"},
		{"--from 1h --until 2h", exitUsage, "--from is not before --until"},
		{"--nhs-number 999000001", exitUsage, "--nhs-number is not an NHS number"},
		{"--format csv --chain other", exitFailed, "no chain of that name"},
		{"", exitFailed, "SPINETRACE_ODS: is missing"},
		{"--format hl7 --out " + filepath.Join("no", "such", "folder", "x"), exitFailed, "--out: "},
	} {
		code, out, errs := runCommand(append([]string{"audit", "export"}, strings.Fields(tt.args)...)...)
		if code != tt.code || out != "" || !strings.Contains(errs, tt.says) || strings.Contains(errs, "9990000019") {
			t.Errorf("%s: exit code %d, %q, %q", tt.args, code, out, errs)
		}
	}
}

// TestAuditExportSparesTerminals: a device is as good as one here.
func TestAuditExportSparesTerminals(t *testing.T) {
	newJournal(t)
	device, err := os.OpenFile("/dev/zero", os.O_WRONLY, 0)
	if err != nil || !isTerminal(device) {
		t.Skip("no device to write to")
	}
	defer device.Close()
	for args, want := range map[string]int{"--format hl7": exitUsage, "--format hl7 --force": exitOK, "--format csv": exitOK} {
		var errs bytes.Buffer
		code := run(t.Context(), append([]string{"audit", "export"}, strings.Fields(args)...), console{Out: device, Err: &errs})
		if code != want {
			t.Errorf("%s: exit code %d, %s", args, code, errs.String())
		}
	}
}

func TestProgress(t *testing.T) {
	for _, shown := range []bool{true, false} {
		var said bytes.Buffer
		p := progress{w: &said, start: time.Now(), shown: shown}
		for range 2 * progressStep {
			p.add(2)
		}
		lines := strings.Count(said.String(), " events read, ")
		if want := map[bool]int{true: 2}[shown]; lines != want || p.rows != 4*progressStep {
			t.Errorf("shown %t: %d lines, %d rows:\n%s", shown, lines, p.rows, said.String())
		}
	}
}
