package smsp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// A change is a replacement in an example; the text to replace must be there.
type change struct{ from, to string }

func changed(t *testing.T, file string, changes ...change) string {
	t.Helper()
	s := example(t, file)
	for _, c := range changes {
		if !strings.Contains(s, c.from) {
			t.Fatalf("%s has no %s", file, c.from)
		}
		s = strings.ReplaceAll(s, c.from, c.to)
	}
	return s
}

const (
	success21  = "21-getNHSNumber-response-success.xml"
	success31  = "31-getPatientDetails-response-success-full.xml"
	stale37    = "37-getPatientDetails-response-local-store.xml"
	prefixes39 = "39-getPatientDetails-response-other-prefixes.xml"
	fault42    = "42-fault-2100-retryable.xml"
)

// TestRules makes one change to a good answer each time.
func TestRules(t *testing.T) {
	byNumber, search, both := full(pds.DetailsByNumber), full(pds.Number), full(pds.Details)
	coded := func(code string) *pds.Error {
		return &pds.Error{Class: pds.ResponseInvalid, Code: code, Status: 200}
	}
	invalid, untrue := coded(""), coded("SMSP-0000")
	for name, tt := range map[string]struct {
		ask     pds.Request
		file    string
		changes []change
		outcome pds.Outcome
		number  pds.NHSNumber
		reason  string
		err     *pds.Error
	}{
		// Steps 1 and 2.
		"doctype": {
			ask: marigoldVerify(), file: success11, reason: "DOCTYPE refused", err: invalid,
			changes: []change{{"<soap:Envelope ", `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><soap:Envelope `}},
		},
		"doctype inside": {
			ask: marigoldVerify(), file: success11, reason: "DOCTYPE refused", err: invalid,
			changes: []change{{"<soap:Body>", `<!DOCTYPE x SYSTEM "file:///etc/passwd"><soap:Body>`}},
		},
		"entity": {
			ask: marigoldVerify(), file: success11, reason: "not XML", err: invalid,
			changes: []change{{"SMSP-0000", "&bomb;"}},
		},
		"deep": {
			ask: marigoldVerify(), file: success11, reason: "too much XML", err: invalid,
			changes: []change{{"<soap:Body>", strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100) + "<soap:Body>"}},
		},
		"wide": {
			ask: marigoldVerify(), file: success11, reason: "too much XML", err: invalid,
			changes: []change{{"<soap:Body>", strings.Repeat("<a/>", 50_000) + "<soap:Body>"}},
		},
		"many attributes": {
			ask: marigoldVerify(), file: success11, reason: "too much XML", err: invalid,
			changes: []change{{"<soap:Body>", "<soap:Body" + strings.Repeat(` a=""`, 1000) + ">"}},
		},
		"attribute twice": {
			ask: marigoldVerify(), file: success11, reason: "not XML", err: invalid,
			changes: []change{{`code="SMSP-0000"`, `code="DEMOG-0001" code="SMSP-0000"`}},
		},
		"two roots": {
			ask: marigoldVerify(), file: success11, reason: "not one XML document", err: invalid,
			changes: []change{{"</soap:Envelope>", "</soap:Envelope><x/>"}},
		},
		"unfinished": {
			ask: marigoldVerify(), file: success11, reason: "not XML", err: invalid,
			changes: []change{{"</soap:Envelope>", ""}},
		},
		"SOAP 1.2": {
			ask: marigoldVerify(), file: success11, reason: "not a SOAP 1.1 envelope", err: invalid,
			changes: []change{{nsSOAP, "http://www.w3.org/2003/05/soap-envelope"}},
		},
		"empty body": {
			ask: marigoldVerify(), file: success11, reason: "not one element in the SOAP body", err: invalid,
			changes: []change{{"<soap:Body>", "<soap:Body/><soap:Ignored>"}, {"</soap:Body>", "</soap:Ignored>"}},
		},
		"two in the body": {
			ask: marigoldVerify(), file: success11, reason: "not one element in the SOAP body", err: invalid,
			changes: []change{{"<soap:Body>", "<soap:Body><x/>"}},
		},
		"latin 1": {
			ask: marigoldVerify(), file: success11, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{"UTF-8", "ISO-8859-1"}, {"<soap:Body>", "<soap:Body><!-- \xe9 -->"}},
		},
		"ASCII": {
			ask: marigoldVerify(), file: success11, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{"UTF-8", "us-ascii"}},
		},
		"windows 1252": {
			ask: marigoldVerify(), file: success11, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{"UTF-8", "Windows-1252"}, {"<soap:Body>", "<soap:Body><!-- \x92 -->"}},
		},
		"other encoding": {
			ask: marigoldVerify(), file: success11, reason: "character set not supported", err: invalid,
			changes: []change{{"UTF-8", "EBCDIC-CP-GB"}},
		},
		"not the encoding it says": {
			ask: marigoldVerify(), file: success11, reason: "not XML", err: invalid,
			changes: []change{{"<soap:Body>", "<soap:Body><!-- --><a>\xe9</a>"}},
		},
		"byte order mark": {
			ask: marigoldVerify(), file: success11, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{"<?xml", "\ufeff<?xml"}},
		},
		// Step 3, and section 4.
		"the word Fault in a text": {
			ask: marigoldVerify(), file: success11, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{"<soap:Body>", "<soap:Body><!-- soap:Fault -->"}},
		},
		"related to this message in lower case": {
			ask: both, file: prefixes39, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{testID, strings.ToLower(testID)}},
		},
		"related to nothing": {
			ask: both, file: prefixes39, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{testID, " "}},
		},
		"related to another message": {
			ask: both, file: prefixes39, reason: "RelatesTo names another message", err: invalid,
			changes: []change{{testID, "241F6609-3049-4D92-A4AF-8802284A7D38"}},
		},
		// Step 4.
		"not an ITK envelope": {
			ask: marigoldVerify(), file: success11, reason: "not an ITK distribution envelope", err: invalid,
			changes: []change{{nsITK, "urn:nhs-itk:ns:201006"}},
		},
		"two payloads": {
			ask: marigoldVerify(), file: success11, reason: "not one payload", err: invalid,
			changes: []change{{"</itk:payloads>", "<itk:payload/></itk:payloads>"}},
		},
		"two in the payload": {
			ask: marigoldVerify(), file: success11, reason: "not one payload", err: invalid,
			changes: []change{{"</itk:payload>", "<x/></itk:payload>"}},
		},
		"base64":     {ask: marigoldVerify(), file: success11, changes: []change{{`base64="false"`, `base64="true"`}}, reason: "payload is base64", err: invalid},
		"compressed": {ask: marigoldVerify(), file: success11, changes: []change{{`compressed="false"`, `compressed="1"`}}, reason: "payload is compressed", err: invalid},
		"encrypted":  {ask: marigoldVerify(), file: success11, changes: []change{{`encrypted="false"`, `encrypted="true"`}}, reason: "payload is encrypted", err: invalid},
		"other service and profile": {
			ask: marigoldVerify(), file: success11, outcome: pds.Matched, number: marigold,
			reason: "response code; service not expected; profile not expected",
			changes: []change{
				{`service="urn:nhs-itk:services:201005:verifyNHSNumber-v1-0Response"`, `service="urn:nhs-en:profile:verifyNHSNumberResponse-v1-0"`},
				{`profileid="urn:nhs-en:profile:verifyNHSNumberResponse-v1-0"`, `profileid="x"`},
			},
		},
		// Step 5.
		"payload of no namespace": {
			ask: marigoldVerify(), file: success11, reason: "payload is not an answer to this operation", err: invalid,
			changes: []change{{`xmlns="urn:hl7-org:v3"`, ""}},
		},
		"answer to another operation": {
			ask: search, file: success11, err: invalid,
			reason: "payload is not an answer to this operation; service not expected; profile not expected",
		},
		// Step 6.
		"no code": {
			ask: marigoldVerify(), file: success11, reason: "no response code", err: invalid,
			changes: []change{{`code="SMSP-0000"`, `code=" "`}},
		},
		"two codes": {
			ask: search, file: success21, reason: "no response code", err: invalid,
			changes: []change{{"<subject ", `<value code="DEMOG-0001"/><subject `}},
		},
		"code with spaces": {
			ask: marigoldVerify(), file: success11, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{"SMSP-0000", " SMSP-0000 "}},
		},
		"generic code system": {
			ask: marigoldVerify(), file: success11, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{oidCodes, oidGenericCodes}},
		},
		"other code system": {
			ask: marigoldVerify(), file: success11, outcome: pds.Matched, number: marigold, reason: "response code; code system not expected",
			changes: []change{{oidCodes, "1.2.3"}},
		},
		"code in lower case": {
			ask: marigoldVerify(), file: success11, changes: []change{{"SMSP-0000", "smsp-0000"}}, reason: "response code",
			err: &pds.Error{Class: pds.UnknownCode, Code: "smsp-0000", Status: 200},
		},
		"unknown code": {
			ask: marigoldVerify(), file: success11, changes: []change{{"SMSP-0000", "SCR-0001"}}, reason: "response code",
			err: &pds.Error{Class: pds.UnknownCode, Code: "SCR-0001", Status: 200},
		},
		"a code that is none": {
			ask: marigoldVerify(), file: success11, changes: []change{{"SMSP-0000", "9994102303"}}, reason: "response code",
			err: &pds.Error{Class: pds.UnknownCode, Status: 200},
		},
		// Step 7.
		"no component": {
			ask: marigoldVerify(), file: success11, reason: "no NHS number", err: untrue,
			changes: []change{{"component", "somethingElse"}},
		},
		"no NHS number": {
			ask: search, file: success21, reason: "no NHS number", err: untrue,
			changes: []change{{oidNHSNumber + `"`, `1.2.3"`}},
		},
		"wrong check digit": {
			ask: search, file: success21, reason: "NHS number not valid", err: untrue,
			changes: []change{{"9994102303", "9994102304"}},
		},
		"NHS number with spaces": {
			ask: search, file: success21, reason: "NHS number not valid", err: untrue,
			changes: []change{{"9994102303", "999 410 2303"}},
		},
		"two NHS numbers": {
			ask: search, file: success21, reason: "two NHS numbers", err: untrue,
			changes: []change{{`<patient classCode="PAT">`, `<patient classCode="PAT"><id root="2.16.840.1.113883.2.1.4.1" extension="9990000018"/>`}},
		},
		"two subjects": {
			ask: search, file: success21, reason: "more than one subject", err: untrue,
			changes: []change{{"</subject>", `</subject><subject><patient><id root="2.16.840.1.113883.2.1.4.1" extension="9990000018"/></patient></subject>`}},
		},
		"two patients": {
			ask: search, file: success21, reason: "more than one patient", err: untrue,
			changes: []change{{"</patient>", `</patient><patient><id root="2.16.840.1.113883.2.1.4.1" extension="9990000018"/></patient>`}},
		},
		"true and false": {
			ask: marigoldVerify(), file: success11, reason: "more than one value", err: untrue,
			changes: []change{{`<value value="true"/>`, `<value value="true"/><value value="false"/>`}},
		},
		"verified another number": {
			ask: verify(unrelated, pds.Date{Year: 1978, Month: 2, Day: 14}), file: success11,
			outcome: pds.Superseded, number: marigold, reason: "number differs from the one sent",
		},
		"flag false for another number": {
			ask: verify(unrelated, pds.Date{Year: 1978, Month: 2, Day: 14}), file: success11,
			changes: []change{{`value="true"`, `value="false"`}},
			outcome: pds.NotVerified, reason: "valid identifier is false",
		},
		"flag false in a local copy": {
			ask: marigoldVerify(), file: success11, outcome: pds.NotVerified, reason: "valid identifier is false",
			changes: []change{{"SMSP-0000", "SMSP-0003"}, {`value="true"`, `value="false"`}},
		},
		"verified by a local copy": {
			ask: marigoldVerify(), file: success11, outcome: pds.Stale, number: marigold, reason: "response code",
			changes: []change{{"SMSP-0000", "SMSP-0003"}},
		},
		"flag missing": {
			ask: marigoldVerify(), file: success11, reason: "valid identifier is neither true nor false", err: untrue,
			changes: []change{{`<value value="true"/>`, ""}},
		},
		"details of another number": {
			ask: withNumber(both, unrelated), file: prefixes39,
			outcome: pds.Superseded, number: marigold, reason: "number differs from the one sent",
		},
		"superseded by itself": {
			ask: marigoldVerify(), file: success11, reason: "superseding number equals the one sent", err: coded("DEMOG-0017"),
			changes: []change{{"SMSP-0000", "DEMOG-0017"}},
		},
		"superseded by nobody": {
			ask: marigoldVerify(), file: "12-verifyNHSNumber-response-not-verified.xml", reason: "no NHS number", err: coded("DEMOG-0017"),
			changes: []change{{"DEMOG-0040", "DEMOG-0017"}, {oidNHSNumber, "1.2.3"}},
		},
		"superseded whatever the flag": {
			ask: withNumber(marigoldVerify(), unrelated), file: success11,
			changes: []change{{"SMSP-0000", "DEMOG-0017"}, {`value="true"`, `value="false"`}},
			outcome: pds.Superseded, number: marigold, reason: "response code",
		},
		"local copy of another number": {
			ask: withNumber(byNumber, unrelated), file: stale37,
			reason: "local copy is of another number", err: coded("SMSP-0003"),
		},
		// Step 8.
		"somebody else": {
			ask: both, file: prefixes39, reason: "birth date differs", err: untrue,
			changes: []change{{"19780214", "19780215"}},
		},
		"born twice": {
			ask: both, file: prefixes39, reason: "more than one birthTime", err: untrue,
			changes: []change{{`<h:birthTime value="19780214"/>`, `<h:birthTime value="19780214"/><h:birthTime value="19780215"/>`}},
		},
		"born in another month of that year": {
			ask: both, file: prefixes39, reason: "birth date differs", err: untrue,
			changes: []change{{"19780214", "197803"}},
		},
		"born in that year": {
			ask: both, file: prefixes39, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{"19780214", "1978"}},
		},
		"birth time with hours": {
			ask: both, file: prefixes39, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{"19780214", "197802141530"}},
		},
		"no birth date": {
			ask: both, file: prefixes39, outcome: pds.Matched, number: marigold, reason: "response code",
			changes: []change{{"19780214", ""}},
		},
		"a birth date with words behind it": {
			ask: both, file: prefixes39, reason: "birth date not a date", err: untrue,
			changes: []change{{"19780214", "19780214 about"}},
		},
		"a birth date that is none": {
			ask: both, file: prefixes39, reason: "birth date not a date", err: untrue,
			changes: []change{{"19780214", "14/02/1978"}},
		},
		"not verified and of another birth date": {
			ask: both, file: prefixes39, outcome: pds.NotVerified, reason: "response code",
			changes: []change{{"SMSP-0000", "DEMOG-0040"}, {"19780214", "19780215"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, says(200, changed(t, tt.file, tt.changes...)))
			rec := &memo{}
			tt.ask.Recorder = rec
			got, err := c.Trace(t.Context(), tt.ask)
			if tt.err != nil {
				wantError(t, err, *tt.err)
			} else if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != tt.outcome || got.NHSNumber != tt.number {
				t.Errorf("outcome %v with a number %v, want %v with %v",
					got.Outcome, !got.NHSNumber.IsZero(), tt.outcome, !tt.number.IsZero())
			}
			if (got.Patient != nil) != (success(tt.outcome) && tt.ask.Want >= pds.DetailsByNumber) {
				t.Errorf("details: %v", got.Patient != nil)
			}
			if a := rec.only(t); a.Reason != tt.reason {
				t.Errorf("reason %q, want %q", a.Reason, tt.reason)
			}
		})
	}
}

func withNumber(req pds.Request, n pds.NHSNumber) pds.Request {
	req.NHSNumber = n
	return req
}

// TestResponseCodes has every row of section 8, with and without the body that a success has.
func TestResponseCodes(t *testing.T) {
	outcome := func(o pds.Outcome) ending { return ending{outcome: o} }
	end := func(class pds.Class, retry bool) ending { return ending{class: class, retry: retry} }
	impossible := end(pds.ResponseInvalid, false)
	for code, tt := range map[string]struct{ alone, withPatient ending }{
		"SMSP-0000":  {impossible, outcome(pds.Matched)},
		"DEMOG-0001": {outcome(pds.NoMatch), outcome(pds.NoMatch)},
		"DEMOG-0007": {outcome(pds.ManyMatches), outcome(pds.ManyMatches)},
		"DEMOG-0017": {impossible, outcome(pds.Superseded)},
		"DEMOG-0022": {outcome(pds.Invalidated), outcome(pds.Invalidated)},
		"DEMOG-0040": {outcome(pds.NotVerified), outcome(pds.NotVerified)},
		"DEMOG-0042": {outcome(pds.OldStyle), outcome(pds.OldStyle)},
		"DEMOG-9999": {end(pds.SpineError, true), end(pds.SpineError, true)},
		"SMSP-0001":  {outcome(pds.Refused), outcome(pds.Refused)},
		"SMSP-0002":  {end(pds.ResponseInvalid, true), end(pds.ResponseInvalid, true)},
		"SMSP-0003":  {impossible, outcome(pds.Stale)},
		"SMSP-0004":  {end(pds.SpineUnavailable, true), end(pds.SpineUnavailable, true)},
		"SMSP-0005":  {end(pds.AccessDenied, false), end(pds.AccessDenied, false)},
		"SMSP-9999":  {end(pds.ProviderError, true), end(pds.ProviderError, true)},
		"SCR-0001":   {end(pds.UnknownCode, false), end(pds.UnknownCode, false)},
		"CPIS-0001":  {end(pds.UnknownCode, false), end(pds.UnknownCode, false)},
	} {
		t.Run(code, func(t *testing.T) {
			for _, answer := range []struct {
				file, from string
				want       ending
			}{
				{"22-getNHSNumber-response-no-match.xml", "DEMOG-0001", tt.alone},
				{success21, "SMSP-0000", tt.withPatient},
			} {
				res, a, err := told(t, full(pds.Number), 200, answer.file, change{answer.from, code})
				if a.Code != code {
					t.Errorf("%s: recorded %s", answer.file, a.Code)
				}
				if answer.want.class != 0 {
					wantError(t, err, pds.Error{Class: answer.want.class, Code: code, Status: 200, Retry: answer.want.retry})
				} else if err != nil || res.Outcome != answer.want.outcome || res.Code != code {
					t.Errorf("%s: %v %s, %v; want %v", answer.file, res.Outcome, res.Code, err, answer.want.outcome)
				}
				if success(res.Outcome) == res.NHSNumber.IsZero() {
					t.Errorf("%s: %v with a number: %v", answer.file, res.Outcome, !res.NHSNumber.IsZero())
				}
			}
		})
	}
}

func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		changes []change
		want    pds.Error
		reason  string
	}{
		"1000":                         {[]change{{">2100<", ">1000<"}}, pds.Error{Class: pds.InputInvalid, Code: "1000"}, "SOAP fault 1000"},
		"2200":                         {[]change{{">2100<", ">2200<"}}, pds.Error{Class: pds.ProviderError, Code: "2200"}, "SOAP fault 2200"},
		"3000":                         {[]change{{">2100<", "> 3000 <"}}, pds.Error{Class: pds.AccessDenied, Code: "3000"}, "SOAP fault 3000"},
		"unqualified server":           {[]change{{">2100<", "><"}, {"soap:Server", "Server"}}, pds.Error{Class: pds.ProviderError, Retry: true}, "SOAP fault"},
		"toolkit of another namespace": {[]change{{nsITK, "urn:x"}, {"soap:Server", "{urn:y}Client"}}, pds.Error{Class: pds.InputInvalid}, "SOAP fault"},
		"2100":                         {nil, pds.Error{Class: pds.ProviderError, Code: "2100", Retry: true}, "SOAP fault 2100"},
		"qualified children":           {[]change{{"<detail>", "<soap:detail>"}, {"</detail>", "</soap:detail>"}}, pds.Error{Class: pds.ProviderError, Code: "2100", Retry: true}, "SOAP fault 2100"},
		"deep detail":                  {[]change{{"<detail>", "<detail><a><b>"}, {"</detail>", "</b></a></detail>"}}, pds.Error{Class: pds.ProviderError, Code: "2100", Retry: true}, "SOAP fault 2100"},
		"unknown of server":            {[]change{{">2100<", ">4711<"}}, pds.Error{Class: pds.ProviderError, Code: "4711", Retry: true}, "SOAP fault 4711"},
		"unknown of client":            {[]change{{">2100<", ">4711<"}, {"soap:Server", "Client.Authentication"}}, pds.Error{Class: pds.InputInvalid, Code: "4711"}, "SOAP fault 4711"},
		"no code":                      {[]change{{">2100<", "><"}, {"soap:Server", "MustUnderstand"}}, pds.Error{Class: pds.InputInvalid}, "SOAP fault"},
		"no faultcode":                 {[]change{{">2100<", "><"}, {"faultcode", "faultcolour"}}, pds.Error{Class: pds.ProviderError, Retry: true}, "SOAP fault"},
		"patient in a code":            {[]change{{">2100<", ">9994102303<"}}, pds.Error{Class: pds.ProviderError, Retry: true}, "SOAP fault"},
		"relates elsewhere":            {[]change{{"</wsa:MessageID>", "</wsa:MessageID><wsa:RelatesTo>x</wsa:RelatesTo>"}}, pds.Error{Class: pds.ProviderError, Code: "2100", Retry: true}, "SOAP fault 2100; RelatesTo names another message"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{200, 500} {
				tt.want.Status = status
				c, req, rec := newClient(t, says(status, changed(t, fault42, tt.changes...))), marigoldVerify(), &memo{}
				req.Recorder = rec
				_, err := c.Trace(t.Context(), req)
				wantError(t, err, tt.want)
				a := rec.only(t)
				if a.Reason != tt.reason || presentable(a.Code) != tt.want.Code || a.MessageID != "7739DD43-382F-42B2-AEF4-3315CCD2C113" {
					t.Errorf("recorded reason %q, code %q, id %q", a.Reason, a.Code, a.MessageID)
				}
				if name == "patient in a code" && a.Code != "9994102303" {
					t.Errorf("recorded code %q, want it as it came", a.Code)
				}
				if strings.Contains(err.Error(), "Spine connection") || strings.Contains(err.Error(), "could not") {
					t.Errorf("error repeats the fault's texts: %v", err)
				}
			}
		})
	}
}

// TestReadsDetails changes what example 31 says.
func TestReadsDetails(t *testing.T) {
	for name, tt := range map[string]struct {
		changes []change
		want    func(*pds.Patient)
		note    string
	}{
		"address without a use among others": {
			changes: []change{{`<addr use="H">`, "<addr>"}},
			want:    func(p *pds.Patient) { p.Home = pds.Address{} },
		},
		"address of several uses": {
			changes: []change{{`<addr use="H">`, `<addr use="X H">`}},
		},
		"telecom of several uses": {
			changes: []change{{`use="MC" value="tel:07700900456"`, `use="HP MC" value="TEL:07700900456"`}},
		},
		"blank telecoms": {
			changes: []change{{"tel:01134960123", "tel: "}, {"tel:07700900456", ""}, {"mailto:b.oxenholme@example.org", "mailto:"}},
			want:    func(p *pds.Patient) { p.Phone, p.Mobile, p.Email = "", "", "" },
		},
		"two home telephones": {
			changes: []change{{`use="WP" value="tel:01134960789"`, `use="H" value="tel:01134960789"`}},
		},
		"text in the name": {
			changes: []change{{`<name use="L">`, `<name use="L">Mr Barnaby Oxenholme-Tarn`}},
			want:    func(p *pds.Patient) { p.NameText = "Mr Barnaby Oxenholme-Tarn" },
			note:    "name not in parts",
		},
		"text behind the parts of the name": {
			changes: []change{{"</family>", "</family> of \n <!-- --> Tarn"}},
			want:    func(p *pds.Patient) { p.NameText = "of Tarn" },
			note:    "name not in parts",
		},
		"unknown gender": {
			changes: []change{{`administrativeGenderCode code="1"`, `administrativeGenderCode code="X"`}},
			want:    func(p *pds.Patient) { p.Sex = 0 },
			note:    "gender code not known",
		},
		"damaged death time": {
			changes: []change{{"202411030415", "2.0241E+11"}},
			want:    func(p *pds.Patient) { p.DeathTime = "" },
			note:    "death time not a time",
		},
		"death time of no calendar": {
			changes: []change{{"202411030415", "202413030415"}},
			want:    func(p *pds.Patient) { p.DeathTime = "" },
			note:    "death time not a time",
		},
		"year of death": {
			changes: []change{{"202411030415", "2024"}},
			want:    func(p *pds.Patient) { p.DeathTime = "2024" },
		},
		"blank death time": {
			changes: []change{{"202411030415", " "}},
			want:    func(p *pds.Patient) { p.Deceased, p.DeathTime = false, "" },
			note:    "death time blank",
		},
		"two usual addresses": {
			changes: []change{{`<addr use="PST">`, `<addr use="H">`}},
			want:    func(p *pds.Patient) { p.Postal = pds.Address{} },
		},
		"sole address without a use": {
			changes: []change{
				{"<soap:Envelope ", `<soap:Envelope xmlns:i="` + nsXSI + `" `}, {`<addr use="H">`, "<addr>"},
				{`<addr use="TMP">`, `<addr i:nil="true">`}, {`<addr use="PST">`, `<addr i:nil="1">`},
			},
			want: func(p *pds.Patient) { p.Temporary, p.Postal = pds.Address{}, pds.Address{} },
		},
		"nil parts": {
			changes: []change{
				{"<soap:Envelope ", `<soap:Envelope xmlns:i="` + nsXSI + `" `},
				{`<addr use="TMP">`, `<addr use="TMP" i:nil="true">`},
				{"<deceasedTime ", `<deceasedTime i:nil="1" `},
				{"<prefix>", `<prefix i:nil="true">`},
			},
			want: func(p *pds.Patient) {
				p.Temporary, p.Deceased, p.DeathTime, p.Title = pds.Address{}, false, "", ""
			},
		},
		"nil of no namespace": {
			changes: []change{{"<prefix>", `<prefix nil="true">`}},
		},
		"nil address line": {
			changes: []change{
				{"<soap:Envelope ", `<soap:Envelope xmlns:i="` + nsXSI + `" `},
				{"<streetAddressLine>FLAT 3", `<streetAddressLine i:nil="true">FLAT 3`},
			},
			want: func(p *pds.Patient) { p.Home.Lines[0] = "" },
		},
		"no address and no practice": {
			changes: []change{{"<addr", "<x"}, {"</addr", "</x"}, {"gPPractice", "x"}},
			want: func(p *pds.Patient) {
				p.Home, p.Temporary, p.Postal = pds.Address{}, pds.Address{}, pds.Address{}
				p.PracticeCode, p.PracticeName = "", ""
			},
		},
		"practice of another kind of id": {
			changes: []change{{oidPractice + `" extension="Z99901"`, `1.2.3" extension="Z99901"`}},
			want:    func(p *pds.Patient) { p.PracticeCode = "" },
		},
		"nothing but the name": {
			changes: []change{{"<addr", "<x"}, {"</addr", "</x"}, {"<telecom", "<x"}, {"gPPractice", "x"}},
			want: func(p *pds.Patient) {
				*p = pds.Patient{
					NHSNumber: p.NHSNumber, Title: p.Title, Given: p.Given, Family: p.Family, Sex: p.Sex,
					BirthDate: p.BirthDate, Deceased: p.Deceased, DeathTime: p.DeathTime, RestrictedPossible: true,
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := barnaby()
			if tt.want != nil {
				tt.want(want)
			}
			c := newClient(t, says(200, changed(t, success31, tt.changes...)))
			req := full(pds.DetailsByNumber)
			req.NHSNumber, req.Who.BirthDate = want.NHSNumber, want.BirthDate
			got, err := c.Trace(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got.Patient, want, compareNumbers); diff != "" {
				t.Errorf("patient (-got +want):\n%s", diff)
			}
			if note := strings.TrimPrefix(strings.TrimPrefix(got.Reason, "response code"), "; "); note != tt.note {
				t.Errorf("note %q, want %q", note, tt.note)
			}
		})
	}
}

func TestMessageIDOfAnyLength(t *testing.T) {
	for n, want := range map[int]int{0: 36, 92: 128, 93: 0, 1000: 0} {
		res, a, err := told(t, marigoldVerify(), 200, success11, change{"</wsa:MessageID>", strings.Repeat("0", n) + "</wsa:MessageID>"})
		if err != nil || res.Outcome != pds.Matched || len(a.MessageID) != want {
			t.Errorf("%d more: %v, %v, recorded an id of %d bytes, want %d", n, res.Outcome, err, len(a.MessageID), want)
		}
	}
}

func TestReasonSaysWhatWasLeftOut(t *testing.T) {
	c := newClient(t, says(200, example(t, success11)))
	c.ShortSurnameOmit = true
	req, rec := marigoldVerify(), &memo{}
	req.Who.Family, req.Recorder = "Li", rec
	got, err := c.Trace(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	const want = "response code; short surname left out"
	if got.Reason != want || rec.only(t).Reason != want {
		t.Errorf("reasons %q and %q, want %q", got.Reason, rec.only(t).Reason, want)
	}
}
