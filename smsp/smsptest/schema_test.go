package smsptest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
)

var payload = regexp.MustCompile(`(?s)<itk:payload id="[^"]*">(.*)</itk:payload>`)

// Every kind of answer is valid against the published schemas, whole and payload alone
// (smsp.md section 15: the whole message alone would let a misspelt root pass).
func TestAnswersAreSchemaValid(t *testing.T) {
	xmllint, err := exec.LookPath("xmllint")
	dir := os.Getenv("SPINETRACE_SPEC_DIR")
	if dir == "" || err != nil {
		t.Skip("needs xmllint and SPINETRACE_SPEC_DIR")
	}
	dir = filepath.Join(dir, "data", "smsp-schemas")
	work := t.TempDir()
	whole, alone := make(map[string][]string), make(map[string][]string)
	for name, answer := range everyAnswer(t) {
		schema := schemaOf(answer)
		file := filepath.Join(work, name+".xml")
		writeFile(t, file, answer)
		whole["harness/soap-"+schema] = append(whole["harness/soap-"+schema], file)
		if schema != "fault.xsd" {
			file = filepath.Join(work, name+".payload.xml")
			writeFile(t, file, payload.FindStringSubmatch(answer)[1])
			alone["pds/Schemas/"+schema] = append(alone["pds/Schemas/"+schema], file)
		}
	}
	if len(whole) != 4 || len(alone) != 3 {
		t.Errorf("%d and %d schemas used, want 4 and 3", len(whole), len(alone))
	}
	for _, schemas := range []map[string][]string{whole, alone} {
		for schema, files := range schemas {
			cmd := exec.CommandContext(t.Context(), xmllint, append([]string{"--noout", "--nonet", "--schema", schema}, files...)...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", schema, err, out)
			}
		}
	}
}

func schemaOf(answer string) string {
	for root, schema := range map[string]string{
		"<verifyNHSNumberResponse-v1-0 ":   "COMT_MT000013GB01.xsd",
		"<getNHSNumberResponse-v1-0 ":      "COMT_MT000014GB01.xsd",
		"<getPatientDetailsResponse-v1-0 ": "COMT_MT000016GB01.xsd",
	} {
		if strings.Contains(answer, root) {
			return schema
		}
	}
	return "fault.xsd"
}

// everyAnswer is each of the people by each operation, each code, and each fault.
func everyAnswer(t *testing.T) map[string]string {
	answers := make(map[string]string)
	s := newServer(t)
	people := pdstest.People()
	for i := range people.Len() {
		p := people.At(i).Record
		for _, file := range []string{"01", "02", "05"} {
			_, answers[fmt.Sprintf("person-%d-%s", i, file)] = post(t, s, about(t, file, p.NHSNumber.Digits(), p.BirthDate.Digits(), p.Family))
		}
	}
	for _, do := range []string{
		"code:SMSP-0001", "code:SMSP-0003", "code:DEMOG-0017", "code:DEMOG-0040", "code:DEMOG-0042", "code:<&\"",
		"hollow", "stranger", "fault:1000", "fault:2100", "fault:2200", "fault:3000", "fault:9999",
	} {
		s.SetFaults(smsptest.Fault{Do: do})
		for _, file := range []string{"01", "02", "03", "04", "05"} {
			name := strings.NewReplacer(":", "-", "<", "", "&", "", `"`, "").Replace(do)
			_, answers[name+"-"+file] = post(t, s, example(t, file))
		}
	}
	s.SetFaults()
	_, answers["malformed"] = post(t, s, []byte("nonsense"))
	return answers
}

// about turns an example into a question about somebody else.
func about(t *testing.T, file, number, birth, family string) []byte {
	var escaped bytes.Buffer
	for _, r := range family {
		if r == '&' {
			escaped.WriteString("&amp;")
			continue
		}
		escaped.WriteRune(r)
	}
	return []byte(strings.NewReplacer(
		"9994102303", number, "19780214", birth, "Quillfeather", escaped.String(),
		"<given>Marigold</given>", "", `code="2"`, `code="0"`, "LS99 9ZZ", "",
	).Replace(string(example(t, file))))
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
