package pdsfhir

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/docs"
	"spinetrace/pds"
)

// TestTPDS01MappingPage holds docs/mapping.md to the tables of answers and genders. When it
// fails it prints the rows as they should be.
func TestTPDS01MappingPage(t *testing.T) {
	for heading, rows := range map[string][]string{
		"Answers of PDS FHIR": answerRows(),
		"Gender of PDS FHIR":  genderRows(),
	} {
		if diff := cmp.Diff(rows, docs.MappingRows(heading)); diff != "" {
			t.Errorf("%s (-code +page):\n%s\n%s", heading, diff, strings.Join(rows, "\n"))
		}
	}
}

func answerRows() []string {
	var rows []string
	for s, m := range meanings {
		status, code, ends := strconv.Itoa(s.status), s.code, m.outcome.String()
		if s.status < 10 {
			status += "xx"
		}
		switch code {
		case anyCode:
			code = "any other"
		case otherCode:
			code = "unknown"
		}
		if m.class != 0 {
			ends = "technical: " + m.class.String()
		}
		rows = append(rows, docs.Row(status, code, m.code, ends))
	}
	slices.Sort(rows)
	return rows
}

func genderRows() []string {
	var rows []string
	for _, sex := range slices.SortedFunc(maps.Keys(genders), func(a, b pds.Sex) int { return strings.Compare(a.Code(), b.Code()) }) {
		rows = append(rows, docs.Row(sex.Code(), genders[sex]))
	}
	return rows
}
