// Package hl7v2 is the grammar of HL7 version 2 in its usual "vertical bar"
// encoding, ER7: it parses messages, addresses, reads and changes their values,
// and builds answers. It knows nothing of networks and nothing of patients.
//
// There is one generic [Message] for all versions. Values are named by paths,
// compiled once:
//
//	var (
//		controlID = hl7v2.MustPath("MSH-10")
//		family    = hl7v2.MustPath("PID-5.1")
//	)
//
//	m, err := hl7v2.Parse(b)
//	if err != nil {
//		head := hl7v2.Head(b) // nil when there is no MSH
//		return hl7v2.Reply(head, h).MSA(hl7v2.AR, head.Raw(controlID), "Not readable").Bytes()
//	}
//	name := m.Get(family)
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
// HL7 tells a value that is not written from one that is to be deleted, which
// is written "". Reading text gives "" for both; [Message.Lookup] tells them
// apart. The two quotation marks are never a value.
//
// # What is tolerated
//
// Feeds depart from the standard in known ways. Those that can be read without
// a guess are, and leave a [Warning]; see [Parser] and the warnings for the
// list. The rest is a [ParseError], which says where the fault is and never
// what was there.
//
// # Answers
//
// [Reply] begins an answer in the request's own delimiters, character set and
// version, and a [Builder] adds segments. It cannot write a value that breaks
// the structure of a message or of an MLLP frame.
package hl7v2
