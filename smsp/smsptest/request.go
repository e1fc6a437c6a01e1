package smsptest

import (
	"net/http"
	"strings"
	"time"

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
	tree, err := parse(body)
	if err != nil {
		req.Problem = err.Error()
		return req
	}
	action := tree.at("Header", "Action").text
	req.Operation = strings.TrimSuffix(strings.TrimPrefix(action, servicePrefix), "-v1-0")
	op := operations[req.Operation]
	if op == nil {
		req.Operation, req.Problem = "", "Envelope/Header/Action names no service of ours"
		return req
	}
	req.fill(tree, op)
	req.Problem = op.request.check(tree)
	if req.Problem == "" {
		req.Problem = crossChecks(tree, header, op, now)
	}
	return req
}

// fill takes everything of interest out of the message.
func (r *Request) fill(tree *node, op *operation) {
	headers, itk := tree.at("Header"), tree.at("Body", "DistributionEnvelope")
	r.MessageID = headers.at("MessageID").text
	r.To = headers.at("To").text
	r.From = headers.at("From", "Address").text
	r.Username = headers.at("Security", "UsernameToken", "Username").text
	r.TrackingID = itk.at("header").attr("trackingid")
	r.Sender = itk.at("header", "senderAddress").attr("uri")
	for id := itk.at("header", "auditIdentity").first; id != nil; id = id.next {
		identity := id.attr("uri")
		if kind := id.attr("type"); kind != "" {
			identity = kind + "=" + identity
		}
		r.Identities = append(r.Identities, identity)
	}
	slot := itk.at("payloads", "payload")
	r.PayloadID = slot.attr("id")
	r.DocumentID = slot.at(op.root, "id").attr("root")
	r.question(slot.at(op.root, "queryEvent"))
}

func (r *Request) question(query *node) {
	value := func(name string) *node { return query.at("Person."+name, "value") }
	r.NHSNumber = value("NHSNumber").attr("extension")
	r.BirthDate = value("DateOfBirth").attr("value")
	r.LocalRoot = value("LocalIdentifier").attr("root")
	r.Who = pds.Demographics{
		Family:   value("Name").at("family").text,
		Given:    value("Name").at("given").text,
		Postcode: value("Postcode").at("postalCode").text,
		LocalID:  value("LocalIdentifier").attr("extension"),
	}
	if code := value("Gender").attr("code"); code != "" {
		r.Who.Sex = pds.Sex(code[0])
	}
	r.Who.BirthDate, _ = pds.ParseDate(r.BirthDate) // the input rules look at the text
}

// crossChecks are the rules that tie two places together.
func crossChecks(tree *node, header http.Header, op *operation, now time.Time) string {
	itk := tree.at("Body", "DistributionEnvelope")
	switch {
	case !mediaType(header.Get("Content-Type")):
		return "HTTP Content-Type is not text/xml in UTF-8"
	case len(header.Values("SOAPAction")) != 1:
		return "HTTP SOAPAction missing or repeated"
	case strings.Trim(header.Get("SOAPAction"), `"`) != op.action:
		return "HTTP SOAPAction differs from Envelope/Header/Action"
	case itk.at("header", "manifest", "manifestitem").attr("id") != itk.at("payloads", "payload").attr("id"):
		return "manifestitem/@id differs from payload/@id"
	case !current(tree.at("Header", "Security", "Timestamp"), now):
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
func current(stamp *node, now time.Time) bool {
	created, err1 := time.Parse(time.RFC3339, stamp.at("Created").text)
	expires, err2 := time.Parse(time.RFC3339, stamp.at("Expires").text)
	return err1 == nil && err2 == nil && !now.Add(time.Second).Before(created) && now.Before(expires)
}
