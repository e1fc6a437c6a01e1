package postgres_test

import (
	"fmt"
	"slices"
	"testing"

	"spinetrace/store"
)

// TestRowsCompareAnEndThatCameAtOnce: it stands in the row of the exchange, and counts less than one
// in reply.
func TestRowsCompareAnEndThatCameAtOnce(t *testing.T) {
	for statement, want := range map[string]string{
		"update exchange set outcome = 5":                                                         "[exchange.outcome differs]",
		"update exchange set nhs_found = '9990000077'":                                            "[exchange.nhs_found differs]",
		"update exchange set outcome = null, nhs_found = null":                                    "[reply missing]",
		"insert into reply (exchange, at, outcome, nhs_found) select id, at, 1, '' from exchange": "[reply forged]",
	} {
		dsn := newDatabase(t)
		s := start(t, dsn, store.Options{})
		commit(t, s, store.Commit{
			Exchange: store.NewID(), Open: &store.Opening{Type: "ADT^A03"}, Close: &store.Closing{Outcome: store.NotTraced},
			Entries: []store.Entry{{Kind: store.Exchanged, Facts: store.Facts{Type: "ADT^A03", Outcome: "not traced"}}},
		}, store.Kept)
		if got := mismatches(t, s); len(got) > 0 {
			t.Errorf("before: %s", got)
		}
		exec(t, query(t, dsn), "set session_replication_role = replica; "+statement)
		if got := fmt.Sprint(mismatches(t, s)); got != want {
			t.Errorf("%s: %s, want %s", statement, got, want)
		}
	}
}

func mismatches(t *testing.T, s store.Audit) (all []string) {
	t.Helper()
	_, err := store.VerifyRows(t.Context(), s, func(m store.Mismatch) { all = append(all, m.Column+" "+m.What) }, nil)
	if err != nil {
		t.Error(err)
	}
	slices.Sort(all)
	return all
}
