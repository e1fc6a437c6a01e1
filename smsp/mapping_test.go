package smsp

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// TestTPDS01MappingPage holds docs/mapping.md to the tables of codes and operations. When it
// fails it prints the rows as they should be.
func TestTPDS01MappingPage(t *testing.T) {
	page, err := os.ReadFile("../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	for heading, rows := range map[string][]string{
		"Codes of the mini services": codeRows(),
		"Questions":                  operationRows(),
	} {
		if diff := cmp.Diff(rows, rowsUnder(string(page), heading)); diff != "" {
			t.Errorf("%s (-code +page):\n%s\n%s", heading, diff, strings.Join(rows, "\n"))
		}
	}
}

// rowsUnder returns the rows of the table under a heading, without the first two.
func rowsUnder(page, heading string) []string {
	_, section, _ := strings.Cut(page, "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []string
	for line := range strings.SplitSeq(section, "\n") {
		if strings.HasPrefix(line, "|") {
			rows = append(rows, line)
		}
	}
	return rows[min(2, len(rows)):]
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |" }

func codeRows() []string {
	var rows []string
	for _, code := range slices.Sorted(maps.Keys(endings)) {
		end := endings[code]
		meaning := end.outcome.String()
		if end.class != 0 {
			meaning = "technical: " + end.class.String()
		}
		rows = append(rows, row(code, meaning, map[bool]string{true: "yes", false: "no"}[end.retry]))
	}
	return append(rows, row("any other", "technical: "+endingOf("").class.String(), "no"))
}

func operationRows() []string {
	fields := [parameters]string{
		birthDate: "birth date", gender: "sex", localID: "local number", nhsNumber: "NHS number", name: "name", postcode: "postcode",
	}
	var rows []string
	for want := pds.Verify; want <= pds.Details; want++ {
		var takes []string
		for _, p := range operations[want].takes {
			takes = append(takes, fields[p])
		}
		rows = append(rows, row(operations[want].name, strings.Join(takes, ", ")))
	}
	return rows
}
