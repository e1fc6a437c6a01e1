package exchange

import (
	"fmt"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// condition is a reason to refuse a message.
type condition uint8

const (
	noMSH condition = iota + 1
	noDelimiters
	badDelimiters
	notSegment
	wideCharset
	noType
	noControlID
	otherVersion
	otherProcessing
	otherMessage
	otherEvent
	otherRecipient
	unknownCharset
	inBatch
	noPID
	twoPIDs
	emptyPID
	tooLarge
	internalError
	unavailable
	noQRD
	noQPD
	noQueryName
	otherQuery
	noTag
	noSubject
	manySubjects
	otherSubject
	otherFormat
	deferred
	otherQuantity
	continued
	twoValues
	otherDomain
	noDomain
	unknownNumber
	badFilter
	badNumber
	badBirthDate
	partialBirthDate
	noBirthDate
	noFamily
	badSex
	noSex
	wildcard
	badQuestion
	notAnswered
	manyPatients
	noUser
	noRole
)

// nack is what a condition is answered with: the code of profile hl7, and the fault as
// table 0357 and the ERR segment have it.
type nack struct {
	code  hl7v2.AckCode
	kind  kind
	fault hl7v2.Fault
}

// kind says when the same message, sent again, would fare better.
type kind uint8

const (
	content kind = iota // never: the message is at fault
	setting             // when our settings change, or this program learns to serve it
	passing             // perhaps in a moment
)

// nacks is the only place where an error becomes words for a sender (spec/hl7v2.md 3.5,
// 5.2 to 5.6). None of them holds anything that was received.
var nacks = map[condition]nack{
	noMSH:            {hl7v2.AR, content, at(100, "No readable MSH", "MSH")},
	noDelimiters:     {hl7v2.AR, content, at(101, "Encoding characters missing", "MSH", 2)},
	badDelimiters:    {hl7v2.AR, content, at(102, "Encoding characters not usable", "MSH", 2)},
	notSegment:       {hl7v2.AE, content, at(100, "A line is not a segment", "MSH")},
	wideCharset:      {hl7v2.AR, content, at(102, "Character set cannot be used over MLLP", "MSH", 18)},
	noType:           {hl7v2.AR, content, at(101, "Message type missing", "MSH", 9)},
	noControlID:      {hl7v2.AR, content, at(101, "Message control id missing", "MSH", 10)},
	otherVersion:     {hl7v2.AR, setting, at(203, "Unsupported version", "MSH", 12)},
	otherProcessing:  {hl7v2.AR, setting, at(202, "Unsupported processing id", "MSH", 11)},
	otherMessage:     {hl7v2.AR, setting, at(200, "Unsupported message type", "MSH", 9, 1, 1)},
	otherEvent:       {hl7v2.AR, setting, at(201, "Unsupported event code", "MSH", 9, 1, 2)},
	otherRecipient:   {hl7v2.AR, setting, at(101, "Not addressed to us", "MSH", 5)},
	unknownCharset:   {hl7v2.AR, setting, at(103, "Unknown character set", "MSH", 18)},
	inBatch:          {hl7v2.AR, setting, at(200, "Queries are not answered in a batch", "MSH", 9, 1, 1)},
	noPID:            {hl7v2.AE, content, at(100, "PID segment missing", "PID")},
	twoPIDs:          {hl7v2.AE, content, hl7v2.Fault{Code: 100, Segment: "PID", Sequence: 2, Text: "More than one PID segment"}},
	emptyPID:         {hl7v2.AE, content, at(101, "PID has neither identifier nor name", "PID", 3)},
	tooLarge:         {hl7v2.AR, setting, hl7v2.Fault{Code: 207}},
	internalError:    {hl7v2.AE, passing, hl7v2.Fault{Code: 207, Text: "Internal error"}},
	unavailable:      {hl7v2.AR, passing, hl7v2.Fault{Code: 207, Text: "Cannot be dealt with now"}},
	noQRD:            {hl7v2.AE, content, at(100, "QRD segment missing", "QRD")},
	noQPD:            {hl7v2.AE, content, at(100, "QPD segment missing", "QPD")},
	noQueryName:      {hl7v2.AE, content, at(101, "Query name missing", "QPD", 1)},
	otherQuery:       {hl7v2.AE, setting, at(103, "Query name not served", "QPD", 1)},
	noTag:            {hl7v2.AE, content, at(101, "Query tag missing", "QPD", 2)},
	noSubject:        {hl7v2.AE, content, at(101, "Who is asked about is missing", "QRD", 8)},
	manySubjects:     {hl7v2.AE, content, at(102, "One patient per query", "QRD", 8, 2)},
	otherSubject:     {hl7v2.AE, content, at(103, "Only DEM is served", "QRD", 9)},
	otherFormat:      {hl7v2.AE, content, at(103, "Only record format is served", "QRD", 2)},
	deferred:         {hl7v2.AE, content, at(103, "Only immediate answers are given", "RCP", 1)},
	otherQuantity:    {hl7v2.AE, content, at(103, "Quantity is counted in records only", "RCP", 2)},
	continued:        {hl7v2.AE, content, at(204, "Unknown continuation pointer", "DSC", 1)},
	twoValues:        {hl7v2.AE, content, at(102, "Two values for one field", "QPD", 3)},
	otherDomain:      {hl7v2.AE, setting, at(204, "Unknown identifier domain", "QPD", 8)},
	noDomain:         {hl7v2.AE, content, at(101, "Assigning authority required", "QPD", 3)},
	unknownNumber:    {hl7v2.AE, setting, at(204, "Unknown identifier", "QPD", 3)},
	badFilter:        {hl7v2.AE, content, at(102, "Parameter name not understood", "QPD", 3)},
	badNumber:        {hl7v2.AE, content, at(102, "NHS number not valid", "QPD", 3)},
	badBirthDate:     {hl7v2.AE, content, at(102, "Date of birth not valid", "QPD", 3)},
	partialBirthDate: {hl7v2.AE, setting, at(102, "Date of birth must be complete", "QPD", 3)},
	noBirthDate:      {hl7v2.AE, content, at(101, "Date of birth required", "QPD", 3)},
	noFamily:         {hl7v2.AE, content, at(101, "Family name or NHS number required", "QPD", 3)},
	badSex:           {hl7v2.AE, content, at(103, "Sex not valid", "QPD", 3)},
	noSex:            {hl7v2.AE, content, at(101, "Sex required", "QPD", 3)},
	wildcard:         {hl7v2.AE, setting, at(102, "Wildcards are not accepted", "QPD", 3)},
	badQuestion:      {hl7v2.AE, content, at(102, "The question was refused", "QPD", 3)},
	notAnswered:      {hl7v2.AE, passing, hl7v2.Fault{Code: 207, Text: "The question was refused"}},
	manyPatients:     {hl7v2.AE, setting, at(204, "Multiple matches", "QPD", 3)},
	noUser:           {hl7v2.AE, setting, at(101, "User required", "EVN", 5)},
	noRole:           {hl7v2.AE, setting, at(101, "Role profile required", "EVN", 5)},
}

// at places a fault: segment, then field, repetition and component as far as they are known.
func at(code int, text, segment string, place ...int) hl7v2.Fault {
	f := hl7v2.Fault{Code: code, Text: text, Segment: segment, Sequence: 1}
	for i, p := range []*int{&f.Field, &f.Repetition, &f.Component}[:len(place)] {
		*p = place[i]
	}
	return f
}

// Profile is how a site's senders read AE and AR (spec/hl7v2.md 3.2): they disagree about
// which of the two means "try again".
type Profile uint8

// The profiles.
const (
	HL7          Profile = iota // as HL7 has it: the table above
	Park                        // every permanent fault AE; AR only when it may succeed later
	ARValidation                // every permanent fault AR, a passing one AE
)

// ParseProfile reads "hl7", "park" or "ar_validation".
func ParseProfile(s string) (Profile, error) {
	for p, name := range []string{"hl7", "park", "ar_validation"} {
		if s == name {
			return Profile(p), nil
		}
	}
	return 0, fmt.Errorf("exchange: acknowledgement profile is not one of hl7, park, ar_validation")
}

// code is the acknowledgement code that a site's senders understand.
func (p Profile) code(n nack) hl7v2.AckCode {
	later := n.kind == passing
	switch {
	case p == Park && !later, p == ARValidation && later:
		return hl7v2.AE
	case p == ARValidation:
		return hl7v2.AR
	}
	return n.code
}

// refuse is the plan for a message that is at fault. m is nil when no MSH could be read. A
// refusal that our settings decide is not kept for a resend: once they are mended, the
// sender's next try must get through.
func (h *Handler) refuse(m *hl7v2.Message, c condition) plan {
	r := h.nackPlain(m, c)
	return plan{
		name:      "refused",
		query:     isQuery(m),
		unclaimed: m == nil || nacks[c].kind != content || c == noControlID,
		reply: func(_ pds.Result, err error) reply {
			if err != nil {
				return h.nackPlain(m, unavailable)
			}
			return r
		},
	}
}

// isQuery tells the messages whose senders wait for an answer, whatever happens.
func isQuery(m *hl7v2.Message) bool {
	if m == nil {
		return false
	}
	code, _, _ := m.Type()
	return code == "QRY" || code == "QBP" || code == "QCN"
}

// looksLikeAnswer is isAnswer for a message of which perhaps the header alone can be read.
func looksLikeAnswer(m *hl7v2.Message) bool {
	if m == nil {
		return false
	}
	code, _, _ := m.Type()
	return code == "RSP" || code == "ADR" || isAnswer(m)
}

// nackPlain is a plain ACK that refuses a message.
func (h *Handler) nackPlain(m *hl7v2.Message, c condition) reply {
	return h.nackText(m, c, nacks[c].fault.Text)
}

// nackText is nackPlain with another text for people. An answer is not refused, whatever is
// wrong with it.
func (h *Handler) nackText(m *hl7v2.Message, c condition, text string) reply {
	if looksLikeAnswer(m) {
		return unanswered()
	}
	n := nacks[c]
	n.fault.Text = text
	code := h.refusal(m, n)
	b := h.acknowledge(m, code, text)
	b.ERR(n.fault)
	r := n.reply(code)
	r.bytes = b.Bytes()
	return r
}

// reply is a refusal that lacks its bytes. What could not be dealt with now is not kept for a
// resend.
func (n nack) reply(code hl7v2.AckCode) reply {
	r := reply{ack: code, outcome: store.Rejected, reason: n.fault.Text}
	if n.fault.Code == 207 {
		r.outcome, r.forget = store.Failed, true
	}
	return r
}

// acknowledge begins an ACK.
func (h *Handler) acknowledge(m *hl7v2.Message, code hl7v2.AckCode, text string) *hl7v2.Builder {
	control := ""
	if m != nil {
		control = m.Raw(pathControlID)
	}
	if code == hl7v2.CA {
		text = "" // a commit says nothing of what becomes of the message
	}
	return hl7v2.Reply(m, h.header(h.AckType.of(m))).MSA(code, control, h.Results.say(text))
}

func (h *Handler) header(messageType string) hl7v2.Header {
	return hl7v2.Header{
		Application: h.Application, Facility: h.ODS, Own: h.OwnIdentity, Type: messageType,
		ControlID: h.NewControlID(), Time: h.Now().In(h.Location), TimeFormat: h.TimeFormat,
	}
}
