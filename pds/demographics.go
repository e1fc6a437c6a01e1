package pds

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ErrDate says that a text is not a date of the calendar in the form YYYY[MM[DD]].
var ErrDate = errors.New("pds: not a date")

// Date is a date of the calendar that may lack its day, or its month and day: PDS holds
// birth dates of all three precisions. The zero value is "not known".
type Date struct{ Year, Month, Day int }

// ParseDate reads YYYY, YYYYMM or YYYYMMDD. The error is [ErrDate].
func ParseDate(s string) (Date, error) {
	layout, ok := map[int]string{4: "2006", 6: "200601", 8: "20060102"}[len(s)]
	if !ok {
		return Date{}, ErrDate
	}
	t, err := time.Parse(layout, s)
	if err != nil || t.Year() == 0 { // a Date of the year 0 is not known
		return Date{}, ErrDate
	}
	d := Date{t.Year(), int(t.Month()), t.Day()}
	if len(s) < 8 {
		d.Day = 0
	}
	if len(s) < 6 {
		d.Month = 0
	}
	return d, nil
}

// IsZero tells whether the date is not known.
func (d Date) IsZero() bool { return d.Year == 0 }

// Full tells whether year, month and day are all known.
func (d Date) Full() bool { return d.Year != 0 && d.Month != 0 && d.Day != 0 }

// Digits returns YYYY, YYYYMM or YYYYMMDD, "" when the date is not known.
func (d Date) Digits() string {
	if d.Year == 0 {
		return ""
	}
	all := [8]byte{
		digit(d.Year / 1000), digit(d.Year / 100), digit(d.Year / 10), digit(d.Year),
		digit(d.Month / 10), digit(d.Month), digit(d.Day / 10), digit(d.Day),
	}
	switch {
	case d.Month == 0:
		return string(all[:4])
	case d.Day == 0:
		return string(all[:6])
	}
	return string(all[:])
}

func digit(n int) byte { return byte('0' + n%10) }

// Agrees tells whether two known dates are the same to the precision of the shorter.
func (d Date) Agrees(other Date) bool {
	a, b := d.Digits(), other.Digits()
	n := min(len(a), len(b))
	return n > 0 && a[:n] == b[:n]
}

// String returns "redacted".
func (d Date) String() string { return redacted }

// Format prints "redacted" for every verb.
func (d Date) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns "redacted".
func (d Date) LogValue() slog.Value { return redactedValue }

// MarshalJSON writes "redacted".
func (d Date) MarshalJSON() ([]byte, error) { return redactedJSON, nil }

// Sex is a person's administrative gender in the codes of the NHS Data Dictionary that
// the mini services use (OID 2.16.840.1.113883.2.1.3.2.4.16.25). The zero value means
// that none is recorded, which is not the same as [SexNotKnown].
type Sex byte

// The codes of the mini services.
const (
	SexNotKnown     Sex = '0'
	SexMale         Sex = '1'
	SexFemale       Sex = '2'
	SexNotSpecified Sex = '9'
)

// Code returns the one-digit code, "" for the zero value.
func (s Sex) Code() string {
	if s == 0 {
		return ""
	}
	return string([]byte{byte(s)})
}

// Demographics is what the asker knows of the patient: the search fields and nothing
// more. Texts are as recorded, accents, hyphens and apostrophes included.
type Demographics struct {
	Family    string
	Given     string
	BirthDate Date
	Sex       Sex
	Postcode  string // as printed, one space before the last three characters
	LocalID   string // the trust's own number; echoed by a provider, never matched
}

// String returns "redacted".
func (d Demographics) String() string { return redacted }

// Format prints "redacted" for every verb.
func (d Demographics) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns "redacted".
func (d Demographics) LogValue() slog.Value { return redactedValue }

// MarshalJSON writes "redacted".
func (d Demographics) MarshalJSON() ([]byte, error) { return redactedJSON, nil }

// Address is a postal address: up to five lines, which are positional when they come
// from a mini service (premises, number and street, locality, town, county).
type Address struct {
	Lines    [5]string
	Postcode string
}

// IsZero tells whether nothing of the address is known.
func (a Address) IsZero() bool { return a == Address{} }

// Patient is what a national record says. An empty field means that the answer did not
// say, which is no statement about the patient: nothing is ever cleared because of it.
type Patient struct {
	NHSNumber    NHSNumber
	Title        string
	Given        []string
	Family       string
	NameText     string // a name that the record has in one piece, in an order that nobody knows; beside the parts or without them
	Sex          Sex
	BirthDate    Date
	Deceased     bool
	DeathTime    string // YYYY[MM[DD[HHMM[SS]]]]; "" also for a deceased patient whose record has none that can be read
	Home         Address
	Temporary    Address
	Postal       Address
	Phone        string // home telephone, without "tel:"
	Mobile       string
	Email        string
	PracticeCode string // ODS code of the GP practice
	PracticeName string
	// RestrictedPossible is set when a successful answer has no address, telephone or
	// practice at all: it may be a restricted (S-flagged) record.
	RestrictedPossible bool
}

// String returns "redacted".
func (p Patient) String() string { return redacted }

// Format prints "redacted" for every verb.
func (p Patient) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns "redacted".
func (p Patient) LogValue() slog.Value { return redactedValue }

// MarshalJSON writes "redacted".
func (p Patient) MarshalJSON() ([]byte, error) { return redactedJSON, nil }
