package smsptest

import (
	"net/http"
	"strings"
	"time"

	"github.com/beevik/etree"

	"spinetrace/pds"
)

// Request is what a client sent, and what became of it.
type Request struct {
	Operation  string // for example getNHSNumber; "" when it could not be told
	MessageID  string // wsa:MessageID
	TrackingID string // of the ITK header
	PayloadID  string // of the envelope's payload
	DocumentID string // the payload's own id
	To, From   string // wsa:To, wsa:From/wsa:Address
	Username   string
	Sender     string   // senderAddress
	Identities []string // auditIdentity: "TYPE=URI", or "URI" where no type is given

	NHSNumber string // as sent
	BirthDate string // as sent
	Who       pds.Demographics
	LocalRoot string // the root of Who.LocalID

	Header  http.Header // of the HTTP request
	Body    []byte
	Problem string // where the message is malformed; "" when it is not
	Answer  string // a response code, "fault:CODE", a status, garbage, reset or hang; "" until then
}

// readRequest reads a message strictly. What could be read is there even with a Problem.
func readRequest(header http.Header, body []byte, now time.Time) *Request {
	req := &Request{Header: header, Body: body}
	root, err := parse(body)
	if err != nil {
		req.Problem = err.Error()
		return req
	}
	action := at(root, "Header", "Action").Text()
	req.Operation = strings.TrimSuffix(strings.TrimPrefix(action, servicePrefix), "-v1-0")
	op := operations[req.Operation]
	if op == nil {
		req.Operation, req.Problem = "", "Envelope/Header/Action names no service of ours"
		return req
	}
	req.fill(root, op)
	req.Problem = op.request.check(root)
	if req.Problem == "" {
		req.Problem = crossChecks(root, header, op, now)
	}
	return req
}

// fill takes everything of interest out of the message.
func (r *Request) fill(root *etree.Element, op *operation) {
	headers, itk := at(root, "Header"), at(root, "Body", "DistributionEnvelope")
	r.MessageID = at(headers, "MessageID").Text()
	r.To = at(headers, "To").Text()
	r.From = at(headers, "From", "Address").Text()
	r.Username = at(headers, "Security", "UsernameToken", "Username").Text()
	r.TrackingID = attr(at(itk, "header"), "trackingid")
	r.Sender = attr(at(itk, "header", "senderAddress"), "uri")
	for id := range at(itk, "header", "auditIdentity").ChildElementsSeq() {
		identity := attr(id, "uri")
		if kind := attr(id, "type"); kind != "" {
			identity = kind + "=" + identity
		}
		r.Identities = append(r.Identities, identity)
	}
	slot := at(itk, "payloads", "payload")
	r.PayloadID = attr(slot, "id")
	r.DocumentID = attr(at(slot, op.root, "id"), "root")
	r.question(at(slot, op.root, "queryEvent"))
}

func (r *Request) question(query *etree.Element) {
	value := func(name string) *etree.Element { return at(query, "Person."+name, "value") }
	r.NHSNumber = attr(value("NHSNumber"), "extension")
	r.BirthDate = attr(value("DateOfBirth"), "value")
	r.LocalRoot = attr(value("LocalIdentifier"), "root")
	r.Who = pds.Demographics{
		Family:   at(value("Name"), "family").Text(),
		Given:    at(value("Name"), "given").Text(),
		Postcode: at(value("Postcode"), "postalCode").Text(),
		LocalID:  attr(value("LocalIdentifier"), "extension"),
	}
	if code := attr(value("Gender"), "code"); code != "" {
		r.Who.Sex = pds.Sex(code[0])
	}
	r.Who.BirthDate, _ = pds.ParseDate(r.BirthDate) // the input rules look at the text
}

// crossChecks are the rules that tie two places together.
func crossChecks(root *etree.Element, header http.Header, op *operation, now time.Time) string {
	itk := at(root, "Body", "DistributionEnvelope")
	switch {
	case !mediaType(header.Get("Content-Type")):
		return "HTTP Content-Type is not text/xml in UTF-8"
	case len(header.Values("SOAPAction")) != 1:
		return "HTTP SOAPAction missing or repeated"
	case strings.Trim(header.Get("SOAPAction"), `"`) != op.action:
		return "HTTP SOAPAction differs from Envelope/Header/Action"
	case attr(at(itk, "header", "manifest", "manifestitem"), "id") != attr(at(itk, "payloads", "payload"), "id"):
		return "manifestitem/@id differs from payload/@id"
	case !current(at(root, "Header", "Security", "Timestamp"), now):
		return "Envelope/Header/Security/Timestamp is not current"
	}
	return ""
}

func mediaType(s string) bool {
	kind, parameters, _ := strings.Cut(strings.ToLower(s), ";")
	parameters = strings.Trim(strings.TrimSpace(parameters), `"`)
	return strings.TrimSpace(kind) == "text/xml" &&
		(parameters == "" || strings.ReplaceAll(parameters, `"`, "") == "charset=utf-8")
}

// current tells whether now lies between Created and Expires. Created has whole seconds,
// so a clock that agrees may still be most of one ahead when a fraction was rounded up.
func current(stamp *etree.Element, now time.Time) bool {
	created, err1 := time.Parse(time.RFC3339, at(stamp, "Created").Text())
	expires, err2 := time.Parse(time.RFC3339, at(stamp, "Expires").Text())
	return err1 == nil && err2 == nil && !now.Add(time.Second).Before(created) && now.Before(expires)
}
