package hl7v2

import (
	"strconv"
)

// AckCode is MSA-1, table 0008.
type AckCode string

// The acknowledgement codes: A for the application, C for the commit level of
// enhanced mode.
const (
	AA AckCode = "AA" // accepted
	AE AckCode = "AE" // fault in the content: would fail again
	AR AckCode = "AR" // not acceptable here, or not now
	CA AckCode = "CA"
	CE AckCode = "CE"
	CR AckCode = "CR"
)

// Error codes of table 0357.
const (
	CodeAccepted           = 0
	CodeSegmentSequence    = 100
	CodeRequiredField      = 101
	CodeDataType           = 102
	CodeTableValue         = 103
	CodeMessageType        = 200
	CodeEvent              = 201
	CodeProcessingID       = 202
	CodeVersion            = 203
	CodeUnknownKey         = 204
	CodeDuplicateKey       = 205
	CodeRecordLocked       = 206
	CodeApplicationFailure = 207
)

// CodeText returns the text of an error code of table 0357, "" for others.
func CodeText(code int) string {
	switch code {
	case CodeAccepted:
		return "Message accepted"
	case CodeSegmentSequence:
		return "Segment sequence error"
	case CodeRequiredField:
		return "Required field missing"
	case CodeDataType:
		return "Data type error"
	case CodeTableValue:
		return "Table value not found"
	case CodeMessageType:
		return "Unsupported message type"
	case CodeEvent:
		return "Unsupported event code"
	case CodeProcessingID:
		return "Unsupported processing id"
	case CodeVersion:
		return "Unsupported version id"
	case CodeUnknownKey:
		return "Unknown key identifier"
	case CodeDuplicateKey:
		return "Duplicate key identifier"
	case CodeRecordLocked:
		return "Application record locked"
	case CodeApplicationFailure:
		return "Application internal error"
	}
	return ""
}

// ackLimit is the length of MSA-3, and of ERR-1 before v2.5, in characters.
const ackLimit = 80

// MSA writes the acknowledgement segment. controlIDRaw is the request's MSH-10
// as [Message.Raw] returns it and is echoed without change; text goes into
// MSA-3, as ASCII, cut to 80 characters.
func (b *Builder) MSA(code AckCode, controlIDRaw, text string) *Builder {
	b.Segment("MSA").Raw(1, string(code)).Raw(2, b.Echo(controlIDRaw))
	return b.Raw(3, b.short(text, ackLimit))
}

// short returns text escaped, in ASCII, and cut before the character that
// would make it longer than limit.
func (b *Builder) short(text string, limit int) string {
	ascii := codec{b.codec.delims, ASCII}
	out := make([]byte, 0, ackLimit)
	for _, r := range text {
		n := len(out)
		if out, _ = ascii.appendText(out, string(r)); len(out) > limit {
			return string(out[:n])
		}
	}
	return string(out)
}

// Fault is one row of ERR: what is wrong, and where. It must hold no name, date
// or number of a patient.
type Fault struct {
	Code int // table 0357

	// The place: a segment name and numbers from 1. Zeros are not given, except
	// that Sequence and Repetition are 1 where something deeper is given.
	Segment                                              string
	Sequence, Field, Repetition, Component, Subcomponent int

	AppCode  string // ERR-5: our own or the back end's code
	Severity string // ERR-4: E, W, I or from v2.7 F; "" is E
	Text     string // ERR-7: for those who look after the systems
	UserText string // ERR-8: for the user
}

// ERR writes faults in the form of the answer's version: from v2.5 one segment
// for each, before that one ERR-1 of at most 80 characters with a repetition
// for each that fits. Nothing is written without faults.
func (b *Builder) ERR(faults ...Fault) *Builder {
	if compareVersions(b.version, "2.5") < 0 {
		return b.oldERR(faults)
	}
	for _, f := range faults {
		b.Segment("ERR").Composite(2, f.location()...)
		b.Composite(3, strconv.Itoa(f.Code), CodeText(f.Code), "HL70357")
		b.Text(4, f.severity()).Text(5, f.AppCode)
		b.Text(7, f.Text).Text(8, f.UserText)
	}
	return b
}

// oldERR writes ERR-1: segment, sequence, field and the coded error as
// subcomponents, with the text as the alternate one.
func (b *Builder) oldERR(faults []Fault) *Builder {
	var rows []string
	left := ackLimit
	for _, f := range faults {
		if len(rows) > 0 {
			left-- // the repetition mark
		}
		row := b.oldFault(f, left)
		if len(row) > left {
			break
		}
		rows = append(rows, row)
		left -= len(row)
	}
	if len(rows) == 0 {
		return b
	}
	return b.Segment("ERR").Join(1, rows)
}

// oldFault returns one repetition of ERR-1; its text is cut so that the whole
// is no longer than limit, and left out with its marks if there is none.
func (b *Builder) oldFault(f Fault, limit int) string {
	d := b.codec.delims
	var place [3]string
	copy(place[:], f.location())
	row := ""
	for _, part := range place {
		row += b.short(part, ackLimit) + string(rune(d.Component))
	}
	sub := string(rune(d.Subcomponent))
	row += strconv.Itoa(f.Code) + sub + CodeText(f.Code) + sub + "HL70357"
	text := f.Text
	if text == "" {
		text = f.UserText
	}
	if text = b.short(text, limit-len(row)-2); text == "" {
		return row
	}
	return row + sub + sub + text
}

func (f *Fault) severity() string {
	if f.Severity == "" {
		return "E"
	}
	return f.Severity
}

// location returns the components of ERR-2, without those not given at the end.
func (f *Fault) location() []string {
	if f.Segment == "" {
		return nil
	}
	numbers := []int{max(f.Sequence, 1), f.Field, f.Repetition, f.Component, f.Subcomponent}
	if f.Component > 0 || f.Subcomponent > 0 {
		numbers[2] = max(f.Repetition, 1)
	}
	parts := []string{f.Segment}
	for _, n := range numbers {
		part := ""
		if n > 0 {
			part = strconv.Itoa(n)
		}
		parts = append(parts, part)
	}
	return parts
}
