package sqlite

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	"spinetrace/store"
)

// The tables grow for years: no statement may read one from end to end.
func TestStatementsUseIndexes(t *testing.T) {
	s := start(t, newPath(t), store.Options{})
	r, err := s.reader()
	must(t, err)
	queries := (&readers{}).statements()
	maps.Copy(queries, (&writer{}).statements())
	journal := regexp.MustCompile(`SCAN (e|x|b|r|event|exchange|body|reply|seen|patient|work|outbox|item|i)\b|TEMP B-TREE`)
	for _, query := range queries {
		if strings.HasPrefix(query, "insert") || !strings.Contains(query, "?") {
			continue
		}
		// An exchange has a handful of events, and a number a handful of holders: they may be
		// sorted.
		sorted := strings.Contains(query, "order by e.at") || strings.Contains(query, "told_nhs = ?")
		for _, step := range plan(t, r, query) {
			if journal.MatchString(step) && !(sorted && strings.Contains(step, "TEMP B-TREE")) {
				t.Errorf("%s: %s", query, step)
			}
		}
	}
}

func plan(t *testing.T, r *readers, query string) []string {
	t.Helper()
	rows, err := r.db.Query("explain query plan "+query, make([]any, strings.Count(query, "?"))...)
	must(t, err)
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		must(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	must(t, rows.Err())
	if len(steps) == 0 {
		t.Errorf("%s: no plan", query)
	}
	return steps
}
