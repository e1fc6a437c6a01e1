package smsptest

import (
	"bytes"
	"encoding/xml"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
)

// answer is a response code and what goes with it.
type answer struct {
	code   string
	person *pdstest.Person // nil when the code has none, or nobody was found
}

// withPatient are the codes of smsp.md section 8 that bring demographics.
var withPatient = map[string]bool{"SMSP-0000": true, "SMSP-0003": true, "DEMOG-0017": true}

// appendAnswer appends the whole response.
func appendAnswer(b []byte, op *operation, req *Request, a answer) []byte {
	if !withPatient[a.code] {
		a.person = nil
	}
	id := newIDs("message", "tracking", "payload", "document")
	return op.answer.fill(b, func(b []byte, hole string) []byte {
		switch hole {
		case "relates":
			return append(b, req.MessageID...)
		case "code":
			return appendText(b, a.code)
		case "body":
			return op.body(b, req, a)
		}
		return append(b, id[hole]...)
	})
}

// appendVerified appends the body of smsp.md section 7.1. A number that is not verified
// comes back marked false; other negative answers have no body.
func appendVerified(b []byte, req *Request, a answer) []byte {
	number, verdict := req.NHSNumber, "false"
	switch {
	case a.person != nil:
		number, verdict = a.person.Record.NHSNumber.Digits(), "true"
	case a.code != "DEMOG-0040":
		return b
	}
	b = append(b, `<component typeCode="COMP"><validIdentifier classCode="OBS" moodCode="EVN">`+
		`<code code="VI" codeSystem="2.16.840.1.113883.2.1.3.2.4.17.287"/><value value="`...)
	b = append(b, verdict...)
	b = append(b, `"/><subject typeCode="SBJ"><patient classCode="PAT">`...)
	b = appendID(b, oidNHSNumber, number)
	return append(b, `</patient></subject></validIdentifier></component>`...)
}

// appendNumber appends the body of section 7.2: the number, and the local id echoed.
func appendNumber(b []byte, req *Request, a answer) []byte {
	if a.person == nil {
		return b
	}
	b = append(b, `<subject typeCode="SBJ"><patient classCode="PAT">`...)
	b = appendIDs(b, req, a.person)
	return append(b, `</patient></subject>`...)
}

// appendDetails appends the body of section 7.3. What is not known is left out.
func appendDetails(b []byte, req *Request, a answer) []byte {
	if a.person == nil {
		return b
	}
	p := a.person.Disclosed()
	b = append(b, `<subject typeCode="SBJ"><patient classCode="PAT">`...)
	b = appendIDs(b, req, a.person)
	b = appendName(b, p)
	b = appendAddress(b, "H", p.Home)
	b = appendAddress(b, "TMP", p.Temporary)
	b = appendAddress(b, "PST", p.Postal)
	b = appendTelecom(b, "HP", "tel:", p.Phone)
	b = appendTelecom(b, "MC", "tel:", p.Mobile)
	b = appendTelecom(b, "HP", "mailto:", p.Email)
	b = append(b, `<patientPerson classCode="PSN" determinerCode="INSTANCE">`...)
	b = append(b, `<administrativeGenderCode code="`...)
	b = append(b, p.Sex.Code()...)
	b = append(b, `" codeSystem="`+oidGender+`"/>`...)
	b = appendTime(b, "birthTime", a.person.BirthTime)
	b = appendTime(b, "deceasedTime", p.DeathTime)
	b = appendPractice(b, p)
	return append(b, `</patientPerson></patient></subject>`...)
}

func appendIDs(b []byte, req *Request, p *pdstest.Person) []byte {
	b = appendID(b, oidNHSNumber, p.Record.NHSNumber.Digits())
	if req.Who.LocalID != "" {
		b = appendID(b, req.LocalRoot, req.Who.LocalID)
	}
	return b
}

func appendID(b []byte, root, extension string) []byte {
	b = append(b, `<id root="`...)
	b = appendText(b, root)
	b = append(b, `" extension="`...)
	b = appendText(b, extension)
	return append(b, `"/>`...)
}

// appendName puts all further forenames into the second given, of which there is one.
func appendName(b []byte, p pds.Patient) []byte {
	b = append(b, `<name use="L">`...)
	if p.Title != "" {
		b = appendElement(b, "prefix", p.Title)
	}
	for i, given := range p.Given {
		if i > 1 {
			b = append(b[:len(b)-len("</given>")], ' ')
			b = appendText(b, given)
			b = append(b, "</given>"...)
			continue
		}
		b = appendElement(b, "given", given)
	}
	b = appendElement(b, "family", p.Family)
	return append(b, `</name>`...)
}

func appendAddress(b []byte, use string, a pds.Address) []byte {
	if a.IsZero() {
		return b
	}
	b = append(b, `<addr use="`+use+`">`...)
	if a.Postcode != "" {
		b = appendElement(b, "postalCode", a.Postcode)
	}
	for _, line := range a.Lines {
		b = appendElement(b, "streetAddressLine", line)
	}
	return append(b, `</addr>`...)
}

func appendTelecom(b []byte, use, scheme, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, `<telecom use="`+use+`" value="`+scheme...)
	b = appendText(b, value)
	return append(b, `"/>`...)
}

func appendTime(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return append(b, `<`+name+` value="`+value+`"/>`...)
}

func appendPractice(b []byte, p pds.Patient) []byte {
	if p.PracticeCode == "" {
		return b
	}
	b = append(b, `<gPPractice classCode="SDLOC"><locationOrganization classCode="ORG" determinerCode="INSTANCE">`...)
	b = appendID(b, oidPractice, p.PracticeCode)
	if p.PracticeName != "" {
		b = appendElement(b, "name", p.PracticeName)
	}
	return append(b, `</locationOrganization></gPPractice>`...)
}

func appendElement(b []byte, name, text string) []byte {
	b = append(b, '<')
	b = append(b, name...)
	b = append(b, '>')
	b = appendText(b, text)
	b = append(b, '<', '/')
	b = append(b, name...)
	return append(b, '>')
}

// appendText escapes text for an element or an attribute.
func appendText(b []byte, text string) []byte {
	w := bytes.NewBuffer(b)
	_ = xml.EscapeText(w, []byte(text)) // a buffer takes everything
	return w.Bytes()
}

// itkErrors are the texts of the ITK error codes (smsp.md section 9).
var itkErrors = map[string]struct{ faultcode, text string }{
	"1000": {"Client", "Invalid message"},
	"2100": {"Server", "Processing error (retryable)"},
	"2200": {"Server", "Processing error (not retryable)"},
	"3000": {"Client", "Access denied"},
}

// appendFault appends a SOAP fault. problem says where a message is malformed.
func appendFault(b []byte, relates, code, problem string) []byte {
	itk, known := itkErrors[code]
	if !known {
		itk.faultcode, itk.text = "Server", "Unspecified error"
	}
	id := newIDs("message", "document")
	return faultTemplate.fill(b, func(b []byte, hole string) []byte {
		switch hole {
		case "relates":
			if upperUUID(relates) {
				b = append(b, `<wsa:RelatesTo>`+relates+`</wsa:RelatesTo>`...)
			}
			return b
		case "faultcode":
			return append(b, itk.faultcode...)
		case "text":
			return append(b, itk.text...)
		case "code":
			return appendText(b, code)
		case "problem":
			return appendText(b, problem)
		}
		return append(b, id[hole]...)
	})
}
