package smsptest

import "spinetrace/pds"

const servicePrefix = "urn:nhs-itk:services:201005:"

// operation is a row of smsp.md section 1.
type operation struct {
	want     pds.Want
	searches bool     // by demographics only: partial dates and wildcards may work
	params   []string // of the request, in order; "?" after those that may be left out
	response string   // root, code and profile of the response
	body     func(b []byte, req *Request, a answer) []byte

	action  string // SOAPAction, wsa:Action and service of the request
	root    string // of the request's payload
	code    string // of the request, and the end of its profile
	request element
	answer  template
}

// operations are the five services by name. It is complete once the program has started
// and never changes.
var operations = complete(map[string]*operation{
	"verifyNHSNumber": {
		want:     pds.Verify,
		params:   []string{"DateOfBirth", "NHSNumber", "Name?"},
		response: "verifyNHSNumberResponse-v1-0",
		body:     appendVerified,
	},
	"getNHSNumber": {
		want:     pds.Number,
		searches: true,
		params:   []string{"DateOfBirth", "Gender", "LocalIdentifier?", "Name", "Postcode?"},
		response: "getNHSNumberResponse-v1-0",
		body:     appendNumber,
	},
	"getPatientDetailsByNHSNumber": {
		want:     pds.DetailsByNumber,
		params:   []string{"DateOfBirth", "LocalIdentifier?", "NHSNumber", "Name?"},
		response: "getPatientDetailsResponse-v1-0",
		body:     appendDetails,
	},
	"getPatientDetailsBySearch": {
		want:     pds.DetailsBySearch,
		searches: true,
		params:   []string{"DateOfBirth", "Gender", "LocalIdentifier?", "Name", "Postcode?"},
		response: "getPatientDetailsResponse-v1-0",
		body:     appendDetails,
	},
	"getPatientDetails": {
		want: pds.Details,
		// The one root without "Request" (smsp.md section 1).
		root:     "getPatientDetails-v1-0",
		params:   []string{"DateOfBirth", "Gender?", "LocalIdentifier?", "NHSNumber?", "Name?", "Postcode?"},
		response: "getPatientDetailsResponse-v1-0",
		body:     appendDetails,
	},
})

// complete derives what follows from an operation's name.
func complete(ops map[string]*operation) map[string]*operation {
	for name, op := range ops {
		op.action = servicePrefix + name + "-v1-0"
		op.code = name + "Request-v1-0"
		if op.root == "" {
			op.root = op.code
		}
		op.request = envelope(op)
		op.answer = answerTemplate(op)
	}
	return ops
}
