package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/hl7v2"
	"spinetrace/testdata"
)

// masks hide what differs from run to run.
var masks = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SHA256"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}Z`), "TIME"},
	{regexp.MustCompile(`(< MSH(?:\|[^|]*){5}\|)\d{14}\|`), "${1}MSH-7|"},
	{regexp.MustCompile(`\bST[A-Z2-7]{18}\b`), "MSH-10"},
	{regexp.MustCompile(`(> MSH(?:\|[^|]*){5}\|)\d{14}(\|\|ACK)`), "${1}MSH-7${2}"},
	{regexp.MustCompile(`(< EVN\|A31\|)\d{14}\|`), "${1}EVN-2|"},
	{regexp.MustCompile(`(took +)\S+`), "${1}DURATION"},
	{regexp.MustCompile(`(question +)\d+ bytes`), "${1}N bytes"}, // it holds the simulator's port
}

func mask(s string) string {
	for _, m := range masks {
		s = m.pattern.ReplaceAllString(s, m.text)
	}
	return s
}

// golden compares text with a file, or rewrites the file under -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestDemoShowsEverySample(t *testing.T) {
	for backend, file := range map[string]string{"smsp": "demo.golden", "pds": "demo-pds.golden"} {
		t.Run(backend, func(t *testing.T) { checkDemo(t, backend, file) })
	}
}

func checkDemo(t *testing.T, backend, file string) {
	dir := t.TempDir()
	code, out, errs := runCommand("demo", "--once", "--backend", backend, "--dir", dir)
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d, stderr %q\n%s", code, errs, out)
	}
	golden(t, file, masked(strings.ReplaceAll(out, dir, "DIR")))
	for line := range strings.Lines(out) {
		if n := len([]rune(line)); n > 100 && !strings.Contains(line, dir) {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "spinetrace.log"))
	if err != nil || !strings.Contains(string(log), `"at_most":"10s"`) {
		t.Errorf("the log does not write durations as serve does: %v\n%s", err, log)
	}
}

func TestDemoNamesTheFields(t *testing.T) {
	code, out, errs := runCommand("demo", "--once", "--fields", "--dir", t.TempDir())
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d, stderr %q", code, errs)
	}
	for _, want := range []string{
		"\n  >   PID-5   Patient Name               .1 HALVORSEN  .2 PRIMROSE  .3 ANNE  .5 MRS  .7 L\n",
		"\n  <   PID-3[2]                             .1 9990000018  .4 NHS  .5 NH\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not printed:\n%s", want, out)
		}
	}
}

func TestDemoRunsAgainWhateverTheEnvironmentSays(t *testing.T) {
	setAll(t, map[string]string{"STORE": "postgres://nobody@192.0.2.1/", "MLLP_ADDR": "nowhere", "NO_SETTING": "1"})
	dir := t.TempDir()
	for range 2 {
		if code, out, errs := runCommand("demo", "--once", "--dir", dir); code != exitOK {
			t.Fatalf("exit code %d\n%s%s", code, out, errs)
		}
	}
}

// untilSeen calls then once text was written.
type untilSeen struct {
	bytes.Buffer
	text string
	then func()
}

func (u *untilSeen) Write(p []byte) (int, error) {
	n, err := u.Buffer.Write(p)
	if bytes.Contains(u.Bytes(), []byte(u.text)) {
		u.then()
	}
	return n, err
}

func TestDemoStaysUpUntilInterrupted(t *testing.T) {
	for backend, setting := range map[string]string{"smsp": "SMSP_URL", "pds": "PDS_URL"} {
		t.Run(backend, func(t *testing.T) { checkDemoStays(t, backend, setting) })
	}
}

func checkDemoStays(t *testing.T, backend, setting string) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := &untilSeen{text: "Ctrl-C stops", then: interrupt}
	var errs bytes.Buffer
	if code := run(ctx, []string{"demo", "--backend", backend, "--dir", t.TempDir()}, console{Out: out, Err: &errs}); code != exitOK {
		t.Fatalf("exit code %d, stderr %s", code, errs.String())
	}
	for _, want := range []string{"audit show DEMO0001", "send --addr 127.0.0.1:", "SPINETRACE_BACKEND='" + backend, "SPINETRACE_" + setting + "='http://127.0.0.1:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say where to look: %s", want)
		}
	}
	if !strings.HasSuffix(out.String(), "\nstopped\n") {
		t.Error("it does not say that it has stopped")
	}
}

func TestDemoInterruptedEarlyIsNotASuccess(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	out := &untilSeen{text: "1 of 14", then: interrupt}
	var errs bytes.Buffer
	if code := run(ctx, []string{"demo", "--once", "--dir", t.TempDir()}, console{Out: out, Err: &errs}); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if got, want := errs.String(), "spinetrace demo: interrupted before all samples were sent\n"; got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

func TestDemoOfUnknownBackEnd(t *testing.T) {
	if code, _, errs := runCommand("demo", "--once", "--backend", "spine", "--dir", t.TempDir()); code != exitUsage || !strings.Contains(errs, "neither smsp nor pds") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
}

func TestSampleNoticesWrongAnswer(t *testing.T) {
	s := sample{want: []field{{"MSA-1", "AA"}, {"PID-3", "1^^^NHS^NH"}}, unseen: true}
	const good = "MSH|^~\\&|A|B|C|D|20260601||ACK|1|P|2.4\rMSA|AA|1\rPID|1||1^^^NHS^NH\r"
	for name, tt := range map[string]struct {
		answer string
		asked  int
		faults int
	}{
		"as expected":    {good, 0, 0},
		"another number": {strings.Replace(good, "|1^", "|2^", 1), 0, 1},
		"one more id":    {strings.Replace(good, "NH\r", "NH~3^^^X^MR\r", 1), 0, 1},
		"refused":        {strings.Replace(good, "|AA|", "|AE|", 1), 0, 1},
		"somebody asked": {good, 1, 1},
		"not HL7":        {"sorry", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if faults := s.check([]byte(tt.answer), tt.asked); len(faults) != tt.faults {
				t.Errorf("%d faults, want %d: %s", len(faults), tt.faults, faults)
			}
		})
	}
}

func TestSampleNoticesWrongUpdate(t *testing.T) {
	s := sample{want: []field{{"MSA-1", "AA"}, {"PID-3", "1^^^X^MR~2^^^NHS^NH"}, {"PID-32", "NSTS01"}}, home: "told"}
	const good = "MSH|^~\\&|A|B|C|D|20260601||ADT^A31^ADT_A05|1|P|2.4\rPID|1||1^^^X^MR~2^^^NHS^NH|||||||||||||||||||||||||||||NSTS01\r"
	for name, tt := range map[string]struct {
		msg    string
		faults int
	}{
		"as expected":    {good, 0},
		"another number": {strings.Replace(good, "~2^", "~3^", 1), 1},
		"another status": {strings.Replace(good, "NSTS01", "NSTS04", 1), 1},
		"another type":   {strings.Replace(good, "A31", "A28", 1), 1},
	} {
		if faults := s.checkUpdate([]byte(tt.msg)); len(faults) != tt.faults {
			t.Errorf("%s: %d faults, want %d: %s", name, len(faults), tt.faults, faults)
		}
	}
}

// TestDemoMissesAnUpdate: an A31 that does not arrive is not passed over.
func TestDemoMissesAnUpdate(t *testing.T) {
	var out strings.Builder
	d := demonstration{w: &out, pas: new(demoPAS), updates: []int{0}}
	if err := d.home(t.Context()); err != nil || d.lacking != 1 || !strings.Contains(out.String(), "After message 1:\n  NOT AS EXPECTED: it did not come\n") {
		t.Errorf("%v, %d A31 are missed\n%s", err, d.lacking, out.String())
	}
	err := d.verdict()
	if err == nil || err.Error() != "1 of 1 A31 are not the expected ones" {
		t.Errorf("it ends with %v", err)
	}
}

// TestSamplesAreAllSent: a message that is added is added to the table as well, and the last
// is the first once more, but for the time at which it was sent.
func TestSamplesAreAllSent(t *testing.T) {
	files, err := fs.Glob(testdata.Messages, "hl7/*.hl7")
	if err != nil {
		t.Fatal(err)
	}
	var table []string
	for _, s := range samples {
		table = append(table, "hl7/"+s.file)
	}
	if diff := cmp.Diff(files, table); diff != "" {
		t.Errorf("files and table differ (-files +table):\n%s", diff)
	}
	var first [32]byte
	for i, name := range files {
		content, err := testdata.Messages.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := hl7v2.Parse(content)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if slices.Contains(m.Warnings(), hl7v2.LineFeeds) || !bytes.HasSuffix(content, []byte("\r")) {
			t.Errorf("%s: a segment does not end in CR", name)
		}
		switch i {
		case 0:
			first = m.Fingerprint()
		case len(files) - 1:
			if m.Fingerprint() != first {
				t.Errorf("%s is not the first message again", name)
			}
		}
	}
}

func TestProgramName(t *testing.T) {
	for arg0, want := range map[string]string{
		"/tmp/go-build123/b001/exe/spinetrace": "go run ./cmd/spinetrace",
		"bin/spinetrace":                       "bin/spinetrace",
	} {
		if got := programName(arg0); got != want {
			t.Errorf("programName(%q) = %q, want %q", arg0, got, want)
		}
	}
}
