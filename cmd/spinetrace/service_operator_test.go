package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// TestOperator does what an operator does on the first day, with the same settings for every
// command, while the service runs: check, send, look, verify, trace.
func TestOperator(t *testing.T) {
	t.Parallel()
	people := pdstest.People()
	sim := smsptest.NewServer(t, people)
	dsn := program.migrated(t, pg.Server(t))
	set := serveSettings(dsn, sim.URL, nil)
	i := launchReady(t, set)
	m := traced[1].write("PAS-000001", "PAS", people.At(0))
	file := filepath.Join(t.TempDir(), "a31.hl7")
	if err := os.WriteFile(file, m.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	number := people.At(0).Record.NHSNumber
	for _, step := range []struct {
		args string
		want []string // in what it prints
	}{
		{"check-config --connect", nil},
		{"migrate status", []string{"0001_journal.sql", "applied"}},
		{"send --addr " + i.mllp + " " + file, []string{"AA", "Verified", "NSTS01"}},
		{"audit show PAS-000001", []string{"NHS Confidential: Personal Data about a patient", "verifyNHSNumber", "SMSP-0000"}},
		{"trace --nhs-number " + number.Digits() + " --dob " + people.At(0).Record.BirthDate.Digits(), []string{number.Spaced(), "SMSP-0000"}},
		{"outbox list", []string{"There is no such letter."}},
		{"items list", []string{"There is no such item."}},
		{"audit report quality", []string{"No number is held twice."}},
		{"audit verify --bodies", []string{"main", "main.cli"}},
		{"audit head", []string{"main", "main.cli"}},
	} {
		r := program.run(t, set, strings.Fields(step.args)...)
		if r.code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", step.args, r.code, r.stdout, r.stderr)
		}
		for _, want := range step.want {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%s does not say %q:\n%s", step.args, want, r.stdout)
			}
		}
		checkSilence(t, people, "standard error of "+step.args, r.stderr+" ")
	}
	i.stop(t)
	if n := sim.Asked(); n != 2 {
		t.Errorf("the provider was asked %d times, want once by the message and once by trace", n)
	}
	checkLook(t, openJournal(t, dsn))
}

// checkLook checks that whoever looked at the journal stands in it.
func checkLook(t *testing.T, db store.Audit) {
	t.Helper()
	looks := 0
	for e, err := range db.Events(t.Context(), store.Query{Chain: "main.cli"}) {
		if err != nil {
			t.Fatal(err)
		}
		facts, err := e.Facts()
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == store.Looked && facts.User != "" && facts.Rows > 0 {
			looks++
		}
	}
	if looks == 0 {
		t.Error("the journal does not tell who looked")
	}
}
