package smsptest

import "strings"

// OIDs of smsp.md section 14.
const (
	oidNHSNumber = "2.16.840.1.113883.2.1.4.1"
	oidGender    = "2.16.840.1.113883.2.1.3.2.4.16.25"
	oidMessage   = "2.16.840.1.113883.2.1.3.2.4.17.284"
	oidPractice  = "2.16.840.1.113883.2.1.3.2.4.19.2"
)

// envelope is the grammar of an operation's whole request (smsp.md sections 4 and 5).
func envelope(op *operation) element {
	return branch(nsSOAP, "Envelope", nil,
		headers(op),
		branch(nsSOAP, "Body", nil,
			branch(nsITK, "DistributionEnvelope", nil,
				itkHeader(op),
				branch(nsITK, "payloads", []attribute{must("count", is("1"))},
					branch(nsITK, "payload", []attribute{must("id", ncName)}, payload(op))))))
}

func headers(op *operation) element {
	notUnderstood := may("mustUnderstand", is("0"))
	notUnderstood.name.space = nsSOAP
	wsuID := must("Id", ncName)
	wsuID.name.space = nsWSU
	security := branch(nsWSSE, "Security", []attribute{notUnderstood},
		branch(nsWSU, "Timestamp", []attribute{wsuID},
			leaf(nsWSU, "Created", utcSecond),
			leaf(nsWSU, "Expires", utcSecond)),
		branch(nsWSSE, "UsernameToken", nil, leaf(nsWSSE, "Username", nonEmpty)))
	security.anyOrder = true
	header := branch(nsSOAP, "Header", nil,
		leaf(nsWSA, "MessageID", upperUUID),
		leaf(nsWSA, "Action", is(op.action)),
		leaf(nsWSA, "To", nonEmpty),
		branch(nsWSA, "From", nil, leaf(nsWSA, "Address", nonEmpty)),
		security)
	header.anyOrder = true
	return header
}

func itkHeader(op *operation) element {
	identity := branch(nsITK, "id", []attribute{must("uri", nonEmpty), may("type", oid)})
	identity.repeated = 4
	item := branch(nsITK, "manifestitem", []attribute{
		must("id", ncName), must("mimetype", is("text/xml")),
		must("profileid", is("urn:nhs-en:profile:"+op.code)),
		may("base64", is("false")), may("compressed", is("false")),
		may("encrypted", is("false")), may("metadata", is("false")),
	})
	return branch(nsITK, "header", []attribute{must("service", is(op.action)), must("trackingid", upperUUID)},
		branch(nsITK, "auditIdentity", nil, identity),
		branch(nsITK, "manifest", []attribute{must("count", is("1"))}, item),
		optional(branch(nsITK, "senderAddress", []attribute{must("uri", nonEmpty), may("type", oid)})))
}

// payload is the grammar of smsp.md section 6.
func payload(op *operation) element {
	query := branch(nsHL7, "queryEvent", nil)
	for _, kind := range op.params {
		kind, mayBeLeftOut := strings.CutSuffix(kind, "?")
		p := parameter(kind)
		p.optional = mayBeLeftOut
		query.kids = append(query.kids, p)
	}
	return branch(nsHL7, op.root,
		[]attribute{must("classCode", is("CACT")), must("moodCode", is("EVN"))},
		branch(nsHL7, "id", []attribute{must("root", upperUUID)}),
		branch(nsHL7, "code", []attribute{must("code", is(op.code)), must("codeSystem", is(oidMessage))}),
		query)
}

func parameter(kind string) element {
	value := values()[kind]
	value.name = name{nsHL7, "value"}
	kind = "Person." + kind
	return branch(nsHL7, kind, nil, value, leaf(nsHL7, "semanticsText", is(kind)))
}

// values is what each parameter's value may be in form; what it may mean is a matter of
// the input rules.
func values() map[string]element {
	return map[string]element{
		"DateOfBirth":     {attrs: []attribute{must("value", digits)}},
		"Gender":          {attrs: []attribute{must("code", gender), must("codeSystem", is(oidGender))}},
		"LocalIdentifier": {attrs: []attribute{must("root", oid), must("extension", nonEmpty)}},
		"NHSNumber":       {attrs: []attribute{must("root", is(oidNHSNumber)), must("extension", nonEmpty)}},
		"Name": {kids: []element{
			optional(leaf(nsHL7, "given", anything)), optional(leaf(nsHL7, "family", anything)),
		}},
		"Postcode": {kids: []element{leaf(nsHL7, "postalCode", anything)}},
	}
}
