package exchange

import (
	"errors"
	"strings"

	"spinetrace/hl7v2"
)

// Enhanced acknowledgement mode (spec/hl7v2.md 3.1): a sender that fills MSH-15 or MSH-16
// asks for a commit acknowledgement, CA, CE or CR, and says in MSH-15 which of them it wants
// to see. A commit tells only that the message is stored, so the trace comes after it.
// Queries are answered with their response in either mode.

var (
	pathAcceptAck      = hl7v2.MustPath("MSH-15")
	pathApplicationAck = hl7v2.MustPath("MSH-16")
)

// accepts tells whether a message is acknowledged at commit level.
func (h *Handler) accepts(m *hl7v2.Message) bool {
	return h.Enhanced && m != nil && !isQuery(m) &&
		(m.Get(pathAcceptAck) != "" || m.Get(pathApplicationAck) != "")
}

// commitCodes are the commit level's codes for the application level's.
var commitCodes = map[hl7v2.AckCode]hl7v2.AckCode{hl7v2.AA: hl7v2.CA, hl7v2.AE: hl7v2.CE, hl7v2.AR: hl7v2.CR}

// level returns the code on the level that the message's sender asked for.
func (h *Handler) level(m *hl7v2.Message, code hl7v2.AckCode) hl7v2.AckCode {
	if h.accepts(m) {
		return commitCodes[code]
	}
	return code
}

// refusal returns the code of a refusal on the level that the message's sender asked for. CR
// is for what a header says; what is our own trouble is CE there.
func (h *Handler) refusal(m *hl7v2.Message, n nack) hl7v2.AckCode {
	if h.accepts(m) && n.fault.Code == hl7v2.CodeApplicationFailure {
		return hl7v2.CE
	}
	return h.level(m, h.Profile.code(n))
}

// sent returns what goes on the wire: the reply, unless the sender wants to hear nothing of
// this kind. The journal has it either way. A message that cannot be parsed, or of which only
// the beginning was kept, says what it wants in its header like any other.
func (x *exchange) sent(reply []byte, code hl7v2.AckCode) []byte {
	if !x.h.Enhanced {
		return reply
	}
	return x.h.wanted(x.header(), reply, code)
}

// header returns what can be read of the message, or of its header alone; nil if nothing can.
func (x *exchange) header() *hl7v2.Message {
	if x.m != nil {
		return x.m
	}
	return hl7v2.Head(x.frame)
}

// wanted returns the reply to m if its sender wants to see one of this code.
func (h *Handler) wanted(m *hl7v2.Message, reply []byte, code hl7v2.AckCode) []byte {
	if !h.accepts(m) {
		return reply
	}
	switch strings.ToUpper(m.Get(pathAcceptAck)) { // table 0155
	case "NE":
		return nil
	case "SU":
		if code != hl7v2.CA {
			return nil
		}
	case "ER":
		if code == hl7v2.CA {
			return nil
		}
	}
	return reply // AL, and whatever else: a sender that waits must not wait for ever
}

// AckType is the form of MSH-9 in plain acknowledgements. Peers disagree about it.
type AckType uint8

// The forms.
const (
	AckByVersion AckType = iota // ACK below version 2.4, ACK^A28^ACK from then on
	AckCodeOnly                 // ACK
	AckAndEvent                 // ACK^A28
	AckWhole                    // ACK^A28^ACK
)

var ackTypes = map[string]AckType{
	"version": AckByVersion, "ACK": AckCodeOnly, "ACK^event": AckAndEvent, "ACK^event^ACK": AckWhole,
}

// ParseAckType reads "version", "ACK", "ACK^event" or "ACK^event^ACK".
func ParseAckType(s string) (AckType, error) {
	t, ok := ackTypes[s]
	if !ok {
		return 0, errors.New("exchange: acknowledgement type is not one of version, ACK, ACK^event, ACK^event^ACK")
	}
	return t, nil
}

// of returns MSH-9 of the acknowledgement of m.
func (t AckType) of(m *hl7v2.Message) string {
	if t == AckByVersion || m == nil {
		return hl7v2.AckType(m)
	}
	_, event, _ := m.Type()
	switch {
	case t == AckCodeOnly || event == "":
		return "ACK"
	case t == AckAndEvent:
		return "ACK^" + event
	}
	return "ACK^" + event + "^ACK"
}
