package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"spinetrace/store"
)

var comparings = func() map[string]func(*testing.T, Database) {
	tests := map[string]func(*testing.T, Database){
		"finds nothing in what was committed":        func(t *testing.T, db Database) { wantMismatches(t, toldStore(t, db)) },
		"finds nothing while more is committed":      testComparedMeanwhile,
		"comes to every exchange, whatever its size": testRowsInOrder,
	}
	for name, f := range forgeries {
		tests["finds "+name] = func(t *testing.T, db Database) { testForgery(t, db, f) }
	}
	for _, column := range []string{"application", "facility", "control_id", "type", "local_id", "nhs_sent", "asker"} {
		f := forgery{"update exchange set " + column + " = '9990000077' where seq = 1", []string{"main:1 exchange." + column + " differs"}}
		tests["finds a changed exchange."+column] = func(t *testing.T, db Database) { testForgery(t, db, f) }
	}
	return tests
}()

// A forgery is one statement that somebody runs behind the store's back in the journal of toldStore, and
// what is then wrong.
type forgery struct {
	statement string
	want      []string
}

// ofThird is the exchange that has no end.
const ofThird = "(select id from exchange where control_id = 'PAS3')"

var forgeries = map[string]forgery{
	"a changed exchange.at":        {"update exchange set at = (select at from exchange where seq = 7) where seq = 1", []string{"main:1 exchange.at differs"}},
	"a changed exchange.chain":     {"update exchange set chain = 77 where seq = 1", []string{"main:1 exchange.chain differs"}},
	"a changed exchange.seq":       {"update exchange set seq = 77 where seq = 1", []string{"main:1 exchange.seq differs"}},
	"a missing exchange":           {"delete from exchange where seq = 1", []string{"main:1 exchange missing"}},
	"an exchange without events":   {"delete from event where seq = 8", []string{"main:8 exchange forged"}},
	"a changed reply.at":           {"update reply set at = (select at from exchange where seq = 1) where outcome = 12", []string{"main:4 reply.at differs"}},
	"a changed reply.outcome":      {"update reply set outcome = 5 where outcome = 12", []string{"main:4 reply.outcome differs"}},
	"a changed reply.nhs_found":    {"update reply set nhs_found = '9990000077' where outcome = 12", []string{"main:4 reply.nhs_found differs"}},
	"a missing reply":              {"delete from reply where outcome = 12", []string{"main:4 reply missing"}},
	"a reply that was moved":       {"update reply set exchange = " + ofThird + " where outcome = 12", []string{"main:4 reply missing", "main:8 reply forged"}},
	"a changed ending.at":          {"update ending set at = (select at from exchange where seq = 1)", []string{"main:6 ending.at differs"}},
	"a changed ending.outcome":     {"update ending set outcome = 5", []string{"main:6 ending.outcome differs"}},
	"a changed ending.nhs_found":   {"update ending set nhs_found = ''", []string{"main:6 ending.nhs_found differs"}},
	"a missing ending":             {"delete from ending", []string{"main:6 ending missing"}},
	"an ending that nobody tells":  {"update ending set exchange = " + ofThird, []string{"main:6 ending missing", "main:8 ending forged"}},
	"a missing mention of a call":  {"delete from mention where id = 'question'", []string{"main:2 mention missing"}},
	"a missing mention, answer":    {"delete from mention where id = 'answer'", []string{"main:3 mention missing"}},
	"a missing mention, letter":    {"delete from mention where id = 'letter'", []string{"main:5 mention missing"}},
	"a missing mention of numbers": {"delete from mention where id = 'nhs:9990000042'", []string{"main:2 mention missing"}},
	"a document that is damaged":   {"update event set doc = 'x' where seq = 3", []string{"main:3 event.doc damaged"}},
}

// toldStore fills a journal: an exchange of the events 1 to 6, whose number was found after the answer, one
// of event 7, and one of event 8 that has no end.
func toldStore(t *testing.T, db Database) store.Store {
	t.Helper()
	clock := newClock()
	s := start(t, db, store.Options{Now: clock.Now})
	commits := answeredLate("PAS1")
	second, third := asTold("PAS2", store.Exchanged), asTold("PAS3", store.Received)
	second.Entries[0].Facts.Outcome, second.Close = "not traced", &store.Closing{Outcome: store.NotTraced}
	for _, c := range append(commits, second, third) {
		commit(t, s, c)
		clock.Move(time.Second)
	}
	return s
}

// asTold opens an exchange with an event that says all that the opening has.
func asTold(controlID string, kind store.Kind) store.Commit {
	f := facts(controlID)
	f.LocalID, f.NHSSent, f.User = "100001", "9990000018", "USER1"
	o := opening(controlID)
	o.User = f.User
	return store.Commit{Exchange: store.NewID(), Open: o, Entries: []store.Entry{{Kind: kind, Facts: f}}}
}

// answeredLate is an exchange whose sender was told "trace pending". Spine was asked about a number that
// no column has.
func answeredLate(controlID string) []store.Commit {
	first := asTold(controlID, store.Received)
	first.Entries = append(first.Entries, store.Entry{Kind: store.Asked, Facts: store.Facts{MessageID: "question", NHSSent: "9990000042"}})
	return []store.Commit{first, {
		Exchange: first.Exchange, Sent: "9990000018", Close: &store.Closing{Outcome: store.Pending},
		Entries: []store.Entry{
			{Kind: store.Answered, Facts: store.Facts{AnswerID: "answer"}},
			{Kind: store.Replied, Facts: store.Facts{Outcome: "trace pending"}},
		},
	}, {
		Exchange: first.Exchange, Sent: "9990000018", Late: &store.Closing{Outcome: store.Traced, NHSNumber: "9990000026"},
		Entries: []store.Entry{{Kind: store.Queued, Facts: store.Facts{ControlID: "letter", Type: "update"}}, {Kind: store.Finished, Facts: store.Facts{Outcome: "traced", Decision: "NSTS01", NHSFound: "9990000026"}}},
	}}
}

func testForgery(t *testing.T, db Database, f forgery) {
	if db.Exec == nil {
		t.Skip("the data cannot be reached past the store")
	}
	s := toldStore(t, db)
	wantMismatches(t, s)
	db.Exec(t, f.statement)
	wantMismatches(t, s, f.want...)
}

// wantMismatches compares what messages are found by with the journal.
func wantMismatches(tb testing.TB, s store.Audit, want ...string) {
	tb.Helper()
	var got []string
	_, err := store.VerifyRows(deadline(tb), s, func(m store.Mismatch) {
		got = append(got, fmt.Sprintf("%s:%d %s %s", m.Chain, m.Seq, m.Column, m.What))
	}, nil)
	if slices.Sort(got); !slices.Equal(got, want) || err != nil {
		tb.Errorf("VerifyRows() finds %q, error %v; want %q", got, err, want)
	}
}

// testComparedMeanwhile: what is committed while a page is read is in it as a whole, or not at all.
func testComparedMeanwhile(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(4, func(n int) {
			for i := range 50 {
				for _, c := range answeredLate(fmt.Sprintf("PAS%d-%d", n, i)) {
					if _, err := s.Commit(deadline(t), c); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		wantMismatches(t, s)
	}
}

// testRowsInOrder: an exchange is in one page, which may be larger than others for it.
func testRowsInOrder(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	var want []int
	for n := range 12 {
		c := asTold(fmt.Sprint("PAS", n), store.Received)
		size := cmp.Or(map[int]int{3: 5000, 7: 9000}[n], 450)
		for range size - 1 {
			c.Entries = append(c.Entries, store.Entry{Kind: store.Interrupted})
		}
		want = append(want, size)
		commit(t, s, c)
		commit(t, s, warned("of no exchange"))
	}
	var got []int
	for r, err := range s.Rows(deadline(t)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, len(r.Events))
	}
	if !slices.Equal(got, want) {
		t.Errorf("Rows() has exchanges of %v events, want %v", got, want)
	}
	for _, err := range s.Rows(deadline(t)) { // whoever has enough may go
		if err != nil {
			t.Error(err)
		}
		break
	}
	wantMismatches(t, s)
}
