package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"spinetrace/store"
)

// outboxActions are the actions of `outbox`.
var outboxActions = map[string]action{
	"drop":  outboxDrop,
	"list":  outboxList,
	"retry": outboxRetry,
}

// outbox shows and settles what is on its way to a destination.
func outbox(ctx context.Context, c console, args []string) error {
	fs := newFlags("outbox", "outbox list | retry | drop [flags]\n\nWorks on the letters of SPINETRACE_STORE, while serve is running or not: list shows those\nthat wait and those that are parked, because their destination refused them; retry sends\nletters again, drop gives them up. Each has flags of its own; outbox ACTION -h shows them.")
	return act(ctx, c, fs, outboxActions, args)
}

// letterStates are the values of --state.
var letterStates = map[string]store.LetterState{
	store.Waiting.String(): store.Waiting, store.Parked.String(): store.Parked,
	store.Delivered.String(): store.Delivered, store.Dropped.String(): store.Dropped,
}

// outboxList lists letters.
func outboxList(ctx context.Context, c console, args []string) error {
	var l listing
	fs := newFlags("outbox list", "outbox list [flags]\n\nLists letters in the order in which they are sent: those that wait, and those that are\nparked until somebody decides. That somebody looked is recorded first.")
	state := fs.String("state", "", "only letters in this `state`: waiting, parked, delivered or dropped; the last two are\nkept for a week")
	if err := l.parse(fs, c, args, 0); err != nil {
		return err
	}
	states := []store.LetterState{store.Parked, store.Waiting}
	if *state != "" {
		one, ok := letterStates[*state]
		if !ok {
			return usageError("--state is not one of " + strings.Join(slices.Sorted(maps.Keys(letterStates)), ", "))
		}
		states = []store.LetterState{one}
	}
	return reading(ctx, c, func(db store.Store) error {
		rows, err := letterRows(ctx, db, states, l.most)
		if err != nil {
			return err
		}
		return list[letterRow]{letterColumns, rows, "There is no such letter."}.
			show(ctx, c.Out, db, l, onlyKnown(map[string]string{"command": "outbox list", "state": *state}))
	})
}

// letterRow is a letter for a list.
type letterRow struct {
	Position    int64      `json:"position"`
	Destination string     `json:"destination"`
	State       string     `json:"state"`
	Kind        string     `json:"kind"`
	Added       time.Time  `json:"added"`
	Due         *time.Time `json:"due,omitempty"`
	Attempts    int        `json:"attempts"`
	Refusals    int        `json:"refusals"`
	Authority   string     `json:"authority,omitempty"`
	LocalID     string     `json:"local_id,omitempty"`
	ControlID   string     `json:"control_id"`
	Exchange    string     `json:"exchange"`
	Reason      string     `json:"reason,omitempty"`
}

func letterRows(ctx context.Context, db store.Outbox, states []store.LetterState, most int) ([]letterRow, error) {
	var rows []letterRow
	for _, state := range states {
		letters, err := db.Letters(ctx, state, most-len(rows))
		if err != nil {
			return nil, err
		}
		for _, l := range letters {
			rows = append(rows, rowOfLetter(l))
		}
		if len(rows) == most {
			break
		}
	}
	return rows, nil
}

func rowOfLetter(l store.Letter) letterRow {
	row := letterRow{
		Position: l.Position, Destination: l.Destination, State: l.State.String(), Kind: l.Kind.String(),
		Added: l.At.UTC(), Attempts: l.Attempt, Refusals: l.Refusals,
		Authority: l.Patient.Authority, LocalID: l.Patient.LocalID,
		ControlID: l.ControlID, Exchange: l.Exchange.String(), Reason: l.Reason,
	}
	if l.State == store.Waiting {
		due := l.Due.UTC()
		row.Due = &due
	}
	return row
}

var letterColumns = []string{"position", "destination", "state", "kind", "added", "due", "attempts", "refusals", "authority", "local_id", "control_id", "exchange", "reason"}

func (r letterRow) values(bool) []string {
	due := ""
	if r.Due != nil {
		due = stamp(*r.Due)
	}
	return []string{
		strconv.FormatInt(r.Position, 10), r.Destination, r.State, r.Kind, stamp(r.Added), due,
		strconv.Itoa(r.Attempts), strconv.Itoa(r.Refusals), r.Authority, r.LocalID, r.ControlID, r.Exchange, r.Reason,
	}
}

// outboxRetry sends letters again.
func outboxRetry(ctx context.Context, c console, args []string) error {
	d := letterDecision{kind: store.Requeued, state: store.Waiting}
	fs := newFlags("outbox retry", "outbox retry POSITION... [flags]\n       spinetrace outbox retry --all-parked [flags]\n\nSends parked letters again, and has letters that wait tried sooner. Letters to one\ndestination keep their order: one behind another has to wait for it. Who wanted it is\nrecorded.")
	all := fs.Bool("all-parked", false, "every letter that is parked")
	d.flags(fs)
	if err := parse(fs, c, args, -1); err != nil {
		return err
	}
	positions, err := numbers("position", fs.Args())
	switch {
	case err != nil:
		return err
	case *all == (len(positions) > 0):
		return usageError("give the positions of letters, or --all-parked")
	}
	if err := d.check(); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error {
		if *all {
			if positions, err = parked(ctx, db); err != nil {
				return err
			}
		}
		return d.letters(ctx, c, db, positions)
	})
}

// parked returns the positions of all letters that are parked.
func parked(ctx context.Context, db store.Outbox) ([]int64, error) {
	letters, err := db.Letters(ctx, store.Parked, math.MaxInt32)
	var positions []int64
	for _, l := range letters {
		positions = append(positions, l.Position)
	}
	return positions, err
}

// outboxDrop gives letters up.
func outboxDrop(ctx context.Context, c console, args []string) error {
	d := letterDecision{kind: store.Withdrawn, state: store.Dropped}
	fs := newFlags("outbox drop", "outbox drop POSITION... --reason TEXT [flags]\n\nGives letters up for good: their destination is not told. Who wanted it, and why, is\nrecorded.")
	d.flags(fs)
	if err := parse(fs, c, args, -1); err != nil {
		return err
	}
	positions, err := numbers("position", fs.Args())
	switch {
	case err != nil:
		return err
	case len(positions) == 0:
		return usageError("give the positions of letters")
	case d.reason == "":
		return usageError("--reason is missing; say why, without a patient's data")
	}
	if err := d.check(); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error { return d.letters(ctx, c, db, positions) })
}

// letterDecision is what an operator wants done with letters.
type letterDecision struct {
	decision
	kind  store.Kind
	state store.LetterState
}

// letters decides on letters.
func (d letterDecision) letters(ctx context.Context, c console, db store.Store, positions []int64) error {
	if len(positions) == 0 {
		_, err := fmt.Fprintln(c.Out, "no letter is parked")
		return err
	}
	return d.each(c.Out, "letter", positions, func(n int64) (string, bool, error) { return d.one(ctx, db, n) })
}

// one decides on a letter, together with the event that says so.
func (d letterDecision) one(ctx context.Context, db store.Store, position int64) (said string, done bool, err error) {
	l, ok, err := db.Letter(ctx, position)
	switch {
	case err != nil:
		return "", false, err
	case !ok:
		return "is not there", false, nil
	case over(l):
		return "was " + l.State.String() + " before", false, nil
	case inFlight(l):
		// What was decided now would be undone by how the attempt ends, or undo it.
		return "is being sent just now; try again in a moment", false, nil
	}
	if err := d.commit(ctx, db, d.dispatch(l)); err != nil {
		return "", false, err
	}
	// A relay may have been faster.
	if l, ok, err = db.Letter(ctx, position); err != nil {
		return "", false, err
	}
	if ok && over(l) && l.State != d.state {
		return "was " + l.State.String() + " meanwhile", false, nil
	}
	said, err = d.done(ctx, db, l)
	return "to " + l.Destination + " " + said, err == nil, err
}

// done says what becomes of a letter now.
func (d letterDecision) done(ctx context.Context, db store.Piles, l store.Letter) (string, error) {
	if d.state == store.Dropped {
		return "is dropped", nil
	}
	piles, err := db.Piles(ctx)
	for _, p := range piles {
		if p.Destination == l.Destination && p.State == store.Waiting && p.First < l.Position {
			return fmt.Sprintf("is tried after letter %d, which is before it", p.First), err
		}
	}
	return "is tried at the next turn, in a few seconds", err
}

// inFlight tells whether somebody has a letter to deliver it.
func inFlight(l store.Letter) bool { return l.State == store.Waiting && l.Until.After(time.Now()) }

// over tells whether a letter has come to its end.
func over(l store.Letter) bool { return l.State == store.Delivered || l.State == store.Dropped }

// dispatch is the decision on a letter for the record.
func (d letterDecision) dispatch(l store.Letter) store.Commit {
	dispatch := store.Dispatch{Position: l.Position, State: d.state, Reason: d.reason}
	if d.state == store.Waiting {
		dispatch.Due = time.Now()
	}
	return store.Commit{
		Exchange: l.Exchange,
		Entries: []store.Entry{{Kind: d.kind, Facts: store.Facts{
			User: d.who, Destination: l.Destination, Letter: l.Position, ControlID: l.ControlID, Reason: d.reason,
		}}},
		Dispatched: []store.Dispatch{dispatch},
	}
}
