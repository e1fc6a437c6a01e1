package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"spinetrace/store"
)

// dropping is what `audit drop-bodies` was asked for.
type dropping struct {
	decision
	before time.Time
	given  whenFlag // --before as it was written
	yes    bool
}

// auditDropBodies clears bodies away that are old enough.
func auditDropBodies(ctx context.Context, c console, args []string) error {
	d := dropping{given: whenFlag{now: time.Now()}}
	fs := newFlags("audit drop-bodies", "audit drop-bodies --before TIME --reason TEXT [flags]\n\nDeletes the messages and envelopes of exchanges that began before a time, for good. Their\nevents, with digests, stay in the journal, and so do bodies that are still needed: of\ntraces that are to be made, and of letters that are not delivered. Who did it, why, up to\nwhen and how many is recorded first, on the chain of the commands. On PostgreSQL it needs\na login with the role spinetrace_pruner.\n\n"+aboutTimes)
	fs.Var(&d.given, "before", "bodies of exchanges that began before this `time`, 8 days ago or longer")
	fs.BoolVar(&d.yes, "yes", false, "do not ask")
	d.flags(fs)
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if err := d.read(); err != nil {
		return err
	}
	if err := d.spareResends(); err != nil {
		return err
	}
	if !d.yes && !interactive(c.In) {
		return usageError("nobody can be asked here; give --yes")
	}
	return d.run(ctx, c)
}

func (d *dropping) read() error {
	switch {
	case d.given.at.IsZero():
		return usageError("--before is missing; say up to when")
	case d.reason == "":
		return usageError("--reason is missing; say why, without a patient's data")
	}
	// As it is recorded: what is dropped is neither more nor less.
	d.before = d.given.at.UTC().Truncate(time.Second)
	if store.CheckAge(d.given.now, d.before) != nil {
		return usageError(fmt.Sprintf("--before is less than %d days ago: until then a stored answer may have to be sent again",
			int(store.LeastAge.Hours()/24)))
	}
	return d.check()
}

// spareResends refuses what the windows of the settings reach: a resend is answered with what is stored.
func (d *dropping) spareResends() error {
	cfg, _ := readConfig() // its faults are told when the store is opened
	reach := max(cfg.DuplicateWindow, cfg.DuplicateQueries) + 24*time.Hour
	if d.before.After(d.given.now.Add(-reach)) {
		return usageError(fmt.Sprintf("--before is less than %s ago, which is how far %sDUPLICATE_WINDOW reaches, and a day: a stored answer may have to be sent again", reach, prefix))
	}
	return nil
}

// interactive tells whether somebody can answer.
func interactive(in io.Reader) bool {
	w, ok := in.(io.Writer)
	return ok && isTerminal(w)
}

// run asks before it takes the chain of the commands: others may need it while somebody thinks.
func (d *dropping) run(ctx context.Context, c console) error {
	var events int64
	err := reading(ctx, c, func(db store.Store) (err error) {
		events, err = db.CountBodies(ctx, d.before)
		return err
	})
	switch {
	case err != nil:
		return err
	case events == 0:
		_, err = fmt.Fprintf(c.Out, "no event before %s has bodies that can be dropped\n", stamp(d.before))
		return err
	}
	if err := d.agreed(c, events); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error { return d.drop(ctx, c, db, events) })
}

// errNotAgreed says that nothing was done.
var errNotAgreed = errors.New("nothing is dropped")

// agreed asks, unless that was answered on the command line.
func (d *dropping) agreed(c console, events int64) error {
	fmt.Fprintf(c.Err, "%s before %s will lose their bodies for good.\n", count(int(events), "event", "events"), stamp(d.before))
	if d.yes {
		return nil
	}
	fmt.Fprint(c.Err, "Write yes to drop them: ")
	line, err := bufio.NewReader(c.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return errNotAgreed
	}
	return nil
}

// drop records what is about to be done, and does it.
func (d *dropping) drop(ctx context.Context, c console, db store.Store, events int64) error {
	entry := store.DropEntry(d.who, d.before, events)
	entry.Facts.Reason = d.reason
	if err := d.commit(ctx, db, store.Commit{Entries: []store.Entry{entry}}); err != nil {
		return fmt.Errorf("it was not recorded, so nothing is dropped: %w", err)
	}
	dropped, err := db.DropBodies(ctx, d.before, func(n int64) {
		fmt.Fprintf(c.Err, "%d of %d\n", n, events)
	})
	if err != nil {
		return fmt.Errorf("after the bodies of %s; the same command goes on: %w", count(int(dropped), "event", "events"), err)
	}
	_, err = fmt.Fprintf(c.Out, "the bodies of %s are dropped\n", count(int(dropped), "event", "events"))
	return err
}
