package smsp

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/docs"
	"spinetrace/pds"
)

// TestTPDS01MappingPage holds docs/mapping.md to the tables of codes and operations. When it
// fails it prints the rows as they should be.
func TestTPDS01MappingPage(t *testing.T) {
	for heading, rows := range map[string][]string{
		"Codes of the mini services": codeRows(),
		"Questions":                  operationRows(),
	} {
		if diff := cmp.Diff(rows, docs.MappingRows(heading)); diff != "" {
			t.Errorf("%s (-code +page):\n%s\n%s", heading, diff, strings.Join(rows, "\n"))
		}
	}
}

func codeRows() []string {
	var rows []string
	for _, code := range slices.Sorted(maps.Keys(endings)) {
		end := endings[code]
		meaning := end.outcome.String()
		if end.class != 0 {
			meaning = "technical: " + end.class.String()
		}
		rows = append(rows, docs.Row(code, meaning, map[bool]string{true: "yes", false: "no"}[end.retry]))
	}
	return append(rows, docs.Row("any other", "technical: "+endingOf("").class.String(), "no"))
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
		rows = append(rows, docs.Row(operations[want].name, strings.Join(takes, ", ")))
	}
	return rows
}
