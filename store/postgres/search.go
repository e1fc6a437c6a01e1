package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"

	"spinetrace/store"
)

// searchers is how many connections search. They are not those of the readers, whose plans may fit
// what is asked: a search must never read a table from end to end.
const searchers = 2

// Search implements [store.Audit]. First it finds ids, which may be of any year, and only then reads
// about them, in the years they are of.
func (s *Store) Search(ctx context.Context, q store.Search) ([]store.Exchange, error) {
	q = q.Fit()
	var found []store.Exchange
	for len(found) < q.Limit {
		page := q
		page.Limit -= len(found)
		ids, err := s.searchIDs(ctx, page)
		if err != nil {
			return nil, readError("search", err)
		}
		if found, err = s.exchanges(ctx, found, ids); err != nil {
			return nil, readError("search", err)
		}
		if len(ids) < page.Limit {
			break
		}
		q.After = ids[len(ids)-1] // of a page that named what nobody has opened, too
	}
	return found, nil
}

// searchIDs returns the ids of a page.
func (s *Store) searchIDs(ctx context.Context, q store.Search) (ids []store.ID, err error) {
	rows, err := s.searches.query(ctx, s.searcher, newSearch(q)) //nolint:sqlclosecheck // scan closes them
	if err != nil {
		return nil, err
	}
	err = scan(rows, func() error {
		var id store.ID
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// exchanges appends the exchanges of ids, newest first.
func (s *Store) exchanges(ctx context.Context, found []store.Exchange, ids []store.ID) ([]store.Exchange, error) {
	if len(ids) == 0 {
		return found, nil
	}
	rows, err := s.searcher.QueryContext(ctx, exchangesSQL(ids))
	if err != nil {
		return nil, err
	}
	err = scan(rows, func() error {
		var x store.Exchange
		err := rows.Scan(&x.ID, &x.At, &x.Application, &x.Facility, &x.ControlID, &x.Type, &x.LocalID, &x.NHSNumber,
			&x.User, &x.Outcome, &x.NHSFound, &x.Chain, &x.Seq)
		x.At = x.At.UTC()
		found = append(found, x)
		return err
	})
	return found, err
}

// exchangesSQL reads exchanges by their ids. They are in the text, so that only their partitions are
// planned for.
func exchangesSQL(ids []store.ID) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = "'" + id.String() + "'"
	}
	in := " in (" + strings.Join(list, ", ") + ")"
	return `select e.id, e.at, e.application, e.facility, e.control_id, e.type, e.local_id, e.nhs_sent, e.asker,
	coalesce(d.outcome, r.outcome, e.outcome, 0),
	case when d.outcome is not null then d.nhs_found else coalesce(r.nhs_found, e.nhs_found, '') end, c.name, e.seq
	from (select ` + exchangeColumns + ` from exchange where id` + in + ` offset 0) e
	cross join lateral (select name from chain where id = e.chain limit 1) c` + ends(" and exchange"+in) + " order by e.id desc"
}

// ends are how exchanges e ended. Each of the limits of 1 keeps its table from becoming the driver.
func ends(bounds string) string {
	return `
	left join lateral (select outcome, nhs_found from reply where exchange = e.id` + bounds + ` limit 1) r on true
	left join lateral (select outcome, nhs_found from ending where exchange = e.id` + bounds + ` limit 1) d on true`
}

// searches are the statements that were prepared, by their text: most searches differ in values
// only, and planning over all partitions takes longer than running.
type searches struct {
	mu       sync.Mutex
	prepared map[string]*prepared
}

func (c *searches) query(ctx context.Context, db *sql.DB, q *search) (*sql.Rows, error) {
	if q.bounded {
		return db.QueryContext(ctx, q.sql(), q.args...)
	}
	stmt, err := c.of(q.sql()).prepare(ctx, db) //nolint:sqlclosecheck // it lives as long as the pool
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, q.args...)
}

func (c *searches) of(text string) *prepared {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.prepared == nil {
		c.prepared = make(map[string]*prepared)
	}
	p := c.prepared[text]
	if p == nil {
		p = &prepared{sql: text}
		c.prepared[text] = p
	}
	return p
}

// search makes the statement of one combination of filters. The most selective of them drives: it
// names the exchanges, newest first, by one index for each table, and the others sort out what it
// names.
type search struct {
	store.Search
	bounded bool   // the ids have bounds, which are in the text: only their partitions are planned for
	bounds  string // " and X >= … and X < …", with %[1]s for X
	args    []any
	drive   string   // the relation that names the exchanges
	where   []string // the other filters
	ended   bool     // one of them is about how exchanges ended
}

func newSearch(s store.Search) *search {
	q := &search{Search: s, args: []any{s.Limit}}
	if q.bounded = !s.From.IsZero() || !s.Until.IsZero() || s.After != (store.ID{}); q.bounded {
		from, end := s.Range()
		q.bounds = fmt.Sprintf(" and %%[1]s >= '%s' and %%[1]s < '%s'", from, end)
	}
	for _, f := range q.filters() {
		if f.driver != "" && q.drive == "" {
			q.drive = f.driver
		} else {
			q.where, q.ended = append(q.where, f.test), q.ended || f.ended
		}
	}
	if q.drive == "" {
		q.drive = q.having("true")
	}
	return q
}

// filter is one that is set.
type filter struct {
	driver string // the relation e of exchanges or their ids h that it is, or "" if it cannot drive
	test   string // the condition that it is beside another driver
	ended  bool   // which is about how exchanges ended
}

// filters returns those that are set, the most selective first.
func (q *search) filters() (all []filter) {
	text := func(value, driver, test string) {
		if value == "" {
			return
		}
		v := q.arg(value) + "::text"
		f := filter{test: fmt.Sprintf(test, v)}
		if driver != "" {
			f.driver = q.having(fmt.Sprintf(driver, v))
		}
		all = append(all, f)
	}
	if q.MessageID != "" {
		all = append(all, filter{driver: q.among(q.mentioning(store.MentionOfCall(q.MessageID)))})
	}
	if q.NHSNumber != "" {
		all = append(all, q.number(q.arg(q.NHSNumber)+"::text"))
	}
	if q.LocalID != "" {
		all = append(all, q.local(q.arg(q.LocalID)+"::text"))
	}
	text(q.ControlID, "control_id = %[1]s", "e.control_id = %[1]s")
	if q.User == store.System { // most are: an index of them would help nobody
		all = append(all, filter{test: "e.asker = ''"})
	} else {
		text(q.User, "asker = %[1]s and asker <> ''", "e.asker = %[1]s")
	}
	if q.Chain != "" {
		all = append(all, q.place())
	}
	text(q.Sender, "", fromSender)
	if q.Outcome != 0 {
		all = append(all, filter{test: "coalesce(d.outcome, r.outcome, e.outcome) = " + q.arg(int16(q.Outcome)) + "::smallint", ended: true})
	}
	return all
}

// fromSender compares who sent an exchange: what was written may be the beginning of both fields, up to
// a ^, or their first components.
const fromSender = `(starts_with(trim(both '^' from e.application || '^' || e.facility) || '^', %[1]s || '^')
	or split_part(e.application, '^', 1) || '^' || split_part(e.facility, '^', 1) = %[1]s)`

// mentioning returns the ids of the exchanges in which something was mentioned.
func (q *search) mentioning(what string) string {
	return "select exchange from mention where id = " + q.arg(what) + "::text" + q.within("exchange")
}

// number looks at whatever may hold an NHS number.
func (q *search) number(v string) filter {
	mentioned := q.mentioning(store.MentionOfNumber(q.NHSNumber))
	of := []string{mentioned}
	for _, in := range [...]struct{ table, id, column string }{
		{"exchange", "id", "nhs_sent"}, {"exchange", "id", "nhs_found"}, {"reply", "exchange", "nhs_found"}, {"ending", "exchange", "nhs_found"},
	} {
		of = append(of, fmt.Sprintf("select %[2]s from %[1]s where %[3]s = %[4]s and %[3]s <> ''%[5]s", in.table, in.id, in.column, v, q.within(in.id)))
	}
	return filter{
		driver: q.among(strings.Join(of, " union all ")),
		test:   "(" + v + " in (e.nhs_sent, e.nhs_found, r.nhs_found, d.nhs_found) or e.id in (" + mentioned + "))",
		ended:  true,
	}
}

// local looks at whatever may hold a local number.
func (q *search) local(v string) filter {
	mentioned := q.mentioning(store.MentionOfLocalID(q.LocalID))
	return filter{
		driver: q.among("select id from exchange where local_id = " + v + " and local_id <> ''" + q.within("id") + " union all " + mentioned),
		test:   "(e.local_id = " + v + " or e.id in (" + mentioned + "))",
	}
}

// place drives only if the range has an end: without one the newest exchanges are in it, and need not
// be sorted.
func (q *search) place() filter {
	id := "(select id from chain where name = " + q.arg(q.Chain) + "::text)"
	var bounds string
	if q.FromSeq > 0 {
		bounds += " and %[1]sseq >= " + q.arg(q.FromSeq) + "::bigint"
	}
	if q.UntilSeq <= 0 {
		return filter{test: fmt.Sprintf("%[1]schain = "+id+bounds, "e.")}
	}
	bounds += " and %[1]sseq <= " + q.arg(q.UntilSeq) + "::bigint"
	return filter{driver: q.having(fmt.Sprintf("%[1]schain = "+id+bounds, "")), test: fmt.Sprintf("%[1]schain = "+id+bounds, "e.")}
}

const exchangeColumns = "id, at, application, facility, control_id, type, local_id, nhs_sent, asker, outcome, nhs_found, chain, seq"

// having is the relation of the exchanges for which a condition holds. What follows must not be
// mixed with it, or the planner might walk all exchanges and look for a late page.
func (q *search) having(condition string) string {
	return "(select " + exchangeColumns + " from exchange where " + condition + q.within("id") + " order by id desc offset 0) e"
}

// among is the relation of the ids that a query returns.
func (q *search) among(ids string) string {
	return "(select distinct id from (" + ids + ") i (id) order by id desc offset 0) h"
}

// arg adds a parameter and returns its name.
func (q *search) arg(v any) string {
	q.args = append(q.args, v)
	return fmt.Sprint("$", len(q.args))
}

// within returns the bounds of a column of ids.
func (q *search) within(column string) string {
	if q.bounds == "" {
		return ""
	}
	return fmt.Sprintf(q.bounds, column)
}

// sql returns the statement, which returns ids.
func (q *search) sql() string {
	if len(q.where) == 0 {
		return "select id from " + q.drive + " order by id desc limit $1"
	}
	from := q.drive
	if strings.HasSuffix(from, " h") {
		from += " cross join lateral (select " + exchangeColumns + " from exchange x where x.id = h.id" + q.within("id") + " limit 1) e"
	}
	if q.ended {
		from += ends(q.within("exchange"))
	}
	return "select e.id from " + from + " where " + strings.Join(q.where, " and ") + " order by e.id desc limit $1"
}
