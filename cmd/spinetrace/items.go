package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
)

// itemActions are the actions of `items`.
var itemActions = map[string]action{
	"close": itemsClose,
	"list":  itemsList,
	"show":  itemsShow,
}

// items shows and closes what a person has to look at.
func items(ctx context.Context, c console, args []string) error {
	fs := newFlags("items", "items list | show | close [flags]\n\nWorks on the items of SPINETRACE_STORE, while serve is running or not: what a clerk has to\nput right in a patient's record, and what an operator has to look at. Each has flags of\nits own; items ACTION -h shows them.")
	return act(ctx, c, fs, itemActions, args)
}

// itemsList lists items.
func itemsList(ctx context.Context, c console, args []string) error {
	var (
		l    listing
		pick itemChoice
	)
	fs := newFlags("items list", "items list [flags]\n\nLists the open items in the order in which they were raised. That somebody looked is\nrecorded first.\n\n"+kindLines())
	fs.BoolVar(&pick.closed, "closed", false, "the closed items, not the open ones")
	fs.StringVar(&pick.kind, "kind", "", "only items of this `kind`")
	fs.StringVar(&pick.key.LocalID, "local-id", "", "only items about the patient with this local `number`")
	fs.StringVar(&pick.key.Authority, "authority", "", "`who` gave that number out; default anybody")
	if err := l.parse(fs, c, args, 0); err != nil {
		return err
	}
	q, err := pick.query()
	if err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error {
		found, err := pick.find(ctx, db, q, l.most)
		if err != nil {
			return err
		}
		rows := make([]itemRow, len(found))
		for i, item := range found {
			rows[i] = rowOfItem(item)
		}
		return list[itemRow]{itemColumns, rows, "There is no such item."}.show(ctx, c.Out, db, l, pick.filters())
	})
}

// kindLines lists the kinds of items for a page of usage.
func kindLines() string { return strings.Join(wrap("The kinds are "+kindWords()+".", 88), "\n") }

// itemChoice says which items are wanted.
type itemChoice struct {
	closed bool
	kind   string
	key    store.PatientKey
}

func (p *itemChoice) query() (store.ItemQuery, error) {
	q := store.ItemQuery{Closed: p.closed, Limit: pageSize}
	if p.kind != "" {
		kind, ok := store.ParseItemKind(p.kind)
		if !ok {
			return q, usageError("--kind is not one of " + kindWords())
		}
		q.Kind = kind
	}
	if p.key.LocalID == "" && p.key.Authority != "" {
		return q, usageError("--authority goes with --local-id")
	}
	p.key.Authority = strings.ToUpper(p.key.Authority)
	if p.key.Authority != "" {
		q.Patient = p.key
	}
	return q, nil
}

func (p *itemChoice) filters() map[string]string {
	f := onlyKnown(map[string]string{
		"command": "items list", "kind": p.kind, "local_id": p.key.LocalID, "authority": p.key.Authority,
	})
	if p.closed {
		f["closed"] = "yes"
	}
	return f
}

// find reads page by page, because whoever gave a local number out may not be known.
func (p *itemChoice) find(ctx context.Context, db store.Backlog, q store.ItemQuery, most int) ([]store.Item, error) {
	var found []store.Item
	err := eachItem(ctx, db, q, func(i store.Item) bool {
		if p.key.LocalID == "" || i.Patient.LocalID == p.key.Fit().LocalID {
			found = append(found, i)
		}
		return len(found) < most
	})
	return found, err
}

// pageSize is how many rows are read at a time.
const pageSize = 500

// eachItem calls do for the items of a query, in pages of q.Limit, until it has had enough.
func eachItem(ctx context.Context, db store.Backlog, q store.ItemQuery, do func(store.Item) bool) error {
	for {
		page, err := db.Items(ctx, q)
		if err != nil {
			return err
		}
		for _, i := range page {
			if !do(i) {
				return nil
			}
			q.After = i.Number
		}
		if len(page) < q.Limit {
			return nil
		}
	}
}

// itemRow is an item for a list.
type itemRow struct {
	Number    int64      `json:"number"`
	Kind      string     `json:"kind"`
	Opened    time.Time  `json:"opened"`
	Latest    time.Time  `json:"latest"`
	Times     int        `json:"times"`
	Authority string     `json:"authority,omitempty"`
	LocalID   string     `json:"local_id,omitempty"`
	NHSNumber string     `json:"nhs_number,omitempty"`
	Exchange  string     `json:"exchange"`
	Closed    *time.Time `json:"closed,omitempty"`
	By        string     `json:"closed_by,omitempty"`
	Why       string     `json:"closed_because,omitempty"`
}

func rowOfItem(i store.Item) itemRow {
	row := itemRow{
		Number: i.Number, Kind: i.Kind.String(), Opened: i.Opened.UTC(), Latest: i.Latest.UTC(), Times: i.Times,
		Authority: i.Patient.Authority, LocalID: i.Patient.LocalID, NHSNumber: i.NHSNumber, Exchange: i.Exchange.String(),
		By: i.By, Why: i.Why,
	}
	if !i.Closed.IsZero() {
		closed := i.Closed.UTC()
		row.Closed = &closed
	}
	return row
}

var itemColumns = []string{"number", "kind", "opened", "latest", "times", "authority", "local_id", "nhs_number", "exchange", "closed", "closed_by", "closed_because"}

func (r itemRow) values(screen bool) []string {
	closed := ""
	if r.Closed != nil {
		closed = stamp(*r.Closed)
	}
	return []string{
		strconv.FormatInt(r.Number, 10), r.Kind, stamp(r.Opened), stamp(r.Latest), strconv.Itoa(r.Times),
		r.Authority, r.LocalID, onScreen(r.NHSNumber, screen), r.Exchange, closed, r.By, r.Why,
	}
}

// onScreen writes an NHS number as people read it, if it is for people.
func onScreen(digits string, screen bool) string {
	if screen {
		return spaced(digits)
	}
	return digits
}

// itemsShow shows all that is known of one item.
func itemsShow(ctx context.Context, c console, args []string) error {
	fs := newFlags("items show", "items show NUMBER [flags]\n\nShows everything that is needed to work on an item, and what became of it. That somebody\nlooked is recorded first.")
	asJSON := fs.Bool("json", false, "print one JSON object")
	who := fs.String("as", osUser(), "`name` of who looks, for the record")
	if err := parse(fs, c, args, 1); err != nil {
		return err
	}
	wanted, err := numbers("item", fs.Args())
	switch {
	case err != nil:
		return err
	case len(wanted) == 0:
		return usageError("give the number of an item")
	case *who == "":
		return usageError("--as must name who looks")
	}
	return reading(ctx, c, func(db store.Store) error { return showItem(ctx, c, db, wanted[0], *who, *asJSON) })
}

// errNoSuchItem says that there is nothing to show.
var errNoSuchItem = errors.New("there is no item with this number")

func showItem(ctx context.Context, c console, db store.Store, wanted int64, who string, asJSON bool) error {
	i, ok, err := db.Item(ctx, wanted)
	if err != nil {
		return err
	}
	rows := 0
	if ok {
		rows = 1
	}
	if err := look(ctx, db, who, map[string]string{"command": "items show", "item": strconv.FormatInt(wanted, 10)}, rows); err != nil {
		return err
	}
	switch {
	case !ok:
		return errNoSuchItem
	case asJSON:
		return encodeJSON(c.Out, itemJSON(i))
	}
	_, err = c.Out.Write(itemPage(i))
	return err
}

// itemJSON is an item for programs, with its document as it is stored.
func itemJSON(i store.Item) any {
	out := struct {
		itemRow
		Details json.RawMessage `json:"details,omitempty"`
	}{itemRow: rowOfItem(i)}
	if json.Valid([]byte(i.Doc)) {
		out.Details = json.RawMessage(i.Doc)
	}
	return out
}

// itemPage is an item for people.
func itemPage(i store.Item) []byte {
	var page bytes.Buffer
	fmt.Fprintf(&page, "%s\n\nItem %d: %s\n", confidential, i.Number, i.Kind)
	writeRows(&page, slices.Concat(docRows(exchange.ReadItemDoc(i.Doc)), history(i)))
	return page.Bytes()
}

// docRows puts what a clerk needs into words.
func docRows(d exchange.ItemDoc) []factRow {
	rows := each("local number", d.LocalIDs)
	rows = append(rows, factRow{"NHS number", marked(d.NHSNumber, d.Invalid)}, factRow{"Spine has", marked(d.NewNumber, false)})
	rows = append(rows, each("also held by", d.OtherIDs)...)
	rows = append(rows, factRow{"name", d.Name})
	rows = append(rows, each("other name", d.OtherNames)...)
	rows = append(rows,
		factRow{"birth date", d.BirthDate}, factRow{"sex", d.Sex}, factRow{"address", d.Address}, factRow{"postcode", d.Postcode})
	rows = append(rows, each("here | in Spine", d.Differences)...)
	return append(rows,
		factRow{"sender", strings.Trim(d.Sender, "^")}, factRow{"control id", d.ControlID},
		factRow{"destination", d.Destination}, factRow{"letter", number(d.Letter)}, factRow{"reason", d.Reason})
}

// each has a row for every value.
func each(name string, values []string) []factRow {
	var rows []factRow
	for _, value := range values {
		rows = append(rows, factRow{name, value})
	}
	return rows
}

// marked writes an NHS number as people read it, and says so if it is not to be used.
func marked(digits string, invalid bool) string {
	_, err := pds.ParseNHSNumber(digits)
	if digits != "" && (invalid || err != nil) {
		return spaced(digits) + " (invalid)"
	}
	return spaced(digits)
}

// history says what became of an item.
func history(i store.Item) []factRow {
	return []factRow{
		{"exchange", i.Exchange.String()},
		{"opened", i.Opened.UTC().Format(timeText)},
		{"raised", raised(i)},
		{"closed", closing(i)},
		{"because", i.Why},
	}
}

func raised(i store.Item) string {
	return count(i.Times, "time", "times") + ", last " + i.Latest.UTC().Format(timeText)
}

func closing(i store.Item) string {
	if i.Closed.IsZero() {
		return ""
	}
	return i.Closed.UTC().Format(timeText) + " by " + i.By
}

// itemsClose closes items.
func itemsClose(ctx context.Context, c console, args []string) error {
	var d decision
	fs := newFlags("items close", "items close NUMBER... --reason TEXT [flags]\n\nCloses items that somebody has dealt with. Who did, and why, is recorded. If it turns out\nthat nothing has changed, the next message about the patient opens another.")
	d.flags(fs)
	if err := parse(fs, c, args, -1); err != nil {
		return err
	}
	wanted, err := numbers("item", fs.Args())
	switch {
	case err != nil:
		return err
	case len(wanted) == 0:
		return usageError("give the numbers of items")
	case d.reason == "":
		return usageError("--reason is missing; say what was done, without a patient's data")
	}
	if err := d.check(); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error {
		return d.each(c.Out, "item", wanted, func(n int64) (string, bool, error) { return d.close(ctx, db, n) })
	})
}

// close closes an item, together with the event that says so.
func (d decision) close(ctx context.Context, db store.Store, wanted int64) (said string, done bool, err error) {
	i, ok, err := db.Item(ctx, wanted)
	switch {
	case err != nil:
		return "", false, err
	case !ok:
		return "is not there", false, nil
	case !i.Closed.IsZero():
		return "was closed before", false, nil
	}
	err = d.commit(ctx, db, store.Commit{
		Exchange: i.Exchange,
		Entries:  []store.Entry{{Kind: store.ItemClosed, Facts: store.Facts{User: d.who, Item: i.Number, Reason: d.reason}}},
		Closures: []store.Closure{{Number: i.Number, By: d.who, Why: d.reason}},
	})
	return "is closed", err == nil, err
}
