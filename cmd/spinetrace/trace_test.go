package main

import (
	"path/filepath"
	"strings"
	"testing"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
)

// traceSettings are settings for trace in front of a simulator.
func traceSettings(t *testing.T, faults ...smsptest.Fault) *smsptest.Server {
	t.Helper()
	sim := smsptest.NewServer(t, pdstest.People(), faults...)
	setAll(t, enough(map[string]string{
		"SMSP_URL": sim.URL, "SMSP_AUDIT_IDS": "urn:example:{user}", "BACKEND_ATTEMPTS": "1",
		"STORE": "sqlite:" + filepath.Join(t.TempDir(), "journal.db"),
	}))
	return sim
}

func TestTraceAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		args string
		says []string
	}{
		"verified": {
			"--nhs-number 9990000018 --dob 19620417",
			[]string{"Asked smsp: verifyNHSNumber", "Answered: verified", "SMSP-0000", "999 000 0018", "17-Apr-1962"},
		},
		"superseded": {
			"--nhs-number 999-060-0147 --dob 1983-09-21 --family Kettlewell",
			[]string{"Answered: superseded", "DEMOG-0017", "999 410 4616"},
		},
		"not verified": {
			"--nhs-number 9990000018 --dob 1962-04-18",
			[]string{"Answered: not verified", "DEMOG-0040"},
		},
		"found": {
			"--family brackenthwaite --given Osric --dob 1949-08-08 --sex m --postcode ls991af",
			[]string{"Asked smsp: getNHSNumber", "LS99 1AF", "Answered: traced", "999 050 0002"},
		},
		"nobody": {
			"--family Nobodyhere --dob 1949-08-08 --sex 1",
			[]string{"Answered: no match", "DEMOG-0001"},
		},
		"details": {
			"--nhs-number 9990500002 --dob 1949-08-08 --details",
			[]string{"getPatientDetailsByNHSNumber", "BRACKENTHWAITE", "THE OLD KILN, 13 IMAGINARY CLOSE, YORK, LS99 1AF", "Z99905"},
		},
		"restricted": {
			"--family Hideaway --dob 1982-08-22 --sex F --details",
			[]string{"getPatientDetailsBySearch", "may be restricted"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			traceSettings(t)
			code, out, errs := runCommand(append([]string{"trace"}, strings.Fields(tt.args)...)...)
			if code != exitOK || errs != "" {
				t.Fatalf("exit code %d, stderr %q", code, errs)
			}
			if !strings.HasPrefix(out, confidential+"\n") {
				t.Error("it is not labelled as confidential")
			}
			for _, want := range tt.says {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

func TestTraceJSON(t *testing.T) {
	traceSettings(t)
	code, out, _ := runCommand("trace", "--nhs-number", "999 000 0018", "--dob", "1962-04-17", "--details", "--json")
	got := jsonLines(t, out)
	if code != exitOK || len(got) != 1 {
		t.Fatalf("exit code %d, %s", code, out)
	}
	patient, _ := got[0]["patient"].(map[string]any)
	if got[0]["nhs_number"] != "9990000018" || got[0]["outcome"] != "traced" || patient["birth_date"] != "19620417" {
		t.Errorf("got %s", out)
	}
	if _, said := patient["died"]; said {
		t.Error("what is not known is said")
	}
}

// TestTraceIsRecorded: who asked, the question and its answer are in the journal under the
// id that was printed, and the provider was told who asked.
func TestTraceIsRecorded(t *testing.T) {
	sim := traceSettings(t)
	_, out, _ := runCommand("trace", "--nhs-number", "9990000018", "--dob", "19620417", "--as", "clerk7", "--json")
	id := jsonLines(t, out)[0]["exchange"].(string)
	code, out, errs := runCommand("audit", "show", id)
	if code != exitOK {
		t.Fatal(errs)
	}
	for _, want := range []string{"clerk7", "RECEIVED", "ASKED", "ANSWERED", "FINISHED", "main.cli:"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if got := strings.Join(sim.Requests()[0].Identities, " "); got != "urn:example:clerk7" {
		t.Errorf("the provider was told %q", got)
	}
	if code, out, errs = runCommand("audit", "verify", "--bodies"); code != exitOK {
		t.Errorf("%s%s", out, errs)
	}
}

func TestTraceThatFails(t *testing.T) {
	traceSettings(t, smsptest.Fault{Do: "500"})
	code, out, errs := runCommand("trace", "--family", "Halvorsen", "--dob", "19620417", "--sex", "F")
	if code != exitFailed || out != "" {
		t.Errorf("exit code %d, stdout %q", code, out)
	}
	if !strings.Contains(errs, "nobody could find out") || strings.Contains(strings.ToUpper(errs), "HALVORSEN") {
		t.Errorf("stderr %q", errs)
	}
}

func TestTraceUsage(t *testing.T) {
	sim := traceSettings(t)
	for _, tt := range []struct{ args, says string }{
		{"", "birth date missing"},
		{"--nhs-number 9990000019 --dob 19620417", "--nhs-number is not an NHS number: check digit wrong"},
		{"--nhs-number 12345 --dob 19620417", "--nhs-number is not an NHS number: not ten digits"},
		{"--nhs-number 9990000018 --dob 17/04/1962", "--dob is not a date"},
		{"--nhs-number 9990000018 --dob 1962", "birth date partial"},
		{"--family Halvorsen --dob 19620417", "sex missing"},
		{"--family Halvorsen --dob 19620417 --sex girl", "--sex is not one of"},
		{"--family Halv* --dob 19620417 --sex F", "family name has a wildcard"},
		{"--dob 19620417 --sex F", "family name missing"},
		{"--family Halvorsen --dob 19620417 --sex F --as=", "--as must name"},
		{"Halvorsen", "unexpected argument"},
	} {
		code, _, errs := runCommand(append([]string{"trace"}, strings.Fields(tt.args)...)...)
		if code != exitUsage || !strings.Contains(errs, tt.says) {
			t.Errorf("trace %s: exit code %d, stderr %q; want %q", tt.args, code, errs, tt.says)
		}
	}
	if n := sim.Asked(); n > 0 {
		t.Errorf("the back end was asked %d times", n)
	}
}

func TestTraceNeedsSettings(t *testing.T) {
	setAll(t, nil)
	code, _, errs := runCommand("trace", "--nhs-number", "9990000018", "--dob", "19620417")
	if code != exitFailed || !strings.Contains(errs, "SPINETRACE_ODS") || !strings.Contains(errs, "SPINETRACE_BACKEND") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
}

func TestBirthday(t *testing.T) {
	for in, want := range map[pds.Date]string{
		{Year: 1962, Month: 4, Day: 17}: "17-Apr-1962",
		{Year: 1934, Month: 7}:          "Jul-1934",
		{Year: 1921}:                    "1921",
		{}:                              "",
	} {
		if got := birthday(in); got != want {
			t.Errorf("birthday(%s) = %q, want %q", in.Digits(), got, want)
		}
	}
}

func TestPrintedPostcode(t *testing.T) {
	for in, want := range map[string]string{"ls991af": "LS99 1AF", " LS99  1AF ": "LS99 1AF", "": "", "LS9*": "LS9*"} {
		if got := printedPostcode(in); got != want {
			t.Errorf("printedPostcode(%q) = %q, want %q", in, got, want)
		}
	}
}
