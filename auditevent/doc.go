// Package auditevent turns the journal into FHIR R4 AuditEvents, one JSON object a line, for the
// tools that a trust already watches its systems with.
//
// What one event of the journal says is often half of what an auditor asks for: that a message
// came is one event, how it was answered another. An AuditEvent tells of both. It stands where the
// first of them stands in the journal, so that the same row always makes the same AuditEvent, and
// a period has those that began in it:
//
//   - a message that came, with how it was answered, each time that it came;
//   - a call to a national service, with how it ended, or that no end is recorded;
//   - an attempt at a letter;
//   - each look at the audit, and each decision, of a person;
//   - each thing that the service did or noticed by itself.
//
// Types are those of DICOM that ATNA uses, transactions those of IHE ITI as far as there is one,
// and beside them the journal's own word. Source is who sends the question, destination who is
// asked, as in IHE's Basic Audit Log Patterns. Exactly one agent is the requestor: the person if one is
// known. The id is the row's hash; the entities of role 13 name the rows.
//
//	x := auditevent.Exporter{Journal: db, ODS: "RXX"}
//	line, err := x.Line(ctx, event)
package auditevent
