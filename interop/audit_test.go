//go:build interop

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fhir is HAPI FHIR's validator with the definitions of R4.
var fhir = language{
	dir: "fhir", needs: []string{"java", "javac", "mvn"},
	install: [][]string{
		{"mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=lib"},
		// Jars name others that are not there: -Xlint without path.
		{"javac", "-Xlint:all,-path", "-Werror", "-cp", "lib/*", "-d", ".", "Validate.java"},
	},
	run: []string{"java", "-cp", "lib" + string(filepath.Separator) + "*" + string(filepath.ListSeparator) + "."},
}

// complaint is something that the validator has to say of a line.
type complaint struct{ severity, where, what string }

// validate asks the validator about resources, one a line.
func validate(t *testing.T, lines [][]byte) [][]complaint {
	t.Helper()
	fhir.ready(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience) // it reads all of R4 first
	defer cancel()
	args := slices.Concat(fhir.run, []string{"Validate"})
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdin = fhir.home, bytes.NewReader(append(bytes.Join(lines, []byte("\n")), '\n'))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	all := make([][]complaint, 1)
	for line := range strings.Lines(string(out)) {
		words := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(words) < 3 { // done
			all = append(all, nil)
			continue
		}
		all[len(all)-1] = append(all[len(all)-1], complaint{words[0], words[1], words[2]})
	}
	if all = all[:len(all)-1]; len(all) != len(lines) {
		t.Fatalf("%d of %d lines were validated\n%s", len(all), len(lines), said.String())
	}
	return all
}

// expected tells the two things that the validator warns of: no AuditEvent has a narrative, and
// transactions of IHE and our own words stand beside the subtypes that FHIR lists, as they may.
func (c complaint) expected() bool {
	return c.severity == "warning" && (strings.Contains(c.what, "dom-6") ||
		strings.HasPrefix(c.where, "AuditEvent.subtype") && (strings.Contains(c.what, "(urn:ihe:event-type-code#") || strings.Contains(c.what, "(urn:spinetrace:event#")))
}

// TestAuditEvents has the AuditEvents of every kind of event validated, and those of a real journal.
func TestAuditEvents(t *testing.T) {
	fhir.ready(t)
	lines := slices.Concat(auditGoldens(t), exported(t, "smsp"), exported(t, "pds"))
	for i, complaints := range validate(t, lines) {
		for _, c := range complaints {
			if !c.expected() {
				t.Errorf("%s %s: %s\n%s", c.severity, c.where, c.what, lines[i])
			}
		}
	}
}

// TestValidatorComplains: a validator that takes anything would prove nothing.
func TestValidatorComplains(t *testing.T) {
	good := auditGoldens(t)[0]
	var bad [][]byte
	for _, replace := range [][2]string{
		{`"source":`, `"sauce":`}, {`"recorded":"2026-11-22T`, `"recorded":"2026-11-32T`}, {`"outcome":"`, `"outcome":"9`},
	} {
		broken := bytes.Replace(good, []byte(replace[0]), []byte(replace[1]), 1)
		if bytes.Equal(broken, good) {
			t.Fatalf("%q is not in %s", replace[0], good)
		}
		bad = append(bad, broken)
	}
	for i, complaints := range validate(t, bad) {
		if !slices.ContainsFunc(complaints, func(c complaint) bool { return c.severity == "error" || c.severity == "fatal" }) {
			t.Errorf("nothing is said of %s", bad[i])
		}
	}
}

// auditGoldens returns the AuditEvents that package auditevent compares its own with.
func auditGoldens(t *testing.T) [][]byte {
	t.Helper()
	files, err := filepath.Glob("../auditevent/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	var lines [][]byte
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var line bytes.Buffer
		if err := json.Compact(&line, content); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line.Bytes())
	}
	return lines
}

// exported returns what `audit export --bodies` makes of the journal of a demo.
func exported(t *testing.T, backend string) [][]byte {
	t.Helper()
	program, dir := build(t), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), program, "demo", "--once", "--backend", backend, "--dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program, "audit", "export", "--bodies")
	cmd.Env = append(os.Environ(), "SPINETRACE_ODS=DEMO", "SPINETRACE_STORE=sqlite:"+filepath.Join(dir, "spinetrace.db"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("audit export: %v", err)
	}
	return bytes.Split(bytes.TrimSuffix(out, []byte("\n")), []byte("\n"))
}
