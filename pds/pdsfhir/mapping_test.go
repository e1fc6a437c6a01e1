package pdsfhir

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// TestTPDS01MappingPage holds docs/mapping.md to the tables of answers and genders. When it
// fails it prints the rows as they should be.
func TestTPDS01MappingPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	for heading, rows := range map[string][]string{
		"Answers of PDS FHIR": answerRows(),
		"Gender of PDS FHIR":  genderRows(),
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
		rows = append(rows, row(status, code, m.code, ends))
	}
	slices.Sort(rows)
	return rows
}

func genderRows() []string {
	var rows []string
	for _, sex := range slices.SortedFunc(maps.Keys(genders), func(a, b pds.Sex) int { return strings.Compare(a.Code(), b.Code()) }) {
		rows = append(rows, row(sex.Code(), genders[sex]))
	}
	return rows
}
