package smsp

import "spinetrace/pds"

// The namespaces of section 2. Elements are matched by these and their local names.
const (
	nsSOAP = "http://schemas.xmlsoap.org/soap/envelope/"
	nsWSA  = "http://www.w3.org/2005/08/addressing"
	nsITK  = "urn:nhs-itk:ns:201005"
	nsHL7  = "urn:hl7-org:v3"
	nsXSI  = "http://www.w3.org/2001/XMLSchema-instance"
)

// The object identifiers of section 14 that the client chooses by.
const (
	oidNHSNumber    = "2.16.840.1.113883.2.1.4.1"
	oidLocalID      = "2.16.840.1.113883.2.1.3.2.4.18.24"
	oidPractice     = "2.16.840.1.113883.2.1.3.2.4.19.2"
	oidCodes        = "2.16.840.1.113883.2.1.3.2.4.17.285"
	oidGenericCodes = "2.16.840.1.113883.2.1.3.2.4.17.500"
)

// A parameter is one thing that a request may say about the person. Their order is the
// schema's.
type parameter int

const (
	birthDate parameter = iota
	gender
	localID
	nhsNumber
	name
	postcode
	parameters
)

// An operation is one row of the tables of sections 1 and 6. The names are spelt out
// because they do not follow a rule: the root of getPatientDetails lacks "Request".
type operation struct {
	name    string      // of the service
	service string      // SOAPAction, wsa:Action and itk:header/@service
	root    string      // of the request's payload
	code    string      // of the request; its profile is profilePrefix and this
	takes   []parameter // allowed in the request
	answer  string      // root of the answer's payload; its profile is profilePrefix and this
	patient []string    // from that root to the patient
}

const profilePrefix = "urn:nhs-en:profile:"

var operations = [...]operation{
	pds.Verify: {
		name:    "verifyNHSNumber",
		service: "urn:nhs-itk:services:201005:verifyNHSNumber-v1-0",
		root:    "verifyNHSNumberRequest-v1-0",
		code:    "verifyNHSNumberRequest-v1-0",
		takes:   []parameter{birthDate, nhsNumber, name},
		answer:  "verifyNHSNumberResponse-v1-0",
		patient: []string{"component", "validIdentifier", "subject", "patient"},
	},
	pds.Number: {
		name:    "getNHSNumber",
		service: "urn:nhs-itk:services:201005:getNHSNumber-v1-0",
		root:    "getNHSNumberRequest-v1-0",
		code:    "getNHSNumberRequest-v1-0",
		takes:   []parameter{birthDate, gender, localID, name, postcode},
		answer:  "getNHSNumberResponse-v1-0",
		patient: []string{"subject", "patient"},
	},
	pds.DetailsByNumber: {
		name:    "getPatientDetailsByNHSNumber",
		service: "urn:nhs-itk:services:201005:getPatientDetailsByNHSNumber-v1-0",
		root:    "getPatientDetailsByNHSNumberRequest-v1-0",
		code:    "getPatientDetailsByNHSNumberRequest-v1-0",
		takes:   []parameter{birthDate, localID, nhsNumber, name},
		answer:  "getPatientDetailsResponse-v1-0",
		patient: []string{"subject", "patient"},
	},
	pds.DetailsBySearch: {
		name:    "getPatientDetailsBySearch",
		service: "urn:nhs-itk:services:201005:getPatientDetailsBySearch-v1-0",
		root:    "getPatientDetailsBySearchRequest-v1-0",
		code:    "getPatientDetailsBySearchRequest-v1-0",
		takes:   []parameter{birthDate, gender, localID, name, postcode},
		answer:  "getPatientDetailsResponse-v1-0",
		patient: []string{"subject", "patient"},
	},
	pds.Details: {
		name:    "getPatientDetails",
		service: "urn:nhs-itk:services:201005:getPatientDetails-v1-0",
		root:    "getPatientDetails-v1-0",
		code:    "getPatientDetailsRequest-v1-0",
		takes:   []parameter{birthDate, gender, localID, nhsNumber, name, postcode},
		answer:  "getPatientDetailsResponse-v1-0",
		patient: []string{"subject", "patient"},
	},
}
