package main

import (
	"errors"
	"flag"
	"strings"
	"time"

	"spinetrace/pds"
)

// checked is the value of a flag that says by itself what is wrong with it. What Set refuses the flag
// package repeats, and a terminal's log is no place for a patient's number.
type checked interface {
	flag.Value
	// check says what is wrong, to stand behind the flag's name.
	check() error
}

// checkFlags returns what is wrong with the first flag that was given and cannot be read.
func checkFlags(fs *flag.FlagSet) (err error) {
	fs.Visit(func(f *flag.Flag) {
		if v, ok := f.Value.(checked); ok && err == nil && v.check() != nil {
			err = usageError("--" + f.Name + " " + v.check().Error())
		}
	})
	return err
}

// numberFlag is an NHS number on a command line; the zero one was not given.
type numberFlag struct {
	pds.NHSNumber
	text  string
	wrong error
}

// Set implements [flag.Value].
func (f *numberFlag) Set(text string) error {
	*f = numberFlag{text: text}
	if text != "" {
		f.NHSNumber, f.wrong = pds.ParseNHSNumber(text)
	}
	return nil
}

// String implements [flag.Value]: the number as it was written.
func (f *numberFlag) String() string { return f.text }

func (f *numberFlag) check() error { return notNHSNumber(f.wrong) }

func notNHSNumber(wrong error) error {
	if wrong == nil {
		return nil
	}
	return errors.New("is not an NHS number: " + strings.TrimPrefix(wrong.Error(), "pds: "))
}

// digits is a flag for ten digits that a message may have had as an NHS number, be the check digit right or
// wrong.
type digits struct {
	to    *string
	text  string
	wrong error
}

// digitsFlag returns a flag that sets to.
func digitsFlag(to *string) flag.Value { return &digits{to: to} }

// Set implements [flag.Value].
func (f *digits) Set(text string) error {
	if f.text = text; text != "" {
		*f.to, f.wrong = pds.TenDigits(text)
	}
	return nil
}

// String implements [flag.Value]: the number as it was written.
func (f *digits) String() string { return f.text }

func (f *digits) check() error { return notNHSNumber(f.wrong) }

// whenFlag is a time on a command line; the zero one was not given.
type whenFlag struct {
	now      time.Time // what "24h" is back from, and whose time zone a date is in
	wholeDay bool      // a date includes its day
	at       time.Time
	text     string
	wrong    error
}

// Set implements [flag.Value].
func (f *whenFlag) Set(text string) error {
	f.text = text
	f.at, f.wrong = parseWhen(text, f.now, f.wholeDay)
	return nil
}

// String implements [flag.Value]: the time as it was written.
func (f *whenFlag) String() string { return f.text }

func (f *whenFlag) check() error { return f.wrong }

// errWhen says how a time is written.
var errWhen = errors.New("is not a time; write 2026-06-01T09:00:00Z, a date such as 2026-06-01, or how long ago, such as 24h")

// aboutTimes says it in the usage of a command.
const aboutTimes = "A time is RFC 3339 (2026-06-01T09:00:00Z), a date, in the time zone of this machine, or a\nduration back from now such as 24h."

// aboutPeriods says it of a report.
const aboutPeriods = aboutTimes + " Rows and charts by day are of days of UTC."

// parseWhen reads a moment: RFC 3339, a date in the time zone of now, or how long before now. A
// date is its first moment, or the one after its last. "" is the zero time.
func parseWhen(text string, now time.Time, wholeDay bool) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		if wholeDay {
			day = day.AddDate(0, 0, 1) // not 24 hours: clocks change
		}
		return day, nil
	}
	if back, err := time.ParseDuration(text); err == nil && back > 0 {
		return now.Add(-back), nil
	}
	return time.Time{}, errWhen
}
