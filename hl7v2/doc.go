// Package hl7v2 is the grammar of HL7 version 2 in its usual "vertical bar"
// encoding, ER7: it parses messages, addresses, reads and changes their values,
// builds answers and splits batches. It knows nothing of networks and nothing
// of patients. It has one generic [Message] for all versions, and no list of
// which segment may follow which.
//
// # A message
//
// A message is lines, called segments, that end in CR. Each begins with a name
// of three characters; separators divide it into fields, fields into
// repetitions, those into components and those into subcomponents:
//
//	MSH|^~\&|PAS|RXX|SPINETRACE|RXX|20250601101459||ADT^A28^ADT_A05|PAS0000451|P|2.4
//	PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||O\T\NEIL^ANN||19430519|F|""
//
// MSH comes first and says which characters do that: the one after its name
// separates fields, and MSH-2 holds the others. Here and in nearly every feed
// they are
//
//	|   fields
//	~   repetitions of a field
//	^   components of a repetition
//	&   subcomponents of a component
//	\   escapes: \T\ is an & that separates nothing
//
// # Reading
//
// A [Path] names a value: field 5, component 1 of the PID segment is PID-5.1,
// the second identifier is PID-3[2].1. Paths are compiled once, and reading by
// one costs no memory:
//
//	var (
//		controlID = hl7v2.MustPath("MSH-10")
//		family    = hl7v2.MustPath("PID-5.1")
//		names     = hl7v2.MustPath("PID-5")
//	)
//
//	m, err := hl7v2.Parse(b)
//	if err != nil {
//		return err // a *ParseError: where the fault is, never what was there
//	}
//	name := m.Get(family) // "O&NEIL"
//	for _, r := range m.Repetitions(names) {
//		use(r.Component(7), r.Joined(1))
//	}
//
// [Message.Segments] walks the segments themselves, for those that repeat.
//
// # Text and raw values
//
// A message is kept as the bytes that came. Text, as [Message.Get] and
// [Repetition.Component] return it, is UTF-8 with the escape sequences
// resolved; raw values are the bytes between delimiters. What is echoed or
// forwarded is taken raw, so that it stays as its sender wrote it:
// [Message.Bytes] of an unchanged message is the input, and [Message.Set]
// changes nothing but its field.
//
// # Absent, empty and null
//
// HL7 tells a value that is not written, which means "no change", from one that
// is to be deleted, which is written as two quotation marks:
//
//	PID|1||RXX1234567     PID-5 is Absent
//	||   |^^|   |~|       Empty
//	|""|   |""^^|         Null
//	|""^ANN|              Valued, and its first component is Null
//
// Reading text gives "" for all but the last; [Message.Lookup] tells them apart.
// The two quotation marks are never a value.
//
// # Character sets
//
// MSH-18 names the set, in any of the spellings that are seen. Without it text
// is UTF-8 if the message as a whole is, and Windows-1252 otherwise. Reading
// gives UTF-8 always, and writing encodes in the message's own set: a character
// that it lacks is written without its accent, or as a question mark. A message
// in GB18030, Big5 or ISO-2022-JP is decoded before it is split, because half a
// character can look like a delimiter there.
//
// MSH-18 may name further sets that text switches to by the escape sequences of
// ISO 2022. From ASCII to the Japanese sets that is ISO-2022-JP, and read. Other
// switches are not: golang.org/x/text has no decoder for them, and no feed is
// known that makes them. Such text is read in the first set, with the warning
// SwitchedCharset, and its bytes are kept.
//
// # Dates
//
// [ParseDate] reads dates of birth: the day as written, whatever the time and
// zone that follow, to the precision that was given. [ParseTime] reads
// moments. Neither guesses: 11/08/1926 and 30 February are errors.
//
// # What is tolerated
//
// Feeds depart from the standard in known ways. Those that can be read without
// a guess are, and leave a [Warning]: segments that end in LF, a byte-order
// mark, an MSH-2 that is short or in the order of the ITK samples, character
// sets that are not what MSH-18 says, stray frame marks. Segments and fields
// that the standard does not have are kept, in order. See [Parser] for the
// choices there are. The rest is a [ParseError].
//
// # Answers
//
// [Reply] begins an answer in the request's own delimiters, character set and
// version, with sender and receiver exchanged, and a [Builder] adds segments:
//
//	b := hl7v2.Reply(m, hl7v2.Header{ControlID: id, Time: now})
//	b.MSA(hl7v2.AA, m.Raw(controlID), "")
//	return b.Bytes()
//
// It cannot write a value that breaks the structure of a message or of an MLLP
// frame. What cannot be parsed can be answered all the same: [Head] reads the
// MSH segment of anything that has one, and Reply takes nil for what has none.
//
// # Batches
//
// [Split] cuts a frame or a file into its messages, and [Batch.Reply] puts the
// answers into one frame, batch by batch.
//
// # Printing
//
// [Format] prints a message line by line, and [Describe] field by field with the
// names from the standard. Neither lets a byte through that a terminal obeys.
//
// # Limits
//
// Parsing takes memory for one copy of the message, or two in a multi-byte set,
// and about sixteen bytes for each segment and four for each field of the
// segments that are read. The caller bounds a message's length; 2 GiB is the
// most. Whatever bytes it is given, nothing in this package panics but
// [MustPath].
package hl7v2
