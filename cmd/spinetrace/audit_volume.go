package main

import (
	"cmp"
	"context"
	"strings"

	"spinetrace/store"
)

// reportVolume counts messages.
func reportVolume(ctx context.Context, c console, args []string) error {
	r := reporting{name: "volume"}
	fs := newFlags("audit report volume", "audit report volume [flags]\n\nCounts the messages that were answered, by sender and day, and how: the outcome is that of\nthe answer, so that a trace which ended later is `trace pending` or `deferred`. Resends are\ncounted apart; a broken frame has no sender.\n\n"+aboutPeriods)
	if err := r.parse(fs, c, args, "720h"); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error {
		v := volume{days: make(map[senderDay]*volumeRow)}
		if err := (&stories{db: db}).each(ctx, r.period, v.count); err != nil {
			return err
		}
		return showReport(ctx, c, db, r, list[volumeRow]{volumeColumns(), v.rows(), "No message came in this time."}, v.chart())
	})
}

// volume is the count so far.
type volume struct{ days map[senderDay]*volumeRow }

type senderDay struct{ day, sender string }

// volumeRow is what one sender sent on one day.
type volumeRow struct {
	Day      string         `json:"day"`
	Sender   string         `json:"sender,omitempty"`
	Messages int            `json:"messages"`
	Resent   int            `json:"resent,omitempty"`
	Broken   int            `json:"broken,omitempty"`
	Outcomes map[string]int `json:"outcomes,omitempty"`
}

// volumeColumns are the columns: every outcome has one, which tables leave out when it is empty.
func volumeColumns() []string {
	return append([]string{"day", "sender", "messages", "resent", "broken"}, outcomeList()...)
}

// outcomeList has the words for all outcomes.
func outcomeList() []string { return strings.Split(outcomeWords(), ", ") }

func (r volumeRow) values(bool) []string {
	values := []string{r.Day, r.Sender, number(int64(r.Messages)), number(int64(r.Resent)), number(int64(r.Broken))}
	for _, outcome := range outcomeList() {
		values = append(values, number(int64(r.Outcomes[outcome])))
	}
	return values
}

// count adds what an event tells.
func (v *volume) count(e store.Event, f store.Facts, m gist) {
	switch e.Kind {
	case store.Exchanged, store.Replied:
		r := v.row(e, m)
		r.Messages++
		r.Outcomes[f.Outcome]++
	case store.Resent:
		v.row(e, m).Resent++
	case store.Broken:
		v.row(e, m).Broken++
	default:
	}
}

// row returns the row that an event counts in.
func (v *volume) row(e store.Event, m gist) *volumeRow {
	key := senderDay{dayOf(e.At), m.sender}
	if v.days[key] == nil && len(v.days) >= mostGroups {
		key.sender = othersGroup
	}
	if v.days[key] == nil {
		v.days[key] = &volumeRow{Day: key.day, Sender: key.sender, Outcomes: make(map[string]int)}
	}
	return v.days[key]
}

func (v *volume) rows() []volumeRow {
	var rows []volumeRow
	for _, key := range sorted(v.days, func(a, b senderDay) int {
		return cmp.Or(strings.Compare(a.day, b.day), strings.Compare(a.sender, b.sender))
	}) {
		rows = append(rows, *v.days[key])
	}
	return rows
}

// chart draws a line for each sender.
func (v *volume) chart() chart {
	c := newChart("Messages answered, by sender", "messages a day")
	for key, r := range v.days {
		if r.Messages == 0 {
			continue
		}
		c.add(cmp.Or(key.sender, "(no sender)"), key.day, float64(r.Messages))
	}
	return c
}
