package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"spinetrace/pds"
	"spinetrace/store"
)

// numbers reads operands that are numbers of something.
func numbers(what string, args []string) ([]int64, error) {
	var all []int64
	for _, arg := range args {
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || n < 1 {
			return nil, usageError(fmt.Sprintf("%q is no %s; list shows them", arg, what))
		}
		all = append(all, n)
	}
	return all, nil
}

// decision is what a person decides on letters or on items.
type decision struct{ who, reason string }

func (d *decision) flags(fs *flag.FlagSet) {
	fs.StringVar(&d.who, "as", osUser(), "`name` of who decides, for the record")
	fs.StringVar(&d.reason, "reason", "", "why, for the record, in up to 200 characters; no patient's data")
}

// check says what the record cannot hold.
func (d *decision) check() error {
	if err := checkNote("--reason", d.reason); err != nil {
		return err
	}
	return checkWho(d.who, "decides")
}

// checkWho says what is wrong with the name of who does something.
func checkWho(who, does string) error {
	if who == "" {
		return usageError("--as must name who " + does)
	}
	if store.IsSystem(who) {
		return usageError("--as must name a person; " + store.System + " is the service itself")
	}
	return checkNote("--as", who)
}

// checkNote says why a text must not be recorded for ever, and listed and logged beside what is no
// patient's.
func checkNote(flag, text string) error {
	switch {
	case store.Text(text) != text:
		return usageError(flag + " is too long, or not text")
	case hasNHSNumber(text):
		return usageError(flag + " has an NHS number in it; leave it out, items and letters have numbers of their own")
	}
	return nil
}

var digitGroups = regexp.MustCompile(`[0-9]+(?:[\s\x{a0}-]+[0-9]+)*`)

// hasNHSNumber tells whether a text holds a valid NHS number, written together or in groups. Ten digits
// of a longer number do not count: one in eleven of any would be valid.
func hasNHSNumber(text string) bool {
	for _, run := range digitGroups.FindAllString(text, -1) {
		groups := strings.FieldsFunc(run, func(r rune) bool { return r < '0' || r > '9' })
		for i := range groups {
			for j := i; j < len(groups); j++ {
				if _, err := pds.ParseNHSNumber(strings.Join(groups[i:j+1], "")); err == nil {
					return true
				}
			}
		}
	}
	return false
}

// errNotDone says that something of what was wanted was not done; what, was printed.
var errNotDone = errors.New("not all was done")

// each decides on one thing after another, and says what was done.
func (d decision) each(w io.Writer, what string, numbers []int64, decide func(number int64) (said string, done bool, err error)) error {
	var failed error
	for _, n := range numbers {
		said, done, err := decide(n)
		if err != nil {
			return fmt.Errorf("%s %d: %w", what, n, err)
		}
		if !done {
			failed = errNotDone
		}
		if _, err := fmt.Fprintf(w, "%s %d %s\n", what, n, said); err != nil {
			return err
		}
	}
	return failed
}

// commit writes a decision down, and makes it so.
func (d decision) commit(ctx context.Context, db store.Journal, c store.Commit) error {
	ctx, cancel := context.WithTimeout(ctx, decisionWait)
	defer cancel()
	_, err := db.Commit(ctx, c)
	return err
}

// decisionWait is the longest wait for the record of a decision.
const decisionWait = 10 * time.Second
