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

// TestSearchUsesIndexes: each filter drives by the index that is made for it, whatever others are set,
// and nothing is sorted but what a person, a call or a range of numbers is about.
func TestSearchUsesIndexes(t *testing.T) {
	s := start(t, newPath(t), store.Options{})
	r, err := s.reader()
	must(t, err)
	sorted := "TEMP B-TREE"
	for name, tt := range map[string]struct {
		s     store.Search
		index []string
		sorts bool
	}{
		"nothing":      {store.Search{}, []string{"x USING PRIMARY KEY (id>? AND id<?)"}, false},
		"message id":   {store.Search{MessageID: "1"}, []string{"x USING PRIMARY KEY (id=?)", "mention USING PRIMARY KEY (id=?)"}, true},
		"NHS number":   {store.Search{NHSNumber: "1"}, []string{"x USING PRIMARY KEY (id=?)", "exchange_nhs_sent (nhs_sent=?)", "reply_nhs_found (nhs_found=?)", "ending_nhs_found (nhs_found=?)", "mention USING PRIMARY KEY (id=?)"}, true},
		"local number": {store.Search{LocalID: "1"}, []string{"x USING PRIMARY KEY (id=?)", "exchange_local_id (local_id=?)", "mention USING PRIMARY KEY (id=?)"}, true},
		"control id":   {store.Search{ControlID: "1"}, []string{"x USING INDEX exchange_control_id (control_id=? AND id>? AND id<?)"}, false},
		"user":         {store.Search{User: "1"}, []string{"x USING INDEX exchange_asker (asker=? AND id>? AND id<?)"}, false},
		"place":        {store.Search{Chain: "main", FromSeq: 1, UntilSeq: 2}, []string{"x USING INDEX exchange_place (chain=? AND seq>? AND seq<?)"}, true},
		"chain":        {store.Search{Chain: "main", FromSeq: 1}, []string{"x USING PRIMARY KEY (id>? AND id<?)"}, false},
		"sender":       {store.Search{Sender: "1", Outcome: 1}, []string{"x USING PRIMARY KEY (id>? AND id<?)"}, false},
		"all but the calls": {
			store.Search{NHSNumber: "1", LocalID: "1", ControlID: "1", User: "1", Chain: "1", UntilSeq: 2},
			[]string{"x USING PRIMARY KEY (id=?)", "exchange_nhs_sent (nhs_sent=?)"}, true,
		},
		"local number, user": {store.Search{LocalID: "1", User: "1", ControlID: "1", Chain: "1", UntilSeq: 2}, []string{"x USING PRIMARY KEY (id=?)", "exchange_local_id (local_id=?)"}, true},
	} {
		query, _ := newSearch(tt.s)
		steps := strings.Join(plan(t, r, query), "\n")
		for _, index := range tt.index {
			if !strings.Contains(strings.ReplaceAll(steps, "COVERING ", ""), index) {
				t.Errorf("%s: no search by %s:\n%s", name, index, steps)
			}
		}
		if scan := regexp.MustCompile(`SCAN (x|r|d|exchange|reply|ending|mention)\b`); scan.MatchString(steps) {
			t.Errorf("%s: reads a table from end to end:\n%s", name, steps)
		}
		if strings.Contains(steps, sorted) && !tt.sorts {
			t.Errorf("%s: sorts:\n%s", name, steps)
		}
	}
}
