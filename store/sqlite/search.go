package sqlite

import (
	"context"
	"strings"

	"spinetrace/store"
)

// Search implements [store.Audit].
func (s *Store) Search(ctx context.Context, q store.Search) ([]store.Exchange, error) {
	r, err := s.reader()
	if err != nil {
		return nil, err
	}
	query, args := newSearch(q.Fit())
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, explain("search", err)
	}
	defer rows.Close()
	var found []store.Exchange
	for rows.Next() {
		var x store.Exchange
		var at int64
		err := rows.Scan(&x.ID, &at, &x.Application, &x.Facility, &x.ControlID, &x.Type, &x.LocalID,
			&x.NHSNumber, &x.User, &x.Outcome, &x.NHSFound, &x.Chain, &x.Seq)
		if err != nil {
			return nil, explain("search", err)
		}
		x.At = moment(at)
		found = append(found, x)
	}
	return found, explain("search", rows.Err())
}

// search makes the statement of one combination of filters. The most selective of them drives: its
// index is read, and the others sort out what that finds. A plus sign keeps the planner from the index
// of another.
type search struct {
	store.Search
	driven bool
	where  []string
	args   []any
}

func newSearch(s store.Search) (query string, args []any) {
	q := search{Search: s}
	q.called()
	q.numbered()
	q.local()
	q.having(q.ControlID, "x.control_id = ?", "")
	if q.User == store.System { // most are: an index of them would help nobody
		q.and("x.asker = ''")
	} else {
		q.having(q.User, "x.asker = ?", "x.asker <> '' and ")
	}
	q.placed()
	q.sent()
	if q.Outcome != 0 {
		q.and("coalesce(d.outcome, r.outcome) = ?", int64(q.Outcome))
	}
	from, end := s.Range()
	q.and("x.id >= ? and x.id < ?", from[:], end[:])
	return q.sql(), append(q.args, s.Limit)
}

func (q *search) and(condition string, args ...any) {
	q.where, q.args = append(q.where, condition), append(q.args, args...)
}

func (q *search) called() {
	if q.MessageID != "" {
		q.and("x.id in (select exchange from mention where id = ?)", store.MentionOfCall(q.MessageID))
		q.driven = true
	}
}

// numbered looks at whatever may hold an NHS number.
func (q *search) numbered() {
	switch n := q.NHSNumber; {
	case n == "":
	case q.driven:
		q.and("(? in (x.nhs_sent, r.nhs_found, d.nhs_found) or x.id in (select exchange from mention where id = ?))", n, store.MentionOfNumber(n))
	default:
		q.and(`x.id in (select id from exchange where nhs_sent = ? and nhs_sent <> ''
			union all select exchange from reply where nhs_found = ? and nhs_found <> ''
			union all select exchange from ending where nhs_found = ? and nhs_found <> ''
			union all select exchange from mention where id = ?)`, n, n, n, store.MentionOfNumber(n))
		q.driven = true
	}
}

// local looks at whatever may hold a local number.
func (q *search) local() {
	switch id := q.LocalID; {
	case id == "":
	case q.driven:
		q.and("(x.local_id = ? or x.id in (select exchange from mention where id = ?))", id, store.MentionOfLocalID(id))
	default:
		q.and(`x.id in (select id from exchange where local_id = ? and local_id <> ''
			union all select exchange from mention where id = ?)`, id, store.MentionOfLocalID(id))
		q.driven = true
	}
}

// sent compares who sent it: what was written may be the beginning of both fields, up to a ^, or their first
// components.
func (q *search) sent() {
	if q.Sender == "" {
		return
	}
	q.and(`(substr(trim(x.application || '^' || x.facility, '^') || '^', 1, length(?) + 1) = ? || '^'
		or substr(x.application, 1, instr(x.application || '^', '^') - 1) || '^' || substr(x.facility, 1, instr(x.facility || '^', '^') - 1) = ?)`,
		q.Sender, q.Sender, q.Sender)
}

// having adds a filter that has an index, which is partial.
func (q *search) having(value, condition, partial string) {
	switch {
	case value == "":
	case q.driven:
		q.and("+"+condition, value)
	default:
		q.and(partial+condition, value)
		q.driven = true
	}
}

// placed drives only if the range has an end: without one the newest exchanges are in it, and need
// not be sorted.
func (q *search) placed() {
	if q.Chain == "" {
		return
	}
	plus := ""
	if q.driven || q.UntilSeq <= 0 {
		plus = "+"
	} else {
		q.driven = true
	}
	q.and(plus+"x.chain = (select id from chain where name = ?)", q.Chain)
	if q.FromSeq > 0 {
		q.and(plus+"x.seq >= ?", q.FromSeq)
	}
	if q.UntilSeq > 0 {
		q.and(plus+"x.seq <= ?", q.UntilSeq)
	}
}

func (q *search) sql() string {
	return `select x.id, x.at, x.application, x.facility, x.control_id, x.type, x.local_id, x.nhs_sent, x.asker,
		coalesce(d.outcome, r.outcome, 0), coalesce(d.nhs_found, r.nhs_found, ''), c.name, x.seq
		from exchange x cross join chain c on c.id = x.chain
		left join reply r on r.exchange = x.id left join ending d on d.exchange = x.id
		where ` + strings.Join(q.where, " and ") + " order by x.id desc limit ?"
}
