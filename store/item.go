package store

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Item is something that a person has to look at: a data-quality clerk, or an operator. Of one
// kind and subject there is one open item at most: raising it again counts, and replaces what it
// says, but opens no second one.
type Item struct {
	Kind      ItemKind
	Subject   string     // whom or what it is about; with Kind, its name. Never shown
	Patient   PatientKey // the record, as first raised; zero: the message names no local number
	NHSNumber string     // that it is about, ten digits; "" if it is about none
	Exchange  ID         // that raised it last
	Doc       string     // what a clerk needs, in the writer's own form, JSON; at most 64 KiB. Empty to a login that may not read it
	// Notify are the destinations that are told, by a letter of kind [Notice], if this opens the
	// item. Only read when it is raised.
	Notify []string

	// Set by the store:
	Number int64     // what people call it by; never used again
	Opened time.Time // when it was first raised
	Latest time.Time // when it was last raised
	Times  int       // how often it was raised
	Closed time.Time // zero: it is open
	By     string    // who closed it
	Why    string    // and for what reason
}

// ItemKind is what is the matter. The numbers are stored: they never change.
type ItemKind uint8

// The kinds.
const (
	SharedNumber   ItemKind = 1  // two local records would have the same NHS number (MSCA-DQ-01)
	ReplacedNumber ItemKind = 2  // the NHS number was superseded (MSCA-DQ-03)
	InvalidNumber  ItemKind = 3  // the NHS number was withdrawn (MSCA-DQ-04)
	Discrepancy    ItemKind = 4  // the national record says otherwise than the local one (MSCA-DQ-06)
	Untraceable    ItemKind = 5  // nobody was found
	Ambiguous      ItemKind = 6  // several were found
	Unverified     ItemKind = 7  // the number is not this patient's, as far as can be told
	OldNumber      ItemKind = 8  // the number has an old style
	Conflict       ItemKind = 9  // the message has several valid NHS numbers
	Impossible     ItemKind = 10 // the back end refused the question as wrong
	Undelivered    ItemKind = 11 // a letter was refused and is parked
	Overrun        ItemKind = 12 // too many updates for one patient: a loop, or two systems that disagree
)

var itemKinds = map[ItemKind]string{
	SharedNumber: "shared number", ReplacedNumber: "replaced number", InvalidNumber: "invalid number",
	Discrepancy: "discrepancy", Untraceable: "no match", Ambiguous: "many matches", Unverified: "not verified",
	OldNumber: "old style number", Conflict: "conflicting numbers", Impossible: "question refused",
	Undelivered: "not delivered", Overrun: "too many updates",
}

// String returns the kind in words.
func (k ItemKind) String() string {
	if s, ok := itemKinds[k]; ok {
		return s
	}
	return fmt.Sprintf("item %d", uint8(k))
}

// ParseItemKind returns the kind that String has these words for.
func ParseItemKind(s string) (ItemKind, bool) {
	for k, words := range itemKinds {
		if words == s {
			return k, true
		}
	}
	return 0, false
}

// ItemKinds returns every kind, in order.
func ItemKinds() []ItemKind {
	var all []ItemKind
	for k := SharedNumber; k <= Overrun; k++ {
		all = append(all, k)
	}
	return all
}

// Closure closes an item. It does nothing if the item is closed already.
type Closure struct {
	Number int64
	By     string // who, at most 200 bytes of text
	Why    string // for what reason, at most 200 bytes of text
}

// ItemQuery selects items.
type ItemQuery struct {
	Kind    ItemKind   // 0: all
	Patient PatientKey // zero: all
	Closed  bool       // the closed ones; else the open ones
	After   int64      // only those with a higher number
	Limit   int        // at most so many
}

// Backlog holds the items of all instances on one database. Items are raised and closed by
// [Commit.Items] and [Commit.Closures], together with the events that say why.
type Backlog interface {
	// Items returns items by number.
	Items(ctx context.Context, q ItemQuery) ([]Item, error)
	// Item returns the item with a number, open or closed.
	Item(ctx context.Context, number int64) (i Item, ok bool, err error)
}

// Fit returns i as stores keep it, with a key and a subject that fit.
func (i Item) Fit() Item {
	i.Patient, i.Subject = i.Patient.Fit(), distinct(i.Subject)
	return i
}

// Check says what no store can keep of i, in an error that wraps [ErrRejected]: an unknown kind,
// no subject, no exchange, a patient without a local number, what is no NHS number, a document that
// is too large or not text, a destination that is not a short word.
func (i Item) Check() error {
	i = i.Fit()
	words := true
	for _, destination := range i.Notify {
		words = words && isWord(destination)
	}
	return firstBroken("item", []rule{
		{itemKinds[i.Kind] != "", "unknown kind"},
		{i.Subject != "", "no subject"},
		{i.Exchange != ID{}, "no exchange"},
		{i.Patient == (PatientKey{}) || i.Patient.LocalID != "", "no local number"},
		{isNumber(i.NHSNumber), "not an NHS number"},
		{len(i.Doc) <= MaxDoc, "too large a document"},
		{utf8.ValidString(i.Doc) && strings.IndexByte(i.Doc, 0) < 0, "the document is not text"},
		{words, "a destination is not a short word"},
	})
}

// Check says what no store can keep of c, in an error that wraps [ErrRejected]: no item, nobody,
// or no reason, or what is not text or too long.
func (c Closure) Check() error {
	return firstBroken("closure", []rule{
		{c.Number > 0, "no item"},
		{c.By != "" && Text(c.By) == c.By, "who closes it is nobody, too long, or not text"},
		{c.Why != "" && Text(c.Why) == c.Why, "the reason is missing, too long, or not text"},
	})
}
