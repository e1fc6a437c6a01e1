package exchange

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// The messages that bring a result home (spec/hl7v2.md 6.2): an A31 of our own, built from the
// bytes of the message that was traced, or that message itself with the result in it.

// UpdateProfile is what an A31 holds.
type UpdateProfile uint8

// The profiles.
const (
	UpdateMinimal UpdateProfile = iota // MSH, EVN, PID-3, 5, 7, 8 and 32, PV1: what is not known stays as the PAS has it
	UpdateCopy                         // all of the source message, with PID-3 and PID-32 changed
)

// ParseUpdateProfile reads "minimal" or "copy".
func ParseUpdateProfile(s string) (UpdateProfile, error) {
	switch s {
	case "minimal":
		return UpdateMinimal, nil
	case "copy":
		return UpdateCopy, nil
	}
	return 0, errors.New("exchange: update profile is not one of minimal, copy")
}

// updateMessage builds the A31 that brings r home to whoever sent m.
func (h *Handler) updateMessage(m *hl7v2.Message, r reply, controlID string) ([]byte, error) {
	header := h.header(updateType(m))
	header.ControlID = controlID
	switch h.Receiver {
	case "":
	case "ROUTE": // whoever wants it
		header.ReceivingApplication, header.ReceivingFacility = "ROUTE", "ROUTE"
	default:
		header.ReceivingApplication, header.ReceivingFacility, _ = strings.Cut(h.Receiver, "^")
	}
	b := hl7v2.Originate(m, header)
	h.updateEvent(b, m)
	if copied, err := h.enriched(m, r); h.UpdateProfile == UpdateCopy && err == nil {
		for s := range copied.Segments() {
			if s.Name() != "MSH" && s.Name() != "EVN" {
				b.RawSegment(s.Raw())
			}
		}
		return b.Bytes(), b.Err()
	}
	h.patientBack(b, m, r, h.NumberFirst)
	b.Segment("PV1").Raw(2, "N")
	return b.Bytes(), b.Err()
}

// updateType is MSH-9 of an A31. Structures have names since 2.3.1.
func updateType(m *hl7v2.Message) string {
	if m.AtLeast("2.3.1") {
		return "ADT^A31^ADT_A05"
	}
	return "ADT^A31"
}

// updateEvent writes EVN. EVN-5 names us, so that the update is known when it comes back.
func (h *Handler) updateEvent(b *hl7v2.Builder, m *hl7v2.Message) {
	occurred := m.Raw(pathOccurred)
	if occurred == "" {
		occurred = m.Raw(pathRecorded.Field())
	}
	b.Segment("EVN").
		Text(1, "A31").
		Text(2, h.Now().In(h.Location).Format("20060102150405")).
		Text(5, h.Application).
		Raw(6, b.Echo(occurred))
}

var pathOccurred = hl7v2.MustPath("EVN-6")

// enriched returns a copy of a message with a result in it; of a result that decides nothing, an
// equal one. Everything but PID-3 and PID-32 stays byte for byte.
func (h *Handler) enriched(m *hl7v2.Message, r reply) (*hl7v2.Message, error) {
	copied, err := h.Parser.Parse(m.Bytes())
	if err != nil || r.status == "" {
		return copied, err
	}
	b := hl7v2.Originate(copied, hl7v2.Header{})
	if b.Delimiters() != copied.Delimiters() {
		return nil, errDelimiters
	}
	mark := string(rune(copied.Delimiters().Repetition))
	err = errors.Join(
		copied.SetRaw(pathIdentifiers, strings.Join(h.identifiersBack(b, copied, r, h.NumberFirst), mark)),
		copied.SetRaw(pathReliability, strings.Join(statusBack(b, copied, r.status), mark)))
	if err != nil {
		return nil, fmt.Errorf("exchange: result into message: %w", err)
	}
	return copied, nil
}

// errDelimiters says that a message's delimiters are too few to write a result in.
var errDelimiters = errors.New("exchange: result into message: incomplete delimiters")

// patientBack writes the PID segment that brings the result home (product.md 4.6 b): the
// identifiers received, with the number found in place of the one sent, and the new status
// among the other reliability codes. What nobody decided on goes back as it came.
func (h *Handler) patientBack(b *hl7v2.Builder, m *hl7v2.Message, r reply, numberFirst bool) {
	b.Segment("PID").
		Raw(1, "1").
		Join(3, h.identifiersBack(b, m, r, numberFirst)).
		Raw(5, b.Echo(m.Raw(pathNames))).
		Raw(7, b.Echo(m.Raw(pathBirthDate.Field()))).
		Raw(8, b.Echo(m.Raw(pathSex.Field()))).
		Join(32, statusBack(b, m, r.status))
}

// identifiersBack returns the repetitions of PID-3 to send: unless the result says otherwise,
// those received, byte for byte. The NHS number goes where it was, to the front, or last.
func (h *Handler) identifiersBack(b *hl7v2.Builder, m *hl7v2.Message, r reply, numberFirst bool) []string {
	ids := h.identifiers(m)
	number := r.number.identifier(b, r.found)
	place := ids.used
	if place < 0 && len(ids.nhs) > 0 {
		place = ids.nhs[0]
	}
	var back []string
	put := func() {
		switch {
		case number == "":
		case numberFirst:
			back = slices.Insert(back, 0, number)
		default:
			back = append(back, number)
		}
	}
	for i, cx := range m.Repetitions(pathIdentifiers) {
		switch {
		case cx.IsNull() && !r.found.IsZero(): // "no identifiers" is not true any more
		case r.number == numberKept || !slices.Contains(ids.nhs, i):
			back = append(back, b.Echo(cx.Raw()))
		case i == place:
			put()
		case r.number == numberFound && !sameNumber(cx, r.found, ids.valid):
			back = append(back, b.Echo(cx.Raw()))
		}
	}
	if r.number == numberFound && place < 0 {
		put()
	}
	return back
}

// identifier is the repetition of PID-3 that takes the NHS number's place; "" if none does.
func (rule numberRule) identifier(b *hl7v2.Builder, found pds.NHSNumber) string {
	switch rule {
	case numberFound:
		return nhsIdentifier(b, found.Digits())
	case numberNulled:
		return nhsIdentifier(b, `""`)
	default:
		return ""
	}
}

// sameNumber tells whether a further repetition repeats the number sent or found.
func sameNumber(cx hl7v2.Repetition, found pds.NHSNumber, sent []pds.NHSNumber) bool {
	n, err := pds.ParseNHSNumber(strings.TrimSpace(cx.Component(1)))
	return err == nil && (n == found || slices.Contains(sent, n))
}

// nhsIdentifier is our output form of an NHS number as a CX.
func nhsIdentifier(b *hl7v2.Builder, digits string) string {
	mark := string(rune(b.Delimiters().Component))
	return strings.Join([]string{digits, "", "", "NHS", "NH"}, mark)
}

// statusBack returns the repetitions of PID-32 to send: the status in its place, else last.
func statusBack(b *hl7v2.Builder, m *hl7v2.Message, status string) []string {
	var back []string
	_, place := traceStatus(m)
	for i, r := range m.Repetitions(pathReliability) {
		switch {
		case i == place:
			back = append(back, status)
		case !r.IsNull() && !r.IsEmpty():
			back = append(back, b.Echo(r.Raw()))
		}
	}
	if place < 0 {
		back = append(back, status)
	}
	return back
}

// letterName makes the MSH-10 of a letter of ours from what it follows from: a result that is
// decided twice, by two instances, or by one before and after a crash, is told by one letter.
func letterName(exchange store.ID, kind store.LetterKind, o store.Outcome, generation int) string {
	sum := sha256.Sum256(binary.AppendUvarint(append(exchange[:], byte(kind), byte(o)), uint64(generation)))
	return "ST" + base32.StdEncoding.EncodeToString(sum[:])[:18]
}

// telling is what an update tells, to know it by when it comes back under another name.
type telling struct{ number, family, given, born, sex string }

// tells reads it from a message.
func (h *Handler) tells(m *hl7v2.Message, ids identifiers) telling {
	p := h.person(m, person{})
	n, _ := ids.number()
	return telling{n.Digits(), p.Family, p.Given, p.Born, p.Sex}
}

// mark is the digest of what is told, and a status.
func (t telling) mark(status string) store.Print {
	fields := []string{t.number, strings.ToUpper(t.family), strings.ToUpper(t.given), t.born, t.sex, status}
	sum := sha256.Sum256([]byte(strings.Join(fields, "\x00")))
	return store.Print(sum[:16])
}
