package hl7v2

import (
	"errors"
	"fmt"
	"strconv"
)

// What a [ParseError], [ParsePath], [ParseDate] or [Message.Set] can report.
// Test for them with [errors.Is].
var (
	// ErrNoMSH means that the bytes do not begin with an MSH segment.
	ErrNoMSH = errors.New("no MSH segment")

	// ErrDelimiters means that MSH-1 or MSH-2 holds a repeated character, a
	// letter, a digit or another byte that cannot be a delimiter.
	ErrDelimiters = errors.New("unusable delimiters")

	// ErrNoDelimiters means that MSH-2 is empty. It is also an ErrDelimiters.
	ErrNoDelimiters = fmt.Errorf("%w: none given", ErrDelimiters)

	// ErrNotSegment means that a line after MSH is not a segment: it does not
	// begin with a three-character name.
	ErrNotSegment = errors.New("line is not a segment")

	// ErrCharset means that the message is written in a character set that
	// cannot be read: UTF-16 or UTF-32, or with [Parser.StrictCharset] one that
	// MSH-18 names and this package does not know ([ErrUnknownCharset]).
	ErrCharset = errors.New("unreadable character set")

	// ErrUnknownCharset means that MSH-18 names a character set this package
	// does not know. It is also an ErrCharset, and only [Parser.StrictCharset]
	// makes it an error.
	ErrUnknownCharset = fmt.Errorf("%w: not in table 0211 as supported", ErrCharset)

	// ErrTooLarge means that the message is longer than 2 GiB.
	ErrTooLarge = errors.New("message too large")

	// ErrDate means that a value is not a date or time, names a day that the
	// calendar lacks, or would need a guess to be read.
	ErrDate = errors.New("not a date")

	// ErrPath means that a string is not a path.
	ErrPath = errors.New("not a path")

	// ErrNoSegment means that the segment to be changed is not in the message.
	ErrNoSegment = errors.New("no such segment")

	// ErrUnwritable means that a change cannot be expressed: the message lacks
	// the delimiter or the escape character that it would need, the raw value
	// holds a field separator or a line end, or the path names MSH-1 or MSH-2.
	ErrUnwritable = errors.New("value cannot be written there")
)

// ParseError says where in a message a fault lies. It never holds any of the
// message's content, which may identify a patient.
type ParseError struct {
	Segment string // segment name, "" when it is not known
	Field   int    // field number, 0 for the segment as a whole
	Offset  int    // byte offset in the input
	Err     error  // one of the sentinels above
}

// Error names the place and the kind of fault.
func (e *ParseError) Error() string {
	where := "byte " + strconv.Itoa(e.Offset)
	if e.Segment != "" {
		where = e.Segment
		if e.Field > 0 {
			where += "-" + strconv.Itoa(e.Field)
		}
	}
	return "hl7v2: parse: " + where + ": " + e.Err.Error()
}

// Unwrap returns the sentinel.
func (e *ParseError) Unwrap() error { return e.Err }
