package hl7v2

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Date is a day, a month or a year as HL7 writes it: what was not given is 0.
type Date struct{ Year, Month, Day int }

// ParseDate reads a date such as PID-7. Of a value with a time it takes the day
// as written, before any conversion between zones, so that a birthday stays
// where it is. It accepts YYYY, YYYYMM, YYYYMMDD and YYYY-MM-DD, followed or
// not by a time or a zone.
//
// The error is [ErrDate] for anything else: an empty value, a day that the
// calendar lacks, and orders of day and month that would have to be guessed.
func ParseDate(s string) (Date, error) {
	digits, rest := dateDigits(strings.Trim(s, " "))
	if !afterDate(len(digits), rest) {
		return Date{}, errDate("date")
	}
	d := Date{Year: number(digits[:min(4, len(digits))])}
	switch len(digits) {
	case 4:
	case 6:
		d.Month = number(digits[4:6])
	case 8:
		d.Month, d.Day = number(digits[4:6]), number(digits[6:8])
	default:
		return Date{}, errDate("date")
	}
	if !d.valid(len(digits)) {
		return Date{}, errDate("date")
	}
	return d, nil
}

// Date reads the date at p as [ParseDate] does. One that is written as the
// standard does not, and can be read all the same, leaves a warning.
func (m *Message) Date(p Path) (Date, error) {
	s := m.Get(p)
	d, err := ParseDate(s)
	if err == nil && (strings.HasSuffix(s, "+") || strings.HasPrefix(s[countDigits(s):], "-") && countDigits(s) == 4) {
		m.warn.add(UnusualDate)
	}
	return d, err
}

// afterDate reports whether rest can follow a date of that many digits. After
// a year or a month it can only be a zone east of Greenwich: a hyphen might as
// well be part of another date form.
func afterDate(digits int, rest string) bool {
	if digits == 8 {
		return strings.Trim(rest, "0123456789.:+-TZ ") == ""
	}
	zone, ok := strings.CutPrefix(rest, "+")
	return rest == "" || ok && (zone == "" || len(zone) == 4 && countDigits(zone) == 4)
}

// dateDigits returns the digits of the date at the front of s, at most eight,
// and what follows them. The hyphens of YYYY-MM-DD are left out.
func dateDigits(s string) (digits, rest string) {
	if len(s) >= 10 && s[4] == '-' && s[7] == '-' && countDigits(s) == 4 {
		s = s[:4] + s[5:7] + s[8:]
	}
	n := min(countDigits(s), 8)
	return s[:n], s[n:]
}

func countDigits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// valid reports whether the calendar has the date, given to that many digits.
func (d Date) valid(digits int) bool {
	month, day := d.Month, d.Day
	if digits < 6 {
		month = 1
	}
	if digits < 8 {
		day = 1
	}
	t := time.Date(d.Year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	return d.Year > 0 && t.Year() == d.Year && int(t.Month()) == month && t.Day() == day
}

// Full reports whether year, month and day are all given.
func (d Date) Full() bool { return d.Year != 0 && d.Month != 0 && d.Day != 0 }

// String returns the date as YYYY, YYYYMM or YYYYMMDD, and "" for the zero Date.
func (d Date) String() string {
	switch {
	case d.Year == 0:
		return ""
	case d.Month == 0:
		return fmt.Sprintf("%04d", d.Year)
	case d.Day == 0:
		return fmt.Sprintf("%04d%02d", d.Year, d.Month)
	}
	return fmt.Sprintf("%04d%02d%02d", d.Year, d.Month, d.Day)
}

// ParseTime reads a time such as MSH-7 or EVN-2,
// YYYY[MM[DD[HH[MM[SS[.S...]]]]]][+/-ZZZZ], and YYYY-MM-DD[ HH:MM:SS].
// What is not given is the first of its kind. Without a zone the time is in
// loc; a nil loc is UTC. The error is [ErrDate].
func ParseTime(s string, loc *time.Location) (time.Time, error) {
	if loc == nil {
		loc = time.UTC
	}
	s, loc, ok := cutZone(strings.Trim(s, " "), loc)
	if !ok {
		return time.Time{}, errDate("time")
	}
	digits, fraction, dot := strings.Cut(timeDigits(s), ".")
	if dot && (len(digits) != 14 || fraction == "" || len(fraction) > 9 || countDigits(fraction) != len(fraction)) {
		return time.Time{}, errDate("time")
	}
	if countDigits(digits) != len(digits) || len(digits) < 4 || len(digits) > 14 || len(digits)%2 != 0 {
		return time.Time{}, errDate("time")
	}
	const first = "00000101000000"
	full := digits + first[len(digits):]
	d := Date{number(full[:4]), number(full[4:6]), number(full[6:8])}
	hour, minute, second := number(full[8:10]), number(full[10:12]), number(full[12:])
	if !d.valid(8) || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, errDate("time")
	}
	nanos := number((fraction + "000000000")[:9])
	return time.Date(d.Year, time.Month(d.Month), d.Day, hour, minute, second, nanos, loc), nil
}

// timeDigits leaves out the marks of YYYY-MM-DD, of YYYY-MM-DD HH:MM:SS and of
// the same with a T, and returns any other form as it is.
func timeDigits(s string) string {
	if len(s) == 10 && s[4] == '-' && s[7] == '-' {
		return s[:4] + s[5:7] + s[8:]
	}
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10] != ' ' && s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return s
	}
	return s[:4] + s[5:7] + s[8:10] + s[11:13] + s[14:16] + s[17:]
}

// cutZone takes an offset from UTC off the end of s.
func cutZone(s string, loc *time.Location) (string, *time.Location, bool) {
	if rest, ok := strings.CutSuffix(s, "Z"); ok {
		return rest, time.UTC, true
	}
	i := strings.LastIndexAny(s, "+-")
	if i < 4 || i == 7 && s[4] == '-' { // no sign, or a hyphen of the date
		return s, loc, true
	}
	zone := strings.Replace(s[i+1:], ":", "", 1)
	if zone == "" { // a sign without an offset: seen, and means nothing
		return s[:i], loc, true
	}
	if len(zone) != 4 || countDigits(zone) != 4 || number(zone[:2]) > 14 || number(zone[2:]) > 59 {
		return s, loc, false
	}
	offset := number(zone[:2])*3600 + number(zone[2:])*60
	if s[i] == '-' {
		offset = -offset
	}
	return s[:i], time.FixedZone("", offset), true
}

// FormatTime returns t as YYYYMMDDHHMMSS in loc, without a zone, as messages in
// the UK carry it. A nil loc is the location of t; the zero time is "".
func FormatTime(t time.Time, loc *time.Location) string {
	var b [14]byte
	return string(appendTime(b[:0], t, loc))
}

func appendTime(dst []byte, t time.Time, loc *time.Location) []byte {
	if t.IsZero() {
		return dst
	}
	if loc != nil {
		t = t.In(loc)
	}
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendTwo(appendTwo(dst, year/100), year)
	dst = appendTwo(appendTwo(dst, int(month)), day)
	return appendTwo(appendTwo(appendTwo(dst, hour), minute), second)
}

// TimeFormat is how moments are written: to the second, and as many of the
// following as its bits say.
type TimeFormat uint8

// What can be added. Some receivers cannot read either.
const (
	TimeMilliseconds TimeFormat = 1 << iota // .250
	TimeOffset                              // from UTC: +0100
)

// ParseTimeFormat reads "seconds", "milliseconds", "offset" or
// "milliseconds,offset".
func ParseTimeFormat(s string) (TimeFormat, error) {
	for f, name := range []string{"seconds", "milliseconds", "offset", "milliseconds,offset"} {
		if s == name {
			return TimeFormat(f), nil
		}
	}
	return 0, errors.New("hl7v2: time format is not one of seconds; milliseconds; offset; milliseconds,offset")
}

// append appends t in its own location.
func (f TimeFormat) append(dst []byte, t time.Time) []byte {
	dst = appendTime(dst, t, nil)
	if f&TimeMilliseconds != 0 {
		dst = t.AppendFormat(dst, ".000")
	}
	if f&TimeOffset != 0 {
		dst = t.AppendFormat(dst, "-0700")
	}
	return dst
}

// appendTwo appends the last two digits of n.
func appendTwo(dst []byte, n int) []byte {
	return append(dst, '0'+byte(n/10%10), '0'+byte(n%10))
}

// number reads a short run of digits.
func number(digits string) int {
	n := 0
	for i := range len(digits) {
		n = n*10 + int(digits[i]-'0')
	}
	return n
}

func errDate(what string) error { return fmt.Errorf("hl7v2: parse %s: %w", what, ErrDate) }
