package main

import (
	"context"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"spinetrace/exchange"
	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// backlogStore is a journal with letters and items, closed again, that the settings name.
func backlogStore(t *testing.T) journal {
	t.Helper()
	j := journal{path: filepath.Join(t.TempDir(), "journal.db"), ids: []store.ID{store.NewID()}}
	setAll(t, map[string]string{"STORE": "sqlite:" + j.path})
	db := j.open(t, "main")
	defer closeStore(t, db)
	letters, items := someLetters(), someItems()
	for i := range letters {
		letters[i].Exchange = j.ids[0]
	}
	for i := range items {
		items[i].Exchange = j.ids[0]
	}
	keep(t, db, store.Commit{
		Exchange: j.ids[0], Open: &store.Opening{Application: "PAS", ControlID: soleID, Type: "ADT^A28"},
		Entries: []store.Entry{{Kind: store.Exchanged, Facts: store.Facts{ControlID: soleID, Outcome: "superseded"}}},
		Letters: letters, Items: items, Close: &store.Closing{Outcome: store.Superseded},
	})
	keep(t, db, store.Commit{
		Exchange: j.ids[0], Entries: []store.Entry{{Kind: store.Tried}},
		Dispatched: []store.Dispatch{
			{Position: 2, State: store.Parked, Reason: "answered AE"},
			{Position: 3, State: store.Delivered},
		},
	})
	return j
}

// patient is the record that the letters and items are about.
var patient = store.PatientKey{Authority: "RXX", LocalID: "D100004"}

// someLetters are at the positions 1 to 3.
func someLetters() []store.Letter {
	return []store.Letter{
		{Destination: exchange.ToPAS, ControlID: "ST0001", Kind: store.Update, Patient: patient},
		{Destination: exchange.ToPAS, ControlID: "ST0002", Kind: store.Update, Patient: store.PatientKey{Authority: "RXX", LocalID: "D100005\x1b[31m"}},
		{Destination: exchange.ToForward, ControlID: soleID, Kind: store.Forwarded, Patient: patient},
	}
}

// someItems have the numbers 1 to 3.
func someItems() []store.Item {
	superseded := exchange.ItemDoc{
		LocalIDs: []string{"RXX^D100004"}, OtherIDs: []string{"RXX^D100077"}, NHSNumber: "9990600147", Invalid: true, NewNumber: "9994104616",
		Name: "KETTLEWELL, ROSALIND", OtherNames: []string{"HOLLIS, ROSALIND"}, BirthDate: "1983-09-21", Sex: "F",
		Address: "34 PRETEND ROAD, SELBY", Postcode: "LS99 6WX", Sender: "PAS^RXX", ControlID: soleID,
	}
	differs := exchange.ItemDoc{
		LocalIDs: []string{"RXX^D100004"}, NHSNumber: "9990000018", Name: "KETTLEWELL, ROSALIND",
		Differences: []string{"family name: KETTLEWELL | HOLLIS", "postcode: LS99 6WX | LS99 1AA"}, Sender: "PAS^RXX", ControlID: soleID,
	}
	refused := exchange.ItemDoc{Destination: exchange.ToPAS, Letter: 2, ControlID: "ST0002", Reason: "answered AE"}
	return []store.Item{
		{Kind: store.ReplacedNumber, Subject: "RXX^D100004", Patient: patient, NHSNumber: "9990600147", Doc: superseded.JSON()},
		{Kind: store.Discrepancy, Subject: "RXX^D100004", Patient: patient, NHSNumber: "9990000018", Doc: differs.JSON()},
		{Kind: store.Undelivered, Subject: "letter 2", Doc: refused.JSON()},
	}
}

// openChainAt opens the journal under a chain's name and a clock of its own.
func (j journal) openChainAt(t *testing.T, chain string, at time.Time) store.Store {
	t.Helper()
	db, err := sqlite.Open(j.path, store.Options{Chain: chain, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

// commanded returns what the commands wrote on their chain.
func (j journal) commanded(t *testing.T) []store.Event {
	t.Helper()
	db := j.open(t, "reading")
	defer closeStore(t, db)
	events, err := collect(context.Background(), db, store.Query{Chain: "main.cli"}, -1)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func factsOf(t *testing.T, e store.Event) store.Facts {
	t.Helper()
	f, err := e.Facts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// masked hides what differs from run to run in a list.
func masked(s string) string { return moment.ReplaceAllString(mask(s), "MOMENT") }
