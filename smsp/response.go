package smsp

import (
	"errors"
	"strings"

	"github.com/beevik/etree"

	"spinetrace/pds"
)

// invalid is an answer that cannot be read or cannot be true. It is not asked for again:
// section 12 repeats only what the provider itself calls invalid, SMSP-0002.
func invalid(reason string) *pds.Error {
	return &pds.Error{Class: pds.ResponseInvalid, Err: errors.New(reason)}
}

const otherMessage = "RelatesTo names another message"

// readEnvelope applies the checks of section 10 in its order.
func (a *answer) readEnvelope(q *question) *pds.Error {
	// 1 and 2: XML, a SOAP envelope, one element in its Body.
	header, body, err := open(a.body)
	if err != nil {
		return invalid(err.Error())
	}
	a.messageID = messageID(header)
	// 3: a fault may come with status 200 too.
	if is(body, nsSOAP, "Fault") {
		return a.readFault(q, header, body)
	}
	if !relates(header, q.call.MessageID) {
		return invalid(otherMessage)
	}
	// 4: one payload that is plain XML.
	payload, fault := a.unwrap(q, body)
	if fault != nil {
		return fault
	}
	// 5: the payload is an answer to this operation.
	if !is(payload, nsHL7, q.op.answer) {
		return invalid("payload is not an answer to this operation")
	}
	// 6: the response code.
	if fault := a.classify(only(payload, nsHL7, "value")); fault != nil || !success(a.result.Outcome) {
		return fault
	}
	// 7 and 8: whom the answer is about.
	patient, fault := descend(payload, q.op.patient...)
	if fault == nil {
		fault = a.settle(q, payload, patient)
	}
	if fault != nil {
		a.result = pds.Result{}
		return fault
	}
	// 9: what it says about them.
	if success(a.result.Outcome) && q.want >= pds.DetailsByNumber {
		a.result.Patient = a.readPatient(patient)
	}
	return nil
}

// classify looks the response code up (section 8). Only a code of the table is a result.
func (a *answer) classify(value *etree.Element) *pds.Error {
	code := attr(value, "code")
	if code == "" {
		return invalid("no response code")
	}
	a.code = whole(code)
	if system := attr(value, "codeSystem"); system != oidCodes && system != oidGenericCodes {
		a.note("code system not expected")
	}
	a.reason = "response code"
	end := endingOf(code)
	if end.class != 0 {
		return &pds.Error{Class: end.class, Retry: end.retry, Err: errors.New(a.reason)}
	}
	a.result = pds.Result{Outcome: end.outcome, Code: code}
	return nil
}

func (a *answer) note(s string) { a.notes = append(a.notes, s) }

var (
	errNotSOAP = errors.New("not a SOAP 1.1 envelope")
	errBody    = errors.New("not one element in the SOAP body")
)

// open returns the header, nil if there is none, and the one element of the body.
func open(b []byte) (header, body *etree.Element, err error) {
	root, err := parse(b)
	if err != nil {
		return nil, nil, err
	}
	if !is(root, nsSOAP, "Envelope") {
		return nil, nil, errNotSOAP
	}
	body = content(only(root, nsSOAP, "Body"))
	if body == nil {
		return nil, nil, errBody
	}
	return child(root, nsSOAP, "Header"), body, nil
}

// messageID returns the answer's own id, which the contract leaves to the provider, if it
// has a reasonable length.
func messageID(header *etree.Element) string {
	id := text(child(header, nsWSA, "MessageID"))
	if len(id) > 128 {
		return ""
	}
	return id
}

// relates tells whether every RelatesTo that says something says id (section 4). The
// digits of a UUID are the same in either case.
func relates(header *etree.Element, id string) bool {
	for _, r := range children(header, nsWSA, "RelatesTo") {
		if to := text(r); to != "" && !strings.EqualFold(to, id) {
			return false
		}
	}
	return true
}

// unwrap takes the payload out of the distribution envelope. What a provider calls its
// service and profile is noted when it is not what was expected, no more: some
// interchange the two.
func (a *answer) unwrap(q *question, env *etree.Element) (*etree.Element, *pds.Error) {
	if !is(env, nsITK, "DistributionEnvelope") {
		return nil, invalid("not an ITK distribution envelope")
	}
	header := child(env, nsITK, "header")
	if s := attr(header, "service"); s != "" && s != q.op.service+"Response" {
		a.note("service not expected")
	}
	for _, item := range children(child(header, nsITK, "manifest"), nsITK, "manifestitem") {
		for _, key := range []string{"base64", "compressed", "encrypted"} {
			if v := attr(item, key); v == "true" || v == "1" {
				return nil, invalid("payload is " + key)
			}
		}
		if p := attr(item, "profileid"); p != "" && p != profilePrefix+q.op.answer {
			a.note("profile not expected")
		}
	}
	payload := content(only(only(env, nsITK, "payloads"), nsITK, "payload"))
	if payload == nil {
		return nil, invalid("not one payload")
	}
	return payload, nil
}

// settle decides whether an outcome that is a success is one (sections 7.1 and 10, steps 7 and 8).
func (a *answer) settle(q *question, payload, patient *etree.Element) *pds.Error {
	number, fault := returnedNumber(patient)
	if fault != nil {
		return fault
	}
	differs := q.byNumber() && number != q.number
	if a.result.Outcome != pds.Superseded {
		confirmed, fault := confirms(q, payload)
		if fault != nil {
			return fault
		}
		if !confirmed {
			a.result.Outcome, a.reason = pds.NotVerified, "valid identifier is false"
			return nil
		}
	}
	switch a.result.Outcome {
	case pds.Matched:
		if differs {
			a.result.Outcome, a.reason = pds.Superseded, "number differs from the one sent"
		}
	case pds.Superseded:
		if number == q.number {
			return invalid("superseding number equals the one sent")
		}
	case pds.Stale:
		// Nothing vouches for a replacement that Spine did not confirm.
		if differs {
			return invalid("local copy is of another number")
		}
	default: // no number was asked for
	}
	a.result.NHSNumber = number
	return checkBirth(q, patient)
}

// returnedNumber finds the NHS number by its root: a local identifier may come first.
func returnedNumber(patient *etree.Element) (number pds.NHSNumber, fault *pds.Error) {
	for _, id := range children(patient, nsHL7, "id") {
		if attr(id, "root") != oidNHSNumber {
			continue
		}
		digits := attr(id, "extension")
		n, err := pds.ParseNHSNumber(digits)
		if err != nil || n.Digits() != digits {
			return pds.NHSNumber{}, invalid("NHS number not valid")
		}
		if !number.IsZero() && n != number {
			return pds.NHSNumber{}, invalid("two NHS numbers")
		}
		number = n
	}
	if number.IsZero() {
		return number, invalid("no NHS number")
	}
	return number, nil
}

// confirms reads the flag of a verification, which can withdraw a success and never
// grants one. The other operations have none.
func confirms(q *question, payload *etree.Element) (bool, *pds.Error) {
	if q.want != pds.Verify {
		return true, nil
	}
	flag, fault := descend(payload, "component", "validIdentifier", "value")
	if fault != nil {
		return false, fault
	}
	switch attr(flag, "value") {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid("valid identifier is neither true nor false")
}

// checkBirth refuses somebody else: a returned birth date agrees with the one sent, to
// the precision of the shorter.
func checkBirth(q *question, patient *etree.Element) *pds.Error {
	birth, fault := descend(patient, "patientPerson", "birthTime")
	if fault != nil {
		return fault
	}
	returned := attr(birth, "value")
	if returned == "" {
		return nil
	}
	born, ok := readDate(returned)
	if !ok {
		return invalid("birth date not a date")
	}
	if !born.Agrees(q.born) {
		return invalid("birth date differs")
	}
	return nil
}

// descend follows the child of each name, nil where there is none. The schema allows one of
// each: of two patients nobody knows which was meant.
func descend(e *etree.Element, names ...string) (*etree.Element, *pds.Error) {
	for _, n := range names {
		all := children(e, nsHL7, n)
		switch len(all) {
		case 0:
			return nil, nil
		case 1:
			e = all[0]
		default:
			return nil, invalid("more than one " + n)
		}
	}
	return e, nil
}
