package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"spinetrace/exchange"
	"spinetrace/store"
)

// reportQuality tells what is amiss with the records of patients (MSCA-DQ-05).
func reportQuality(ctx context.Context, c console, args []string) error {
	var q quality
	var given periodFlags
	fs := newFlags("audit report quality", "audit report quality [flags]\n\nLists what is amiss with the records of patients: NHS numbers that several local records\nof one authority hold; numbers that a trace did not verify; open items about numbers that\nwere superseded or invalidated, and about records that differ from the national one; and,\ncounted by sender and reason, messages whose patients were not traced.\n--most holds for each of these; --from and --until are about the messages only.\n\n"+aboutTimes)
	given.flags(fs, time.Now(), "720h", "count messages that came in")
	if err := q.parse(fs, c, args, 0); err != nil {
		return err
	}
	var err error
	if q.period, err = given.untilNow(); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error { return q.run(ctx, c.Out, db) })
}

// quality is how the report is wanted.
type quality struct {
	listing
	period
}

// run finds, records the look, and only then shows.
func (q quality) run(ctx context.Context, w io.Writer, db store.Store) error {
	rows, cut, err := q.rows(ctx, db)
	if err != nil {
		return err
	}
	filters := q.filters(map[string]string{"report": "quality"})
	p := page[qualityRow]{
		list: list[qualityRow]{columns: qualityColumns, rows: rows}, notes: []string{"Messages are counted " + q.String() + "."},
	}
	if slices.ContainsFunc(rows, func(r qualityRow) bool { return r.bare }) {
		p.notes = append(p.notes, "Of items numbers that Spine gave, differences and senders are left out: this login may not read\nthem"+needsReader+".")
	}
	if len(cut) > 0 {
		p.more = "there are more in " + strings.Join(cut, ", ") + ": give a larger --most"
	}
	if q.json || q.csv {
		return p.show(ctx, w, db, q.listing, filters)
	}
	if err := look(ctx, db, q.who, filters, len(rows)); err != nil {
		return err
	}
	return qualityText(w, p, cut)
}

// The sections of the report.
const (
	sectionShared      = "shared"
	sectionHeld        = "held by another record"
	sectionNotVerified = "not verified"
	sectionSuperseded  = "superseded"
	sectionInvalid     = "invalid"
	sectionDiffers     = "differs"
	sectionNotTraced   = "not traced"
)

// qualityRow is a line of the report. Which of its fields are filled depends on the section.
type qualityRow struct {
	Section     string     `json:"section"`
	NHSNumber   string     `json:"nhs_number,omitempty"`
	NewNumber   string     `json:"nhs_number_found,omitempty"`
	Authority   string     `json:"authority,omitempty"`
	LocalID     string     `json:"local_id,omitempty"`
	Status      string     `json:"nhs_number_status,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	Item        int64      `json:"item,omitempty"`
	Differences []string   `json:"differences,omitempty"`
	Sender      string     `json:"sender,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Count       int        `json:"count,omitempty"`

	bare bool // of an item whose document may not be read
}

var qualityColumns = []string{
	"section", "nhs_number", "nhs_number_found", "authority", "local_id", "nhs_number_status", "since", "item", "differences",
	"sender", "reason", "count",
}

func (r qualityRow) values(screen bool) []string {
	since := ""
	if r.Since != nil {
		since = stamp(*r.Since)
	}
	return []string{
		r.Section, onScreen(r.NHSNumber, screen), onScreen(r.NewNumber, screen), r.Authority, r.LocalID, r.Status, since,
		number(r.Item), strings.Join(r.Differences, "; "), r.Sender, r.Reason, number(int64(r.Count)),
	}
}

// sectionRow is a row under its section's title.
type sectionRow struct{ qualityRow }

func (r sectionRow) values(screen bool) []string { return r.qualityRow.values(screen)[1:] }

// sections are those of the report, in order.
var sections = []struct {
	name, title, none string
	rows              func(q quality, ctx context.Context, db store.Store) ([]qualityRow, error)
}{
	{sectionShared, "NHS numbers that several local records hold", "No number is held twice.", quality.shared},
	{sectionHeld, "Records for which Spine gave a number that another record holds; open items", "No item is open.", openItems(store.SharedNumber)},
	{sectionNotVerified, "NHS numbers that the newest trace did not verify", "There is none.", quality.notVerified},
	{sectionSuperseded, "NHS numbers that were superseded; open items", "No item is open.", openItems(store.ReplacedNumber)},
	{sectionInvalid, "NHS numbers that were invalidated; open items", "No item is open.", openItems(store.InvalidNumber)},
	{sectionDiffers, "Records that differ from the national one (here | in Spine); open items", "No item is open.", openItems(store.Discrepancy)},
	{sectionNotTraced, "Messages whose patients were not traced, by sender and reason", "Every patient was traced.", quality.notTraced},
}

// rows returns those of all sections, in order, and the names of the sections that have more.
func (q quality) rows(ctx context.Context, db store.Store) (all []qualityRow, cut []string, err error) {
	for _, section := range sections {
		rows, err := section.rows(q, ctx, db)
		if err != nil {
			return nil, nil, err
		}
		if len(rows) > q.most {
			rows, cut = rows[:q.most], append(cut, section.name)
		}
		for _, r := range rows {
			r.Section = section.name
			all = append(all, r)
		}
	}
	return all, cut, nil
}

// qualityText writes the report for people, section by section.
func qualityText(w io.Writer, p page[qualityRow], cut []string) error {
	fmt.Fprintf(w, "%s\n\n%s\n", confidential, strings.Join(p.notes, "\n"))
	for _, section := range sections {
		fmt.Fprintf(w, "\n%s\n", section.title)
		table := list[sectionRow]{columns: qualityColumns[1:]}
		for _, r := range p.rows {
			if r.Section == section.name {
				table.rows = append(table.rows, sectionRow{r})
			}
		}
		if len(table.rows) == 0 {
			fmt.Fprintln(w, section.none)
			continue
		}
		if err := table.table(w); err != nil {
			return err
		}
		if slices.Contains(cut, section.name) {
			fmt.Fprintln(w, "There are more: give a larger --most.")
		}
	}
	_, err := fmt.Fprintln(w, "\n"+p.end())
	return err
}

// live returns the entries of the index that were not taken away, page by page.
func live(ctx context.Context, db store.Index) iter.Seq2[store.Patient, error] {
	return func(yield func(store.Patient, error) bool) {
		var after store.PatientKey
		for {
			page, err := db.Entries(ctx, after, pageSize)
			if err != nil {
				yield(store.Patient{}, err)
				return
			}
			for _, p := range page {
				if after = p.Key; !p.Gone() && !yield(p, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
		}
	}
}

// shared returns the records of one authority that hold the same NHS number. The first pass keeps
// four bytes of every record, the second only those that may be meant.
func (q quality) shared(ctx context.Context, db store.Store) ([]qualityRow, error) {
	stems, err := heldTwice(ctx, db)
	if err != nil || len(stems) == 0 {
		return nil, err
	}
	type holding struct{ number, authority string }
	held := make(map[holding][]qualityRow)
	for p, err := range live(ctx, db) {
		if err != nil {
			return nil, err
		}
		if digits, _ := p.Current(); stems[stem(digits)] {
			h := holding{digits, p.Key.Authority}
			held[h] = append(held[h], rowOfPatient(p))
		}
	}
	var rows []qualityRow
	for _, h := range slices.SortedFunc(maps.Keys(held), func(a, b holding) int {
		return cmp.Or(strings.Compare(a.number, b.number), strings.Compare(a.authority, b.authority))
	}) {
		if len(held[h]) > 1 {
			rows = append(rows, held[h]...)
		}
	}
	return rows, nil
}

// stem is the first nine digits of an NHS number, of which the tenth follows; 0 for none.
func stem(digits string) uint32 {
	n, err := strconv.ParseUint(digits[:min(9, len(digits))], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// heldTwice returns the stems of the numbers that several live records hold.
func heldTwice(ctx context.Context, db store.Index) (map[uint32]bool, error) {
	var all []uint32
	for p, err := range live(ctx, db) {
		if err != nil {
			return nil, err
		}
		if digits, _ := p.Current(); digits != "" {
			all = append(all, stem(digits))
		}
	}
	slices.Sort(all)
	twice := make(map[uint32]bool)
	for i := range all {
		if i > 0 && all[i] == all[i-1] {
			twice[all[i]] = true
		}
	}
	return twice, nil
}

func rowOfPatient(p store.Patient) qualityRow {
	digits, status := p.Current()
	r := qualityRow{NHSNumber: digits, Authority: p.Key.Authority, LocalID: p.Key.LocalID, Status: status}
	if !p.Told.At.IsZero() {
		told := p.Told.At.UTC()
		r.Since = &told
	}
	return r
}

// notVerified returns the records whose newest trace did not verify the number, and of which
// nothing has changed since.
func (q quality) notVerified(ctx context.Context, db store.Store) ([]qualityRow, error) {
	var rows []qualityRow
	for p, err := range live(ctx, db) {
		if err != nil {
			return nil, err
		}
		if p.Found.Outcome != store.NotVerified || p.Found.Print != p.Told.Print {
			continue
		}
		r, found := rowOfPatient(p), p.Found.At.UTC()
		r.Since = &found
		if rows = append(rows, r); len(rows) > q.most {
			break
		}
	}
	return rows, nil
}

// openItems is the section of the open items of a kind.
func openItems(kind store.ItemKind) func(quality, context.Context, store.Store) ([]qualityRow, error) {
	return func(q quality, ctx context.Context, db store.Store) ([]qualityRow, error) {
		var rows []qualityRow
		err := eachItem(ctx, db, store.ItemQuery{Kind: kind, Limit: pageSize}, func(i store.Item) bool {
			rows = append(rows, qualityRowOfItem(i))
			return len(rows) <= q.most
		})
		return rows, err
	}
}

func qualityRowOfItem(i store.Item) qualityRow {
	d, opened := exchange.ReadItemDoc(i.Doc), i.Opened.UTC()
	return qualityRow{
		NHSNumber: i.NHSNumber, NewNumber: d.NewNumber, Authority: i.Patient.Authority, LocalID: i.Patient.LocalID,
		Since: &opened, Item: i.Number, Differences: d.Differences, Sender: strings.Trim(d.Sender, "^"),
		bare: i.Doc == "",
	}
}

// notTraced counts the ADT messages of a time that nobody was asked about, the most frequent
// first.
func (q quality) notTraced(ctx context.Context, db store.Store) ([]qualityRow, error) {
	u, err := countUntraced(ctx, db, q.period)
	if err != nil {
		return nil, err
	}
	var rows []qualityRow
	for _, c := range u.ordered() {
		rows = append(rows, qualityRow{Sender: c.sender, Reason: c.reason, Count: u.causes[c]})
	}
	return rows, nil
}
