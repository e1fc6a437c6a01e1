package hl7v2

import (
	"strings"
	"time"
)

// Header is what an answer, or a message that we originate, says about itself.
type Header struct {
	// Application and Facility are our own names, for MSH-3 and MSH-4. In an
	// answer they stand where the request's MSH-5 or MSH-6 is empty or ROUTE.
	Application, Facility string
	// Own writes Application and Facility whatever the request says.
	Own bool
	// ReceivingApplication and ReceivingFacility, if not empty, replace the
	// request's MSH-3 and MSH-4 in MSH-5 and MSH-6.
	ReceivingApplication, ReceivingFacility string
	// Type is MSH-9, its parts joined by '^': "ADR^A19^ADR_A19". Empty is the
	// plain acknowledgement, [AckType].
	Type string
	// ControlID is MSH-10: new and unique, at most 20 letters and digits.
	ControlID string
	// AcceptAck and ApplicationAck are MSH-15 and MSH-16: which acknowledgements a
	// receiver in enhanced mode is to send (table 0155).
	AcceptAck, ApplicationAck string
	// Time is MSH-7, written in its own location. The zero time leaves it empty.
	Time time.Time
	// TimeFormat says what is written of Time. The zero value is YYYYMMDDHHMMSS,
	// the custom in the UK.
	TimeFormat TimeFormat
	// ASCII writes text without accents, for peers that take nothing above
	// 0x7E. What is echoed from the request stays as it is.
	ASCII bool
}

// AckType returns MSH-9 of a plain acknowledgement of m: `ACK` before v2.4,
// `ACK^<event>^ACK` from then on. It is `ACK` when m is nil or has no event.
func AckType(m *Message) string {
	if m != nil && m.AtLeast("2.4") {
		if event := m.event(); event != "" {
			return "ACK^" + event + "^ACK"
		}
	}
	return "ACK"
}

// Reply begins an answer to a message with its MSH segment. The answer has the
// request's delimiters, or the standard ones where those are incomplete; its
// character set, version (2.4 when unreadable), processing id and country; and
// sender and receiver exchanged, with all their components and bytes. A nil
// message gives the answer to a frame that has no readable MSH.
func Reply(to *Message, h Header) *Builder {
	b := newBuilder(to, h.ASCII)
	b.header(&h)
	return b
}

// Originate begins a message of our own that follows from another, such as the
// A31 that brings a traced number home: [Reply] with Header.Own set.
func Originate(source *Message, h Header) *Builder {
	h.Own = true
	return Reply(source, h)
}

// newBuilder settles how an answer to a message is written.
func newBuilder(to *Message, ascii bool) *Builder {
	b := &Builder{to: to, version: defaultVersion}
	b.buf = b.array[:0]
	b.codec.delims = standardDelimiters()
	if to == nil {
		return b
	}
	b.codec.charset = to.charset
	b.version = effectiveVersion(to.Version())
	b.foreign = to.guessed || !to.delims.complete()
	if !b.foreign {
		b.codec.delims = to.delims
	}
	if ascii {
		b.foreign = b.foreign || to.charset.multi() // whose echoes are not bytes of the answer
		b.codec.charset = ASCII
	}
	return b
}

// headerMarks begins a header segment with its first two fields.
func (b *Builder) headerMarks(name string) {
	b.buf = append(b.buf, name...)
	d := b.codec.delims
	b.buf = append(b.buf, d.Field, d.Component, d.Repetition, d.Escape, d.Subcomponent)
	if d.Truncation != 0 {
		b.buf = append(b.buf, d.Truncation)
	}
	b.open, b.at = true, 2
}

// time writes the header's time.
func (b *Builder) time(field int, h *Header) {
	if !h.Time.IsZero() && b.advance(field) {
		b.buf = h.TimeFormat.append(b.buf, h.Time)
	}
}

// header writes MSH as section 3.3 of the reference says.
func (b *Builder) header(h *Header) {
	b.headerMarks("MSH")
	b.parties(h)
	b.time(7, h)
	b.messageType(h.Type)
	b.Text(10, h.ControlID)
	if processing := b.echo(11); processing != "" {
		b.Raw(11, processing)
	} else {
		b.Raw(11, "P")
	}
	b.Raw(12, b.version)
	b.Text(15, h.AcceptAck)
	b.Text(16, h.ApplicationAck)
	b.Raw(17, b.echo(17))
	if b.to != nil && b.to.named && !h.ASCII {
		set := b.echo(18)
		if b.to.charset != ISO2022JP { // which the repetitions make up together; else the first is that of the text
			set, _ = nth(set, b.codec.delims.Repetition, 1)
		}
		b.Raw(18, set)
	}
}

// parties writes fields 3 to 6, sender and receiver, which the headers of
// messages and of batches share.
func (b *Builder) parties(h *Header) {
	b.ours(3, 5, h.Application, h.Own)
	b.ours(4, 6, h.Facility, h.Own)
	b.theirs(5, 3, h.ReceivingApplication)
	b.theirs(6, 4, h.ReceivingFacility)
}

// ours writes our name: as the request gave it in a field of its header, unless
// it did not know.
func (b *Builder) ours(field, theirs int, name string, own bool) {
	if raw := b.echo(theirs); !own && raw != "" && raw != "ROUTE" {
		b.Raw(field, raw)
		return
	}
	b.Text(field, name)
}

// theirs writes the receiver's name: the request's sender, unless given.
func (b *Builder) theirs(field, theirs int, name string) {
	if name != "" {
		b.Text(field, name)
		return
	}
	b.Raw(field, b.echo(theirs))
}

// messageType writes MSH-9 from its parts joined by '^'.
func (b *Builder) messageType(joined string) {
	if joined == "" {
		b.ackType()
		return
	}
	b.Composite(9, strings.Split(joined, "^")...)
}

// ackType writes what [AckType] returns.
func (b *Builder) ackType() {
	if b.to != nil && compareVersions(b.version, "2.4") >= 0 {
		if event := b.to.event(); event != "" {
			b.Composite(9, "ACK", event, "ACK")
			return
		}
	}
	b.Text(9, "ACK")
}

// echo returns a raw field of the request's header, which is its first segment,
// in the answer's delimiters, "" when it is empty or null.
func (b *Builder) echo(field int) string {
	if b.to == nil || len(b.to.segs) == 0 {
		return ""
	}
	start, end, ok := b.to.field(0, field)
	if !ok || start == end || b.to.presence(b.to.text[start:end]) != Valued {
		return ""
	}
	return b.Echo(b.to.text[start:end])
}

// Echo returns a raw value of the request, such as a repetition or a whole field, in the
// answer's delimiters: as it is, unless the request's were incomplete. [Builder.Raw] and
// [Builder.Join] write what they are given; pass what comes from the request through Echo.
func (b *Builder) Echo(raw string) string {
	if !b.foreign || b.to == nil {
		return raw
	}
	return b.to.codec().translate(raw, b.codec)
}
