package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/mllp"
	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// factsOfKind returns the facts of the events of one kind, in order.
func factsOfKind(t *testing.T, events []store.Event, kind store.Kind) []store.Facts {
	t.Helper()
	var all []store.Facts
	for _, e := range events {
		if e.Kind == kind {
			all = append(all, factsOf(t, e))
		}
	}
	return all
}

// runOnce runs a service until it is ready, and returns the journal up to there.
func runOnce(t *testing.T, settings map[string]string) []store.Event {
	t.Helper()
	r := startService(t, settings)
	r.waitReady(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return r.events(t)
}

// TestTAUD02d: what differs from the last start is in the journal, by name and with both values.
func TestTAUD02d(t *testing.T) {
	t.Run("an endpoint", testEndpointChanged)
	t.Run("a secret", testSecretChanged)
	t.Run("certificates", testCertificatesChanged)
	t.Run("reference tables", testTablesChanged)
	t.Run("after a program that recorded no settings", testFirstRecord)
}

func testEndpointChanged(t *testing.T) {
	path := "sqlite:" + filepath.Join(t.TempDir(), "journal.db")
	first := map[string]string{"STORE": path, "SMSP_URL": "http://127.0.0.1:9/one"}
	events := runOnce(t, first)
	if n := len(factsOfKind(t, events, store.Reconfigured)) + len(factsOfKind(t, events, store.Renewed)); n != 0 {
		t.Errorf("the first start tells of %d changes", n)
	}
	if n := len(factsOfKind(t, runOnce(t, first), store.Reconfigured)); n != 0 {
		t.Error("a start with the same settings tells of a change")
	}
	events = runOnce(t, map[string]string{"STORE": path, "SMSP_URL": "http://127.0.0.1:9/two", "REPLY_BUDGET": "5s"})
	started, changed := factsOfKind(t, events, store.Started), factsOfKind(t, events, store.Reconfigured)
	if len(started) != 3 || len(changed) != 1 {
		t.Fatalf("journal: %v", kindsOf(events))
	}
	want := map[string]string{
		"SMSP_URL.old": "http://127.0.0.1:9/one", "SMSP_URL.new": "http://127.0.0.1:9/two",
		"REPLY_BUDGET.old": "4s, the default", "REPLY_BUDGET.new": "5s",
		"configuration.old": started[1].Config,
	}
	if diff := cmp.Diff(want, changed[0].Details); diff != "" || changed[0].Config != started[2].Config || started[1].Config == started[2].Config {
		t.Errorf("changed (-want +got):\n%s\nfrom %s to %s", diff, started[1].Config, changed[0].Config)
	}
	if got := started[2].Details["SMSP_URL"]; got != "http://127.0.0.1:9/two" {
		t.Errorf("the start holds the endpoint %q", got)
	}
}

func testSecretChanged(t *testing.T) {
	path := "sqlite:" + filepath.Join(t.TempDir(), "journal.db")
	with := func(password string) map[string]string {
		return map[string]string{"STORE": path, "SMSP_URL": "http://127.0.0.1:9/", "SMSP_PROXY": "http://me:" + password + "@127.0.0.1:9"}
	}
	runOnce(t, with("hunter-one"))
	runOnce(t, with("hunter-one"))
	events := runOnce(t, with("hunter-two"))
	changed := factsOfKind(t, events, store.Reconfigured)
	if len(changed) != 1 || changed[0].Details["SMSP_PROXY"] != "changed" || changed[0].Details["STORE"] != "" {
		t.Errorf("journal tells of %v", changed)
	}
	for _, e := range events {
		if strings.Contains(e.Doc, "hunter") || strings.Contains(e.Doc, path) {
			t.Errorf("a secret is in the journal: %s", e.Doc)
		}
	}
	marks := make(map[string]int)
	for _, f := range factsOfKind(t, events, store.Started) {
		marks[f.Details["SMSP_PROXY"]]++
	}
	if len(marks) != 2 {
		t.Errorf("marks %v; want one for each secret", marks)
	}
}

func testCertificatesChanged(t *testing.T) {
	ca, next := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	own := newPairFiles(t, ca.issue(t, "adapter.test", later))
	settings := map[string]string{
		"STORE":    "sqlite:" + filepath.Join(t.TempDir(), "journal.db"),
		"MLLP_TLS": "mutual", "MLLP_CERT": own.cert, "MLLP_KEY": own.key, "MLLP_CLIENT_CA": ca.file,
	}
	runOnce(t, settings)
	own.replace(t, ca.issue(t, "adapter.test", later.Add(time.Minute)))
	r := startService(t, settings)
	r.waitReady(t)
	own.replace(t, ca.issue(t, "adapter.test", later.Add(2*time.Minute)))
	putInPlace(t, ca.file, slices.Concat(pemBlock("CERTIFICATE", ca.cert.Raw), pemBlock("CERTIFICATE", next.cert.Raw)))
	r.certs.all[0].get() // as a handshake does
	waitUntil(t, "both renewals in the journal", func() bool { return countKind(t, r.store, store.Renewed) == 3 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	events := runOnce(t, settings)
	renewed := factsOfKind(t, events, store.Renewed)
	if len(renewed) != 3 {
		t.Fatalf("journal: %v; want no renewal at the last start", kindsOf(events))
	}
	fingerprint := regexp.MustCompile(`^[0-9a-f]{64} valid \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d$`)
	for i, name := range []string{"certificate listener", "authorities listener", "certificate listener"} {
		d := renewed[i].Details
		ok := fingerprint.MatchString(d["new"]) && fingerprint.MatchString(d["old"]) || strings.HasPrefix(name, "authorities")
		if d["name"] != name || d["new"] == d["old"] || !ok {
			t.Errorf("renewal %d of %s: %v", i, name, d)
		}
	}
	if renewed[2].Details["old"] != renewed[0].Details["new"] {
		t.Error("the second certificate did not follow the first")
	}
}

// countKind counts the events of a kind in the chain main of a running service.
func countKind(t *testing.T, db store.Audit, kind store.Kind) (n int) {
	t.Helper()
	events, err := collect(t.Context(), db, store.Query{Chain: "main"}, -1)
	if err != nil {
		t.Fatal(err)
	}
	return len(factsOfKind(t, events, kind))
}

func testTablesChanged(t *testing.T) {
	table := file(t, "results.csv", "result,status,number,item,words\nNo match,04,kept,,Nobody\n")
	settings := map[string]string{"STORE": "sqlite:" + filepath.Join(t.TempDir(), "journal.db"), "RESULTS_FILE": table}
	started := factsOfKind(t, runOnce(t, settings), store.Started)
	d := started[0].Details
	if len(fingerprint(d["uses results"])) != 64 || !strings.Contains(d["uses results"], " built in, version ") ||
		len(d["uses results file"]) != 64 || !strings.HasSuffix(d["uses schema"], ".sql") {
		t.Errorf("the start stands on %v", d)
	}
	putInPlace(t, table, []byte("result,status,number,item,words\nNo match,04,kept,,Not found\n"))
	renewed := factsOfKind(t, runOnce(t, settings), store.Renewed)
	if len(renewed) != 1 || renewed[0].Details["name"] != "results file" || renewed[0].Details["old"] != d["uses results file"] {
		t.Errorf("renewed: %v", renewed)
	}
}

// testFirstRecord: of a start by an older program only the digest is known.
func testFirstRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	db, err := sqlite.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	keep(t, db, store.Commit{Entries: []store.Entry{{Kind: store.Started, Facts: store.Facts{Config: "old"}}, {Kind: store.Stopped}}})
	closeStore(t, db)
	events := runOnce(t, map[string]string{"STORE": "sqlite:" + path})
	changed := factsOfKind(t, events, store.Reconfigured)
	if len(changed) != 1 || changed[0].Reason != "the last start did not record its settings" ||
		len(changed[0].Details) != 1 || changed[0].Details["configuration.old"] != "old" {
		t.Errorf("journal tells of %v", changed)
	}
	if n := len(factsOfKind(t, events, store.Renewed)); n != 0 {
		t.Errorf("%d renewals of what was never recorded", n)
	}
}

// TestTheLastStartIsFound from however far away, and after a kill.
func TestTheLastStartIsFound(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "journal.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, db)
	note := func(kind store.Kind, details map[string]string) {
		keep(t, db, store.Commit{Entries: []store.Entry{{Kind: kind, Facts: store.Facts{Details: details}}}})
	}
	many := func(n int) { keep(t, db, store.Commit{Entries: slices.Repeat([]store.Entry{{Kind: store.Looked}}, n)}) }
	look := func(what string, want map[string]string) {
		t.Helper()
		head, err := store.HeadOf(t.Context(), db, "main")
		if err != nil {
			t.Fatal(err)
		}
		f, ok, err := lastFooting(t.Context(), db, head)
		if err != nil || ok != (want != nil) {
			t.Fatalf("%s: %v, %v", what, ok, err)
		}
		if diff := cmp.Diff(want, f.uses); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		if ok && f.settings["ODS"] != "RXX" {
			t.Errorf("%s: settings %v", what, f.settings)
		}
	}
	look("an empty chain", nil)
	many(1)
	look("a chain without a start", nil)
	note(store.Started, map[string]string{"ODS": "RXX", "uses certificate a": "1", "uses certificate b": "1"})
	look("the newest event", map[string]string{"certificate a": "1", "certificate b": "1"})
	many(lookBack - 1)
	note(store.Clocked, nil)
	many(lookBack + 7)
	look("far away", map[string]string{"certificate a": "1", "certificate b": "1"})
	note(store.Renewed, map[string]string{"name": "certificate a", "old": "1", "new": "2"})
	note(store.Clocked, map[string]string{"started": "2", "uses certificate a": "2", "uses certificate b": "1"})
	note(store.Renewed, map[string]string{"name": "certificate b", "old": "1", "new": "3"})
	many(3)
	look("by an hour's row", map[string]string{"certificate a": "2", "certificate b": "3"})
}

func TestSettingsInTheJournalHoldNoPassword(t *testing.T) {
	setAll(t, enough(map[string]string{
		"PDS_TOKEN_URL": "https://user:hunter@example.nhs.uk/token", "WEBHOOK_TOKEN": "hunter", "MAIL_PASSWORD": "hunter",
	}))
	c, _ := readConfig() // a token URL with a user is a fault, and must not be told all the same
	defaults, err := defaultValues()
	if err != nil {
		t.Fatal(err)
	}
	given := c.given(defaults, nil)
	if text := fmt.Sprint(given); strings.Contains(text, "hunter") || given["PDS_TOKEN_URL"] != "https://***@example.nhs.uk/token" {
		t.Errorf("the journal would hold %s", text)
	}
	if again := c.given(defaults, given); again["MAIL_PASSWORD"] != given["MAIL_PASSWORD"] {
		t.Error("an unchanged secret has another mark")
	}
}

// TestTPDS06c: allowing wildcards is a row, a warning in the log, and a change of the settings.
func TestTPDS06c(t *testing.T) {
	path := "sqlite:" + filepath.Join(t.TempDir(), "journal.db")
	runOnce(t, map[string]string{"STORE": path})
	r := startService(t, map[string]string{"STORE": path, "BACKEND_ALLOW_WILDCARDS": "true"})
	r.waitReady(t)
	r.logged(t, `"level":"WARN"`, "recorded as a warning", "BACKEND_ALLOW_WILDCARDS", "clinical safety officer")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	events := r.events(t)
	warned, changed := factsOfKind(t, events, store.Warned), factsOfKind(t, events, store.Reconfigured)
	if len(warned) != 1 || !strings.Contains(warned[0].Reason, "clinical safety officer") {
		t.Errorf("warned of %v", warned)
	}
	if len(changed) != 1 || changed[0].Details["BACKEND_ALLOW_WILDCARDS.old"] != "false, the default" || changed[0].Details["BACKEND_ALLOW_WILDCARDS.new"] != "true" {
		t.Errorf("changed: %v", changed)
	}
}

// newTLS trusts an authority and shows certificates.
func newTLS(ca *authority, certs ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: ca.pool, Certificates: certs}
}

// TestTIG02c: peers show a certificate, and a listener without TLS needs a word and has a row.
func TestTIG02c(t *testing.T) {
	t.Run("mutual TLS", func(t *testing.T) {
		ca := newAuthority(t)
		later := time.Now().Add(time.Hour)
		own := newPairFiles(t, ca.issue(t, "adapter.test", later))
		r := startService(t, map[string]string{"MLLP_TLS": "mutual", "MLLP_CERT": own.cert, "MLLP_KEY": own.key, "MLLP_CLIENT_CA": ca.file})
		r.waitReady(t)
		good := newTLS(ca, ca.issue(t, "pas.test", later))
		if answer, err := r.sendBy(t, newTLS(ca), sampleA28("C1")); err == nil {
			t.Errorf("a peer without a certificate was answered %q", answer)
		}
		r.logged(t, `"reason":"`+mllp.HandshakeNoCertificate+`"`)
		if answer, err := r.sendBy(t, good, sampleA28("C1")); err != nil || !strings.Contains(answer, "MSA|AA|C1|") {
			t.Errorf("a peer with one: %q, %v", answer, err)
		}
	})
	t.Run("no TLS unless it is said", func(t *testing.T) {
		setAll(t, enough(map[string]string{"MLLP_ADDR": ":2575"}))
		if _, found := readConfig(); !found.has("MLLP_TLS") {
			t.Error("a listener that others reach has no TLS, and nobody said so")
		}
	})
	t.Run("off is a row", func(t *testing.T) {
		r := startService(t, map[string]string{"MLLP_ADDR": ":0", "MLLP_TLS": "off"})
		r.waitReady(t)
		r.logged(t, `"level":"WARN"`, "recorded as a warning", "has no TLS")
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if warned := factsOfKind(t, r.events(t), store.Warned); len(warned) != 1 || !strings.Contains(warned[0].Reason, "has no TLS") {
			t.Errorf("warned of %v", warned)
		}
	})
}

// TestTIG03a: a person at a terminal is told of the law before patients' data, and nobody else.
func TestTIG03a(t *testing.T) {
	newJournal(t)
	with := func(person bool, args string) (out, errs string) {
		var stdout, stderr strings.Builder
		run(t.Context(), strings.Fields(args), console{Out: &stdout, Err: &stderr, Person: person})
		return stdout.String(), stderr.String()
	}
	const words = "Computer Misuse Act 1990"
	for args, wanted := range map[string]bool{
		"audit show " + soleID: true, "audit show --json " + soleID: true, "audit report quality --csv": true, "items list": true, "outbox list --csv": true,
		"trace --dob 1962-04-17": true, "send --addr 127.0.0.1:9 /nowhere": true,
		"audit -h": false, "help audit": false, "version": false, "check-config": false, "migrate status": false,
	} {
		out, errs := with(true, args)
		if strings.HasPrefix(errs, "This system holds") != wanted || strings.Contains(errs, words) != wanted {
			t.Errorf("%s: told %q", args, errs)
		}
		if strings.Contains(out, words) {
			t.Errorf("%s: the notice is in what it prints:\n%s", args, out)
		}
		if _, errs := with(false, args); strings.Contains(errs, words) {
			t.Errorf("%s: a program is told %q", args, errs)
		}
	}
	t.Run("the trust's own words", func(t *testing.T) {
		newJournal(t)
		t.Setenv(prefix+"NOTICE_FILE", file(t, "notice.txt", "Only for staff of RXX.\r\nAsk\x1b the guardian.\n"))
		if _, errs := with(true, "items list"); errs != "Only for staff of RXX.\nAsk? the guardian.\n\n" {
			t.Errorf("told %q", errs)
		}
		t.Setenv(prefix+"NOTICE_FILE", file(t, "empty.txt", " \n"))
		if _, errs := with(true, "items list"); !strings.Contains(errs, words) || !strings.Contains(errs, "NOTICE_FILE: names a file that is empty") {
			t.Errorf("told %q", errs)
		}
	})
}

// TestIsTerminal: neither a file nor nothing is a person.
func TestIsTerminal(t *testing.T) {
	if isTerminal(io.Discard) || isTerminal(&strings.Builder{}) {
		t.Error("a writer in memory is taken for a terminal")
	}
	var log slog.Handler = newLogger(io.Discard, slog.LevelInfo).Handler()
	if _, ok := log.(*slog.JSONHandler); !ok {
		t.Errorf("logs for programs are written by %T", log)
	}
}
