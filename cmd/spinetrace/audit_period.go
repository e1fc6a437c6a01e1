package main

import (
	"cmp"
	"context"
	"flag"
	"maps"
	"slices"
	"strings"
	"time"

	"spinetrace/store"
)

// reporting is how a report over a period is wanted.
type reporting struct {
	listing
	period
	name  string
	chart chartFile
	more  map[string]string // what else the record says was looked for
	notes []string          // what else a reader should know
}

// parse reads args with the flags that every such report has.
func (r *reporting) parse(fs *flag.FlagSet, c console, args []string, fallback string) error {
	var given periodFlags
	given.flags(fs, time.Now(), fallback, "what happened")
	fs.Var(&r.chart, "chart", "also draw the numbers by day into this `FILE.svg or FILE.png`, which only its owner may read; it must not\nbe there yet")
	if err := r.listing.parse(fs, c, args, 0); err != nil {
		return err
	}
	var err error
	r.period, err = given.untilNow()
	return err
}

// showReport shows the rows, and draws the chart if one is wanted. The look is recorded before either.
func showReport[R row](ctx context.Context, c console, db store.Store, r reporting, t list[R], drawn chart) error {
	p := page[R]{list: t, notes: append([]string{"What happened " + r.period.String() + "; days are those of UTC."}, r.notes...)}
	if len(t.rows) > r.most {
		p.rows, p.more = t.rows[:r.most], "there are more: give a larger --most"
	}
	filters := r.filters(map[string]string{"report": r.name, "chart": r.chart.kind()})
	maps.Copy(filters, r.more)
	if err := p.show(ctx, c.Out, db, r.listing, filters); err != nil {
		return err
	}
	drawn.period = r.period
	return r.chart.write(drawn)
}

// senderOf names who sent a message.
func senderOf(f store.Facts) string {
	return strings.Trim(f.Application+"^"+f.Facility, "^")
}

// dayOf is the day of UTC that a moment is in.
func dayOf(at time.Time) string { return at.UTC().Format(time.DateOnly) }

// mostGroups is how many rows a report counts by. A sender may write a new name into each
// message: what comes behind is counted together.
const mostGroups = 10_000

// othersGroup is the sender of what is counted together.
const othersGroup = "(others)"

// counts counts by a key.
type counts[K comparable] map[K]int

// add counts one more, under the other key if there is no room for a new one.
func (c counts[K]) add(key, other K) {
	if _, known := c[key]; !known && len(c) >= mostGroups {
		key = other
	}
	c[key]++
}

// sorted returns the keys in an order.
func sorted[K comparable, V any](m map[K]V, order func(a, b K) int) []K {
	return slices.SortedFunc(maps.Keys(m), order)
}

// mostFirst orders what is counted: the most frequent first.
func mostFirst[K comparable](c counts[K], then func(a, b K) int) func(a, b K) int {
	return func(a, b K) int { return cmp.Or(c[b]-c[a], then(a, b)) }
}
