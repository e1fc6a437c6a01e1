package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
	"spinetrace/pds/pdsfhir/pdsfhirtest"
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

// pdsTraceSettings are settings for trace in front of a simulator of the PDS FHIR API that
// wants tokens.
func pdsTraceSettings(t *testing.T, faults ...pdsfhirtest.Fault) {
	t.Helper()
	s := &simulation{itk: off, pds: "127.0.0.1:0", population: pdstest.People(), credentials: t.TempDir(), faults: faults}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	values := map[string]string{
		"ODS": "X99", "BACKEND": "pds", "PDS_URL": s.fhir.URL, "BACKEND_RATE": "0", "BACKEND_ATTEMPTS": "1",
		"STORE": "sqlite:" + filepath.Join(t.TempDir(), "journal.db"),
	}
	for _, s := range s.settings {
		values[s[0]] = s[1]
	}
	setAll(t, values)
}

// tracesShown are the questions of the golden files.
var tracesShown = []string{
	"--nhs-number 9990000018 --dob 1962-04-17 --family Halvorsen",
	"--nhs-number 999-060-0147 --dob 1983-09-21 --family Kettlewell",
	"--nhs-number 9990000018 --dob 1962-04-18",
	"--nhs-number 9990600635 --dob 1955-06-05",
	"--nhs-number 9990500002 --dob 1949-08-08 --details",
	"--family Brackenthwaite --given Osric --dob 1949-08-08 --sex m --postcode ls991af",
	"--family Hideaway --dob 1982-08-22 --sex F --details",
	"--family Samewell --dob 1933-09-10 --sex M",
	"--family Nobodyhere --dob 1949-08-08 --sex 1",
}

// TestTracePages compares whole pages, of answers of every kind and of failures.
func TestTracePages(t *testing.T) {
	failures := []string{"503:7", "404", "hang", "stranger"}
	for name, settings := range map[string]func(t *testing.T, do string){
		"trace-smsp.golden": func(t *testing.T, do string) { traceSettings(t, smsptest.Fault{Do: do}) },
		"trace-pds.golden": func(t *testing.T, do string) {
			pdsTraceSettings(t, pdsfhirtest.Fault{Operation: "read", Do: do})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var pages strings.Builder
			show := func(title, args string, want int) {
				code, out, _ := runCommand(append([]string{"trace"}, strings.Fields(args)...)...)
				if code != want {
					t.Errorf("%s %s: exit code %d, want %d", title, args, code, want)
				}
				checkScreen(t, args, out)
				fmt.Fprintf(&pages, "$ spinetrace trace %s%s\n%s\n", args, title, mask(traceTimes.ReplaceAllString(out, "${1}DURATION")))
			}
			settings(t, "")
			for _, args := range tracesShown {
				show("", args, exitOK)
			}
			for _, do := range failures {
				settings(t, do)
				t.Setenv(prefix+"BACKEND_TIMEOUT", "300ms")
				args, want := "--nhs-number 9990000018 --dob 1962-04-17 --details", exitFailed
				if do == "stranger" && strings.Contains(name, "pds") {
					want = exitOK // the whole record comes, and is compared
				}
				show("   # "+do, args, want)
			}
			golden(t, name, pages.String())
		})
	}
}

var traceTimes = regexp.MustCompile(`(Took |, after )[0-9.]+[a-zµ]+`)

// checkScreen checks that a page can be read without paging.
func checkScreen(t *testing.T, what, page string) {
	t.Helper()
	if n := strings.Count(page, "\n"); n > 48 {
		t.Errorf("%s: %d lines are more than a screen", what, n)
	}
	for line := range strings.Lines(page) {
		if n := len([]rune(line)); n > 100 {
			t.Errorf("%s: %d columns: %s", what, n, line)
		}
	}
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
	calls, _ := got[0]["calls"].([]any)
	if len(calls) != 1 || got[0]["accepted"] != true {
		t.Fatalf("got %s", out)
	}
	call, _ := calls[0].(map[string]any)
	for name, want := range map[string]any{"operation": "getPatientDetailsByNHSNumber", "status": 200.0, "code": "SMSP-0000", "reason": "response code"} {
		if call[name] != want {
			t.Errorf("%s of the call is %v, want %v", name, call[name], want)
		}
	}
	if call["message_id"] == "" || call["payload_id"] == "" || call["took_ms"] == 0.0 {
		t.Errorf("the call has no ids or took no time: %v", call)
	}
}

// TestTraceJSONOfPDS: every call is told, the token's too, and a failure says what it is.
func TestTraceJSONOfPDS(t *testing.T) {
	pdsTraceSettings(t, pdsfhirtest.Fault{Operation: "read", Do: "503"})
	code, out, _ := runCommand("trace", "--family", "Halvorsen", "--dob", "1962-04-17", "--sex", "F", "--details", "--json")
	got := jsonLines(t, out)
	if code != exitFailed || len(got) != 1 {
		t.Fatalf("exit code %d, %s", code, out)
	}
	var calls []string
	for _, c := range got[0]["calls"].([]any) {
		call, _ := c.(map[string]any)
		calls = append(calls, fmt.Sprint(call["operation"], " ", call["status"]))
	}
	want := []string{"token 200", "getPatientDetailsBySearch 200", "getPatientDetailsBySearch 503"}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got[0]["outcome"] != "unfinished" || got[0]["failure"] != "busy" || got[0]["accepted"] != false {
		t.Errorf("got %s", out)
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
	if code, out, errs = runCommand("audit", "verify", "--bodies", "--search"); code != exitOK {
		t.Errorf("%s%s", out, errs)
	}
}

func TestTraceThatFails(t *testing.T) {
	traceSettings(t, smsptest.Fault{Do: "500"})
	code, out, errs := runCommand("trace", "--family", "Halvorsen", "--dob", "19620417", "--sex", "F")
	if code != exitFailed || !strings.Contains(out, "HTTP 500") || !strings.Contains(out, "Not answered: The service reports an error of its own.") {
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
		{"Halvorsen", "there is an argument that belongs to no flag"},
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
