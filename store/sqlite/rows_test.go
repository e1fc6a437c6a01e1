package sqlite

import (
	"path/filepath"
	"slices"
	"testing"

	"spinetrace/store"
)

// TestRowsComparePlaceOfReply: an answer is read from where the row of its reply says.
func TestRowsComparePlaceOfReply(t *testing.T) {
	for statement, want := range map[string]string{
		"update reply set seq = 0":    "reply.seq differs",
		"update reply set chain = 77": "reply.chain differs",
	} {
		path := filepath.Join(t.TempDir(), "journal.db")
		s, err := Open(path, store.Options{})
		if err == nil {
			err = s.Start(deadline(t))
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, err = s.Commit(deadline(t), store.Commit{
			Exchange: store.NewID(), Open: &store.Opening{Type: "ADT^A03"}, Close: &store.Closing{Outcome: store.NotTraced},
			Entries: []store.Entry{{Kind: store.Exchanged, Facts: store.Facts{Type: "ADT^A03", Outcome: "not traced"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		tamper(t, path, statement)
		var got []string
		_, err = store.VerifyRows(deadline(t), s, func(m store.Mismatch) { got = append(got, m.Column+" "+m.What) }, nil)
		if !slices.Equal(got, []string{want}) || err != nil {
			t.Errorf("%s: %q, error %v; want %q", statement, got, err, want)
		}
	}
}
