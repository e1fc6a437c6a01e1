package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"spinetrace/store"
)

// reportLooks lists who has looked into the journal.
func reportLooks(ctx context.Context, c console, args []string) error {
	r := reporting{name: "looks"}
	l := looks{dates: newChart("Looks at the journal, by command", "looks a day")}
	fs := newFlags("audit report looks", "audit report looks [flags]\n\nLists who looked into the journal, when, with which command and filters, and how many rows\nwere shown, the newest first. With --nhs-number or --local-id it lists the looks at that\npatient: those that asked for a number of the patient, those that were shown one of the\npatient's messages, and exports of everybody. A list of items, letters, work or quality,\nand a look of an older program, is in the report without these flags only. What was asked\nof Spine by `trace` is a message, which audit find lists.")
	fs.StringVar(&l.user, "user", "", "only looks of this `name`")
	fs.Var(digitsFlag(&l.number), "nhs-number", "only looks at the patient with this NHS `number`, or with one that Spine has tied to it")
	fs.StringVar(&l.localID, "local-id", "", "only looks at the patient with this local `number`, or with one that was merged into it or it into")
	l.flag(fs)
	if err := r.parse(fs, c, args, "720h"); err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error {
		if err := l.collect(ctx, db, r.period); err != nil {
			return err
		}
		r.more, r.notes = l.filters(map[string]string{"user": l.user}), l.notes()
		return showReport(ctx, c, db, r, list[lookRow]{lookColumns, l.rows, "Nobody looked in this time."}, l.dates)
	})
}

// looks are those at one patient, or all, by one user, or everybody.
type looks struct {
	sought
	user  string
	rows  []lookRow
	dates chart
}

// lookRow is one look.
type lookRow struct {
	At      time.Time         `json:"at"`
	User    string            `json:"user"`
	Login   string            `json:"login,omitempty"` // if it is another name
	DBLogin string            `json:"database_login,omitempty"`
	Command string            `json:"command"`
	Rows    int               `json:"rows"`
	Filters map[string]string `json:"filters,omitempty"`
	Seq     string            `json:"seq"`
}

var lookColumns = []string{"at", "user", "login", "database_login", "command", "rows", "filters", "seq"}

// values leaves on screen the ids of the messages that were shown to audit show --seq.
func (r lookRow) values(screen bool) []string {
	f := r.Filters
	if screen {
		f = maps.Clone(f)
		delete(f, "shown")
	}
	return []string{stamp(r.At), r.User, r.Login, r.DBLogin, r.Command, strconv.Itoa(r.Rows), pairs(f), r.Seq}
}

// collect reads the looks of a period. They are in the chains of commands, which are read side by side
// with none of the service's.
func (l *looks) collect(ctx context.Context, db store.Store, p period) error {
	if err := l.widen(ctx, db); err != nil {
		return err
	}
	about, err := l.about(ctx, db)
	if err != nil {
		return err
	}
	heads, err := db.Heads(ctx)
	if err != nil {
		return err
	}
	for _, head := range heads {
		if !strings.HasSuffix(head.Chain, store.CommandChain) {
			continue
		}
		var failed error
		p.chain(ctx, db, head, func(e store.Event, err error) bool {
			if failed = err; err == nil {
				l.add(e, about)
			}
			return err == nil
		})
		if failed != nil {
			return failed
		}
	}
	slices.SortStableFunc(l.rows, func(a, b lookRow) int { return cmp.Or(b.At.Compare(a.At), strings.Compare(b.Seq, a.Seq)) })
	return nil
}

// about returns the ids of the patient's messages; nil if no patient is meant.
func (l *looks) about(ctx context.Context, db store.Audit) ([]store.ID, error) {
	if !l.is() {
		return nil, nil
	}
	return l.exchanges(ctx, db, store.Search{})
}

// add takes an event if it is a look that is asked for.
func (l *looks) add(e store.Event, about []store.ID) {
	if e.Kind != store.Looked {
		return
	}
	f, err := e.Facts()
	if err != nil { // for audit verify to tell of
		return
	}
	if l.user != "" && f.User != l.user || l.is() && !l.at(f.Filters, about) {
		return
	}
	row := lookRow{At: e.At.UTC(), User: f.User, Login: f.Login, DBLogin: f.DBLogin, Command: f.Filters["command"], Rows: f.Rows, Filters: maps.Clone(f.Filters), Seq: place{e.Chain, e.Seq}.String()}
	switch report := f.Filters["report"]; {
	case row.Command != "":
	case report != "":
		row.Command = "audit report " + report
	case f.Filters["reindex"] != "":
		row.Command = "audit reindex"
	}
	delete(row.Filters, "command")
	delete(row.Filters, "report")
	if l.ended(row) {
		return
	}
	l.rows = append(l.rows, row)
	l.dates.add(row.Command, dayOf(e.At), 1)
}

// ended puts the end of an export into the row of its beginning, if that is listed: they are one look.
func (l *looks) ended(end lookRow) bool {
	if end.Filters["export"] == "" || end.Filters["export"] == exportBegins {
		return false
	}
	begins := maps.Clone(end.Filters)
	begins["export"] = exportBegins
	for i, r := range slices.Backward(l.rows) {
		if r.User == end.User && r.Command == end.Command && maps.Equal(r.Filters, begins) {
			l.rows[i].Rows, l.rows[i].Filters = end.Rows, end.Filters
			return true
		}
	}
	return false
}

// asked tells whether filters name one of the patient's numbers.
func (l *looks) asked(filters map[string]string, keys ...string) bool {
	ours := append([]string{l.number, l.localID}, slices.Concat(l.tied, l.tiedLocals)...)
	for _, key := range keys {
		for _, word := range append(strings.Fields(filters[key]), filters[key]) { // a local number may have spaces
			if word != "" && slices.Contains(ours, word) {
				return true
			}
		}
	}
	return false
}

// at tells whether a look was at the patient.
func (l *looks) at(filters map[string]string, about []store.ID) bool {
	if filters["command"] == "audit export" && filters["nhs_number"] == "" && filters["local_id"] == "" {
		return true // of everybody
	}
	if l.asked(filters, "nhs_number", "tied_to", "local_id", "merged_with") {
		return true
	}
	for word := range strings.FieldsSeq(filters["shown"] + " " + filters["exchange"]) {
		id, err := parseID(word)
		if _, ours := slices.BinarySearchFunc(about, id, compareIDs); err == nil && ours {
			return true
		}
	}
	return false
}
