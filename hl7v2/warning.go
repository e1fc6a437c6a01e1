package hl7v2

// A Warning is a departure from the standard that was tolerated. The set is
// closed: a warning is for counting and for showing to whoever looks after the
// sending system.
type Warning uint8

// The warnings, and where the tolerance applies.
const (
	// SwappedDelimiters: MSH-2 was `^&~\`, as the ITK samples print it, and was
	// read as `^~\&`.
	SwappedDelimiters Warning = iota
	// ShortDelimiters: MSH-2 had fewer than four characters.
	ShortDelimiters
	// LongDelimiters: MSH-2 had more than five characters; the rest was ignored.
	LongDelimiters
	// ByteOrderMark: a UTF-8 byte-order mark stood before MSH.
	ByteOrderMark
	// LineFeeds: segments ended in LF or CRLF.
	LineFeeds
	// NotSegment: a line that is no segment was ignored, by [Parser.LenientSegments].
	NotSegment
	// StrayFS: a 0x1C byte stood inside the message; decoded text leaves it out.
	StrayFS
	// UnknownCharset: MSH-18 named an unknown set and was treated as empty.
	UnknownCharset
	// WideCharset: MSH-18 named UTF-16 or UTF-32, but the bytes are neither.
	WideCharset
	// HighBytes: MSH-18 named ASCII, but bytes above 0x7F occur.
	HighBytes
	// InvalidUTF8: MSH-18 named UTF-8, but some bytes are not UTF-8; values
	// that hold them are read as Windows-1252.
	InvalidUTF8
	// SwitchedCharset: MSH-18 named several sets, and text seems to switch between
	// them; it was read in the first.
	SwitchedCharset
	// InvalidText: bytes that the declared multi-byte set does not define were
	// read as U+FFFD.
	InvalidText
	// UnsupportedEscape: a \C..\, \M..\ or \Z..\ sequence was left as it stands.
	// It is noticed when the value is read.
	UnsupportedEscape
	// UnusualDate: a date was not written as digits and a zone, but had hyphens, or
	// a sign without a zone. It is noticed when [Message.Date] reads it.
	UnusualDate
	// Replaced: a character that the message's set lacks was written without
	// its accent or as '?'.
	Replaced

	warnings // how many there are
)

var warningText = [warnings]string{
	SwappedDelimiters: "MSH-2 swapped, read as ^~\\&",
	ShortDelimiters:   "MSH-2 shorter than four characters",
	LongDelimiters:    "MSH-2 longer than five characters",
	ByteOrderMark:     "byte-order mark before MSH",
	LineFeeds:         "segments end in LF or CRLF",
	NotSegment:        "line that is not a segment ignored",
	StrayFS:           "FS byte inside the message",
	UnknownCharset:    "unknown character set in MSH-18",
	WideCharset:       "MSH-18 names a wide set, bytes are not wide",
	HighBytes:         "bytes above 7F in an ASCII message",
	InvalidUTF8:       "bytes that are not UTF-8 in a UTF-8 message",
	SwitchedCharset:   "character set switched within text",
	InvalidText:       "bytes that the declared character set lacks",
	UnsupportedEscape: "unsupported escape sequence left as it is",
	UnusualDate:       "date in an unusual form",
	Replaced:          "character replaced, not in the character set",
}

// String returns a short description without any content of the message.
func (w Warning) String() string {
	if w >= warnings {
		return "unknown warning"
	}
	return warningText[w]
}

// warningSet is a bit for each Warning.
type warningSet uint32

func (s *warningSet) add(w Warning) { *s |= 1 << w }

func (s warningSet) list() []Warning {
	var list []Warning
	for w := range warnings {
		if s&(1<<w) != 0 {
			list = append(list, w)
		}
	}
	return list
}
