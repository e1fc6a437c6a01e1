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
	fs := newFlags("items show", "items show NUMBER... [flags]\n\nShows everything that is needed to work on items, and what became of them. That somebody\nlooked is recorded first.")
	asJSON := fs.Bool("json", false, "print one JSON object a line")
	who := fs.String("as", osUser(), "`name` of who looks, for the record")
	if err := parse(fs, c, args, -1); err != nil {
		return err
	}
	wanted, err := numbers("item", fs.Args())
	switch {
	case err != nil:
		return err
	case len(wanted) == 0:
		return usageError("give the numbers of items")
	}
	if err := checkWho(*who, "looks"); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error { return showItems(ctx, c, db, wanted, *who, *asJSON) })
}

// showItems shows one item after another. One that is not there keeps no other from being shown.
func showItems(ctx context.Context, c console, db store.Store, wanted []int64, who string, asJSON bool) error {
	var missing []string
	for i, n := range wanted {
		if i > 0 && !asJSON {
			fmt.Fprintln(c.Out)
		}
		err := showItem(ctx, c, db, n, who, asJSON)
		switch {
		case errors.Is(err, errNoSuchItem):
			missing = append(missing, strconv.FormatInt(n, 10))
		case err != nil:
			return err
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w %s", errNoSuchItem, strings.Join(missing, ", "))
	}
	return nil
}

// errNoSuchItem says that there is nothing to show.
var errNoSuchItem = errors.New("there is no item")

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
		jsonHead
		itemRow
		Details json.RawMessage `json:"details,omitempty"`
		Lacks   string          `json:"details_missing,omitempty"`
	}{jsonHead: jsonHead{Confidentiality: confidential}, itemRow: rowOfItem(i), Lacks: detailsMissing(i)}
	if json.Valid([]byte(i.Doc)) {
		out.Details = json.RawMessage(i.Doc)
	}
	return out
}

// itemPage is an item for people.
func itemPage(i store.Item) []byte {
	var page bytes.Buffer
	fmt.Fprintf(&page, "%s\n\nItem %d: %s\n", confidential, i.Number, i.Kind)
	lacks := []factRow{{"details", detailsMissing(i)}}
	writeRows(&page, slices.Concat(lacks, docRows(i.Kind, exchange.ReadItemDoc(i.Doc)), history(i), hint(i)))
	return page.Bytes()
}

// detailsMissing says why an item has no document, which every item is raised with.
func detailsMissing(i store.Item) string {
	if i.Doc != "" {
		return ""
	}
	return "this login may not read them" + needsReader
}

// needsReader is what a login lacks that reads of the journal what spinetrace_searcher may.
const needsReader = ": that needs the role spinetrace_reader"

// docRows puts what a clerk needs into words.
func docRows(kind store.ItemKind, d exchange.ItemDoc) []factRow {
	why := ""
	switch {
	case d.Invalid && kind == store.ReplacedNumber:
		why = "superseded"
	case d.Invalid:
		why = "invalid"
	}
	rows := each("local number", d.LocalIDs)
	rows = append(rows, factRow{"NHS number", marked(d.NHSNumber, why)})
	for _, digits := range d.Numbers {
		rows = append(rows, factRow{"NHS number sent", spaced(digits)})
	}
	rows = append(rows, factRow{"Spine has", marked(d.NewNumber, "")})
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

// marked writes an NHS number as people read it, and says why it is not to be used, if it is not.
func marked(digits, why string) string {
	if digits == "" {
		return ""
	}
	if _, err := pds.ParseNHSNumber(digits); err != nil {
		why = "invalid"
	}
	if why != "" {
		return spaced(digits) + " (" + why + ")"
	}
	return spaced(digits)
}

// hint says where an operator looks further.
func hint(i store.Item) []factRow {
	if i.Kind != store.Undelivered {
		return nil
	}
	return []factRow{{"see", "spinetrace outbox list"}, {"and", "spinetrace audit show " + i.Exchange.String()}}
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
	var w itemClosing
	fs := newFlags("items close", "items close NUMBER... --reason TEXT [flags]\n       spinetrace items close --all --kind KIND --reason TEXT [flags]\n\nCloses items that somebody has dealt with. Who did, and why, is recorded. No item closes\nby itself. If it turns out that nothing has changed, the next trace of the patient opens\nanother: after RETRACE_AFTER, or once the record has changed.\n\n"+kindLines())
	fs.BoolVar(&w.all, "all", false, "every open item of a --kind; nobody is asked again")
	fs.StringVar(&w.kind, "kind", "", "the `kind`, with --all")
	w.flags(fs)
	if err := parse(fs, c, args, -1); err != nil {
		return err
	}
	wanted, err := numbers("item", fs.Args())
	if err == nil {
		err = w.check(len(wanted))
	}
	if err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error {
		if w.all {
			return w.closeAll(ctx, c, db)
		}
		return w.each(c.Out, "item", wanted, func(n int64) (string, bool, error) { return w.close(ctx, db, n) })
	})
}

// itemClosing is what is wanted of `items close`.
type itemClosing struct {
	decision
	all  bool
	kind string
}

// check says what is wrong with a command that names so many items.
func (w itemClosing) check(named int) error {
	_, known := store.ParseItemKind(w.kind)
	switch {
	case w.all && named > 0:
		return usageError("give the numbers of items, or --all, not both")
	case w.all && !known:
		return usageError("--all needs a --kind, one of " + kindWords())
	case !w.all && w.kind != "":
		return usageError("--kind goes with --all")
	case !w.all && named == 0:
		return usageError("give the numbers of items, or --all --kind KIND")
	case w.reason == "":
		return usageError("--reason is missing; say what was done, without a patient's data")
	}
	return w.decision.check()
}

// closeAll closes every open item of the kind, and says how many there were.
func (w itemClosing) closeAll(ctx context.Context, c console, db store.Store) error {
	kind, _ := store.ParseItemKind(w.kind) // check has seen it
	var open []int64
	err := eachItem(ctx, db, store.ItemQuery{Kind: kind, Limit: pageSize}, func(i store.Item) bool {
		open = append(open, i.Number)
		return true
	})
	closed := 0
	for _, n := range open {
		if err != nil {
			break
		}
		var done bool
		if _, done, err = w.close(ctx, db, n); done { // else somebody else was faster
			closed++
		}
	}
	_, said := fmt.Fprintf(c.Out, "%s of kind %s closed\n", count(closed, "item", "items"), kind)
	return errors.Join(err, said)
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
