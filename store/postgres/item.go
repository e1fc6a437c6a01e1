package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"spinetrace/store"
)

// itemsTarget is the function that changes the items.
var itemsTarget = target{"spinetrace_items", toItems, false, []column{
	{"numbers", "bigint", oidBigint}, {"kinds", "smallint", oidSmallint}, {"subjects", "text", oidText},
	{"local_ids", "text", oidText}, {"authorities", "text", oidText}, {"nhs_numbers", "text", oidText},
	{"exchanges", "uuid", oidUUID}, {"docs", "text", oidText}, {"notify", "text", oidText},
	{"people", "text", oidText}, {"reasons", "text", oidText}, {"ats", "timestamptz", oidTimestamp}}, ""}

// itemRow raises an item, or closes one if the closure has a number.
type itemRow struct {
	raise store.Item
	close store.Closure
}

// itemRows are what commits do to the items, in order. Which rows of the table that changes is for
// the function to find out, and to put in an order in which two instances do not wait for each
// other.
type itemRows []itemRow

// itemsOf returns what c does to the items, as it is stored.
func itemsOf(c store.Commit) (r itemRows) {
	for _, one := range c.Closures {
		r = append(r, itemRow{close: one})
	}
	for _, i := range c.Items {
		r = append(r, itemRow{raise: i.Fit()})
	}
	return r
}

// add adds what a commit does that ends so.
func (r *itemRows) add(of itemRows, status store.Status) {
	for _, row := range of {
		if row.close.Number != 0 || status == store.Kept {
			*r = append(*r, row)
		}
	}
}

// encode appends the rows to the columns.
func (r itemRows) encode(c []array, at time.Time) {
	for _, row := range r {
		if row.close.Number != 0 {
			c[0].bigint(row.close.Number)
		} else {
			c[0].null()
		}
		c[1].smallint(int16(row.raise.Kind))
		c[2].text(row.raise.Subject)
		c[3].text(row.raise.Patient.LocalID)
		c[4].text(row.raise.Patient.Authority)
		c[5].text(row.raise.NHSNumber)
		c[6].uuid(row.raise.Exchange)
		c[7].text(row.raise.Doc)
		c[8].text(strings.Join(row.raise.Notify, " "))
		c[9].text(row.close.By)
		c[10].text(row.close.Why)
		c[11].time(at)
	}
}

// selectItems is followed by its condition.
const selectItems = `select number, kind, subject, local_id, authority, nhs_number, exchange, doc,
	opened, latest, times, closed, coalesce(closed_by, ''), coalesce(why, '') from item where `

// itemsSQL is planned for the values that it is asked for, so that it reads the index that fits.
const itemsSQL = selectItems + `number > $1
	and case when $2 then closed is not null else closed is null end
	and ($3::smallint = 0 or kind = $3) and ($4 = '' or local_id = $4 and authority = $5)
	order by number limit $6`

// Items implements [store.Backlog].
func (s *Store) Items(ctx context.Context, q store.ItemQuery) ([]store.Item, error) {
	of := q.Patient.Fit()
	rows, err := s.reader.QueryContext(ctx, s.allowed(itemsSQL), q.After, q.Closed, int16(q.Kind), of.LocalID, of.Authority, max(q.Limit, 0))
	if err != nil {
		return nil, readError("items", err)
	}
	var items []store.Item
	err = scan(rows, func() error {
		i, err := scanItem(rows)
		items = append(items, i)
		return err
	})
	if err != nil {
		return nil, readError("items", err)
	}
	return items, nil
}

// Item implements [store.Backlog].
func (s *Store) Item(ctx context.Context, number int64) (i store.Item, ok bool, err error) {
	i, err = scanItem(s.reader.QueryRowContext(ctx, s.allowed(selectItems+"number = $1"), number))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Item{}, false, nil
	case err != nil:
		return store.Item{}, false, readError("item", err)
	}
	return i, true, nil
}

// scanItem reads a row of selectItems.
func scanItem(row interface{ Scan(...any) error }) (i store.Item, err error) {
	var closed sql.NullTime
	err = row.Scan(&i.Number, &i.Kind, &i.Subject, &i.Patient.LocalID, &i.Patient.Authority, &i.NHSNumber, &i.Exchange, &i.Doc,
		&i.Opened, &i.Latest, &i.Times, &closed, &i.By, &i.Why)
	i.Opened, i.Latest = i.Opened.UTC(), i.Latest.UTC()
	if closed.Valid {
		i.Closed = closed.Time.UTC()
	}
	return i, err
}
