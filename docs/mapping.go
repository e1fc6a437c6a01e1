// Package docs holds the pages that tests compare with the code.
package docs

import (
	_ "embed"
	"strings"
)

//go:embed mapping.md
var mapping string

// MappingRows returns the rows of the table under a heading of mapping.md, without its head.
func MappingRows(heading string) []string {
	_, section, _ := strings.Cut(mapping, "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []string
	for line := range strings.SplitSeq(section, "\n") {
		if strings.HasPrefix(line, "|") {
			rows = append(rows, line)
		}
	}
	return rows[min(2, len(rows)):]
}

// Row writes a row of a table.
func Row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |" }
