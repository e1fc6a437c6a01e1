package smsp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"spinetrace/pds"
)

// contract says which tests show each part of the wire contract. A test is a function, or
// one of its rows behind a slash.
var contract = map[string][]string{
	"1 operations":                      {"TestWritesEveryExample", "TestRequestsAreValid", "TestQuirks/capital S in `BySearch`"},
	"2 namespaces":                      {"TestReadsEveryExample", "TestQuirks/parsing by prefix or by raw substring"},
	"3 method, path, header":            {"TestSendsWhatTheContractAsks", "TestSettings/url"},
	"3 compressed unasked":              {"TestBodies/gzip", "TestBodies/gzip bomb", "TestBodies/brotli"},
	"3 length in bytes":                 {"TestSendsWhatTheContractAsks"},
	"3 connections":                     {"TestOldServers/Connection: close", "TestOldServers/HTTP/1.0", "TestResetOfAReusedConnection", "TestClosesEveryConnection"},
	"3 TLS":                             {"TestMutualTLS", "TestMinimumTLS", "TestServerWithoutTLS", "TestCertificatesAreReplacedWithoutARestart"},
	"3 proxy":                           {"TestProxy", "TestReplacedCertificatesThroughAProxy"},
	"3 redirects":                       {"TestNeverFollowsARedirect"},
	"3 timeouts":                        {"TestTimeout", "TestConnectTimeout", "TestStalledBody", "TestDeadlineOfTheCaller"},
	"3 body limit":                      {"TestBodies/50 MB", "TestResponseOverTheLimit"},
	"3 XML safety":                      {"TestRules/doctype", "TestRules/doctype inside", "TestRules/entity", "FuzzRead"},
	"3 statuses":                        {"TestStatuses", "TestTheStatusSaysAllWhateverTheBody"},
	"4 request header":                  {"TestWritesEveryExample", "TestSplicedRequestIsTheFilledTemplate"},
	"4 RelatesTo":                       {"TestRules/related to another message", "TestRules/related to nothing", "TestFaults/relates elsewhere"},
	"5 envelope":                        {"TestWritesEveryExample", "TestRequestsAreValid", "TestRules/base64", "TestRules/compressed", "TestRules/encrypted"},
	"5 audit identities":                {"TestParseAuditIDs", "TestTidiesAndShortens/audit identity for a user", "TestSettings/audit_identities[]"},
	"6 payloads":                        {"TestWritesEveryExample", "TestRequestsAreValid", "TestNameNeverHasAUse", "FuzzRequest"},
	"6.1 input rules":                   {"TestRefusesLocally", "TestTidiesAndShortens"},
	"7.1 verify":                        {"TestReadsEveryExample", "TestRules/flag missing", "TestRules/no component"},
	"7.2 number":                        {"TestReadsEveryExample", "TestRules/no NHS number"},
	"7.3 details":                       {"TestReadsEveryExample", "TestReadsDetails"},
	"7.3 absent, empty, nil":            {"TestAbsentEmptyNil", "TestReadsDetails/blank telecoms", "TestReadsDetails/nothing but the name"},
	"8 codes":                           {"TestResponseCodes", "TestUnknownCodesAreRecordedWhole"},
	"9 faults":                          {"TestFaults", "TestReadsEveryExample"},
	"10.1 status, size, XML":            {"TestStatuses", "TestBodies", "TestRules/doctype"},
	"10.2 envelope, one child":          {"TestRules/SOAP 1.2", "TestRules/empty body", "TestRules/two in the body"},
	"10.3 fault":                        {"TestFaults"},
	"10.4 one payload":                  {"TestRules/not an ITK envelope", "TestRules/two payloads", "TestRules/two in the payload", "TestRules/other service and profile"},
	"10.5 root":                         {"TestRules/payload of no namespace", "TestRules/answer to another operation"},
	"10.6 code":                         {"TestRules/no code", "TestRules/two codes", "TestRules/other code system"},
	"10.7 number":                       {"TestRules/wrong check digit", "TestRules/verified another number", "TestRules/details of another number", "TestRules/superseded by itself", "TestRules/superseded by nobody"},
	"10.8 birth date":                   {"TestRules/somebody else", "TestRules/born in that year", "TestRules/a birth date that is none"},
	"10.9 mapping":                      {"TestReadsDetails", "TestReadsEveryExample"},
	"12 new ids, same fields, own rows": {"TestEveryAttemptIsNewAndAsksTheSame", "TestRequestsShareNoID"},
	"12 never fewer fields":             {"TestNeverAsksWithLess"},
	"13 quirks":                         {"TestQuirks", "TestQuirksAreTheContracts"},
	"15 examples":                       {"TestExamplesAreTheContracts", "TestReadsEveryExample", "TestWritesEveryExample", "TestRequestsAreValid"},
	"16 simple settings":                {"TestSettings", "TestSettingsAreTheContracts"},
	"16 client_cert, key, ca_bundle":    {"TestMutualTLS", "TestTLSConfigErrors", "TestCertificatesAreReplacedWithoutARestart"},
	"16 server_name":                    {"TestMutualTLS/server name", "TestMutualTLS/wrong server name"},
	"16 connect_timeout":                {"TestConnectTimeout"},
	"16 max_response_bytes":             {"TestResponseOverTheLimit"},
	"16 exchange_timeout":               {"TestTimeout"},
	"16 max_attempts":                   {"TestEveryAttemptIsNewAndAsksTheSame"},
	"16 max_concurrency":                {"TestAStallingProviderHoldsNobodyElse"},
	"16 rate_per_second":                {"TestTakesItsTurnBeforeItIsRecorded"},
	"16 accept_stale":                   {"TestReadsEveryExample"},
	"17.3 0040 or 0001":                 {"TestResponseCodes"},
	"17.4 0017 without a number":        {"TestRules/superseded by nobody"},
}

func TestContractIsShown(t *testing.T) {
	rows := testRows(t)
	for part, tests := range contract {
		for _, name := range tests {
			function, row, _ := strings.Cut(name, "/")
			if known, ok := rows[function]; !ok || row != "" && !slices.Contains(known, row) {
				t.Errorf("%s: there is no %s", part, name)
			}
		}
	}
}

// testRows returns the texts in each test function of the package; names of rows are among
// them.
func testRows(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			rows[f.Name.Name] = []string{}
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, _ := strconv.Unquote(lit.Value) // the parser has checked it
					rows[f.Name.Name] = append(rows[f.Name.Name], text)
				}
				return true
			})
		}
	}
	return rows
}

// section returns a section of the contract's text.
func section(t *testing.T, number string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(specDir(t), "smsp.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(b), "\n## "+number+". ")
	if !found {
		t.Fatalf("no section %s", number)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

func TestQuirksAreTheContracts(t *testing.T) {
	known := testRows(t)["TestQuirks"]
	cells := regexp.MustCompile(`(?m)^\| (.+?) \|`).FindAllStringSubmatch(section(t, "13"), -1)
	if len(cells) < 20 {
		t.Fatalf("%d quirks in the contract", len(cells))
	}
	for _, cell := range cells[1:] { // the first is the heading
		if !slices.Contains(known, cell[1]) {
			t.Errorf("no test for %s", cell[1])
		}
	}
}

func TestSettingsAreTheContracts(t *testing.T) {
	shown := testRows(t)["TestSettings"]
	for part := range contract {
		if names, ok := strings.CutPrefix(part, "16 "); ok {
			shown = append(shown, strings.Split(names, ", ")...)
		}
	}
	for _, name := range regexp.MustCompile("`([a-z_]+(\\[\\])?)`").FindAllStringSubmatch(section(t, "16"), -1) {
		if !slices.Contains(shown, name[1]) {
			t.Errorf("no test for %s", name[1])
		}
	}
}

// wire returns what a request looks like to the provider.
func wire(t *testing.T, change func(*Client, *pds.Request)) string {
	t.Helper()
	var seen []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if seen, err = httputil.DumpRequest(r, true); err != nil {
			t.Error(err)
		}
		says(200, example(t, "22-getNHSNumber-response-no-match.xml")).ServeHTTP(w, r)
	}))
	defer srv.Close()
	c, req := testClient(srv.URL+"/smsp/pds"), full(pds.Number)
	change(c, &req)
	defer c.CloseIdleConnections()
	_, _ = c.Trace(t.Context(), req) // the request is what matters
	return string(seen)
}

func TestSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Client, *pds.Request)
		want   string
		absent string
	}{
		"url":                {func(c *Client, _ *pds.Request) { c.Endpoint += "/x" }, "POST /smsp/pds/x HTTP/1.1", ""},
		"soap_action_quoted": {func(c *Client, _ *pds.Request) { c.UnquotedAction = true }, "Soapaction: urn:nhs-itk:", ""},
		"timestamp_validity": {func(c *Client, _ *pds.Request) { c.Validity = 5 * time.Minute }, "<wsu:Expires>2025-03-04T09:20:00Z<", ""},
		"username":           {func(c *Client, _ *pds.Request) { c.Username = "our-adapter" }, "<wsse:Username>our-adapter<", ""},
		"from_address":       {func(c *Client, _ *pds.Request) { c.From = "urn:x:from" }, "<wsa:From><wsa:Address>urn:x:from<", ""},
		"sender_address":     {func(c *Client, _ *pds.Request) { c.Sender = "urn:x:sender" }, `<itk:senderAddress uri="urn:x:sender"/>`, ""},
		"audit_identities[]": {func(c *Client, _ *pds.Request) {
			c.AuditIDs = []AuditID{{"1.2.826.0.1285.0.2.0.107", "123456789012"}, {"", "urn:x:{org}:{system}:{user}"}}
		}, `<itk:id type="1.2.826.0.1285.0.2.0.107" uri="123456789012"/><itk:id uri="urn:x:X99:mllp-adapter:jbloggs"/>`, ""},
		"local_id_root":     {func(c *Client, _ *pds.Request) { c.LocalIDRoot = "1.2.3" }, `root="1.2.3" extension="X99:H000417"`, ""},
		"local_id_prefix":   {func(c *Client, _ *pds.Request) { c.LocalIDPrefix = "Y00" }, `extension="Y00:H000417"`, ""},
		"allow_wildcards":   {func(c *Client, r *pds.Request) { c.Rules.AllowWildcards, r.Who.Family = true, "QU*" }, "<family>QU*<", ""},
		"allow_partial_dob": {func(c *Client, r *pds.Request) { c.Rules.AllowPartialDOB, r.Who.BirthDate.Day = true, 0 }, `<value value="197802"/>`, ""},
		"short_surname":     {func(c *Client, r *pds.Request) { c.ShortSurnameOmit, r.Who.Family, r.Want = true, "Ng", pds.Verify }, "Person.NHSNumber", "Person.Name>"},
	} {
		t.Run(name, func(t *testing.T) {
			got := wire(t, tt.change)
			if !strings.Contains(got, tt.want) {
				t.Errorf("the request lacks %s:\n%s", tt.want, got)
			}
			if tt.absent != "" && strings.Contains(got, tt.absent) {
				t.Errorf("the request has %s:\n%s", tt.absent, got)
			}
			if strings.Contains(wire(t, func(*Client, *pds.Request) {}), tt.want) {
				t.Errorf("a request with default settings has %s too", tt.want)
			}
		})
	}
}

func TestResponseOverTheLimit(t *testing.T) {
	body := example(t, success11)
	for over, want := range map[int64]bool{0: true, 1: false} {
		c := newClient(t, says(200, body))
		c.MaxResponse = int64(len(body)) - over
		_, err := c.Trace(t.Context(), marigoldVerify())
		if want && err != nil {
			t.Errorf("an answer as long as the limit: %v", err)
		}
		if !want {
			wantError(t, err, pds.Error{Class: pds.ResponseInvalid, Status: 200})
		}
	}
}

// TestConnectTimeout is about a server that takes the connection and never shakes hands.
func TestConnectTimeout(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, req, rec := testClient("https://"+ln.Addr().String()), marigoldVerify(), &memo{}
	c.ConnectTimeout, c.Timeout = 20*time.Millisecond, time.Hour
	req.Recorder = rec
	_, err = c.Trace(t.Context(), req)
	wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Retry: true})
	if a := rec.only(t); a.Reason != "timeout" {
		t.Errorf("reason %q", a.Reason)
	}
}

// sent returns the request that is made of req, read again.
func sent(t *testing.T, req pds.Request) (text string, doc *etree.Document) {
	t.Helper()
	c := testClient("https://smsp.example.nhs.uk/pds")
	c.NewID = nil
	text = string(ask(t, c, req))
	doc = etree.NewDocument()
	if err := doc.ReadFromString(text); err != nil {
		t.Fatal(err)
	}
	return text, doc
}

// told asks a server that answers with an example, changed.
func told(t *testing.T, req pds.Request, status int, file string, changes ...change) (pds.Result, pds.Answer, error) {
	t.Helper()
	c, rec := newClient(t, says(status, changed(t, file, changes...))), &memo{}
	req.Recorder = rec
	res, err := c.Trace(t.Context(), req)
	return res, rec.only(t), err
}

// TestQuirks has a row for each of section 13, by the words of the contract.
func TestQuirks(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"`getPatientDetails` root without `Request`": func(t *testing.T) {
			_, doc := sent(t, full(pds.Details))
			root := doc.FindElement("//itk:payload/*")
			if root.Tag != "getPatientDetails-v1-0" || root.SelectElement("code").SelectAttrValue("code", "") != "getPatientDetailsRequest-v1-0" {
				t.Errorf("root %s", root.Tag)
			}
		},
		"capital S in `BySearch`": func(t *testing.T) {
			text, _ := sent(t, full(pds.DetailsBySearch))
			if n := strings.Count(text, "getPatientDetailsBySearch"); n != 6 || strings.Contains(text, "Bysearch") {
				t.Errorf("spelt so %d times, want 6: action, service, profile, code, and both tags", n)
			}
		},
		"upper-case UUID pattern": func(t *testing.T) {
			text, doc := sent(t, full(pds.Verify))
			if id := doc.FindElement("//itk:header").SelectAttrValue("trackingid", ""); !anyUUID.MatchString(id) || len(id) != 36 {
				t.Errorf("tracking id %s", id)
			}
			if n := len(anyUUID.FindAllString(text, -1)); n != 6 {
				t.Errorf("%d ids in upper case, want 6", n)
			}
		},
		"payload id starting with a digit": func(t *testing.T) {
			_, doc := sent(t, full(pds.Verify))
			part := doc.FindElement("//itk:payload").SelectAttrValue("id", "")
			if item := doc.FindElement("//itk:manifestitem").SelectAttrValue("id", ""); item != part || !strings.HasPrefix(part, "uuid_") {
				t.Errorf("payload %s, manifest item %s", part, item)
			}
			if ts := doc.FindElement("//wsu:Timestamp").SelectAttrValue("wsu:Id", ""); !strings.HasPrefix(ts, "ts-") {
				t.Errorf("timestamp %s", ts)
			}
		},
		"family before given": func(t *testing.T) {
			text, _ := sent(t, full(pds.Number))
			if !strings.Contains(text, "<value><given>Marigold</given><family>Quillfeather</family></value>") {
				t.Error("given does not come before family")
			}
		},
		"postcode as attribute": func(t *testing.T) {
			text, _ := sent(t, full(pds.Number))
			if !strings.Contains(text, "<value><postalCode>LS99 9ZZ</postalCode></value>") {
				t.Error("the postcode is not an element")
			}
		},
		"gender `X` / `O` / `U` mappings differing between clients": func(t *testing.T) {
			c := testClient("https://smsp.example.nhs.uk/pds")
			for code, want := range map[pds.Sex]bool{'0': true, '1': true, '2': true, '9': true, 'X': false, 'O': false, 'U': false, 'M': false} {
				req := full(pds.Number)
				req.Who.Sex = code
				c.once.Do(c.prepare)
				if _, ok := c.check(req); ok != want {
					t.Errorf("sex %c is sent: %v, want %v", code, ok, want)
				}
			}
		},
		"message ids hard-coded in a template": func(t *testing.T) {
			first, _ := sent(t, full(pds.Number))
			second, _ := sent(t, full(pds.Number))
			for _, id := range anyUUID.FindAllString(first, -1) {
				if strings.Contains(second, id) {
					t.Errorf("two requests have %s", id)
				}
			}
		},
		"values pasted into XML by string replace": func(t *testing.T) {
			for _, family := range []string{`O'Rourke & "Sons" <b>`, "{{given}}", "]]>", "&amp;", "$1 \\0 {0}"} {
				req := full(pds.Number)
				req.Who.Family = family
				if _, doc := sent(t, req); doc.FindElement("//family").Text() != family {
					t.Errorf("%s arrives as %s", family, doc.FindElement("//family").Text())
				}
			}
		},
		"parsing by prefix or by raw substring": func(t *testing.T) {
			if res, _, err := told(t, full(pds.Details), 200, prefixes39); err != nil || res.Outcome != pds.Matched {
				t.Errorf("%s: %v, %v", prefixes39, res.Outcome, err)
			}
			for _, changes := range [][]change{
				{{"<itk:", "<toolkit:"}, {"</itk:", "</toolkit:"}, {"xmlns:itk", "xmlns:toolkit"}},
				{{"SMSP-0000", "SMSP&#45;0000"}},
				{{"<soap:Body>", "<soap:Body><!-- <soap:Fault> code=\"DEMOG-0001\" -->"}},
			} {
				if res, _, err := told(t, marigoldVerify(), 200, success11, changes...); err != nil || res.Outcome != pds.Matched {
					t.Errorf("with %v: %v, %v", changes, res.Outcome, err)
				}
			}
		},
		"id chosen by position": func(t *testing.T) {
			res, _, err := told(t, full(pds.Number), 200, "24-getNHSNumber-response-superseded-local-id-first.xml")
			if err != nil || res.NHSNumber != rosalind {
				t.Errorf("%v, %v; want the number behind the local id", res.Outcome, err)
			}
		},
		"unknown response code throws": func(t *testing.T) {
			_, a, err := told(t, marigoldVerify(), 200, success11, change{"SMSP-0000", "ZZZ-4242"})
			wantError(t, err, pds.Error{Class: pds.UnknownCode, Code: "ZZZ-4242", Status: 200})
			if a.Code != "ZZZ-4242" {
				t.Errorf("recorded %q", a.Code)
			}
		},
		"fault yields null then a crash": func(t *testing.T) {
			for _, status := range []int{200, 500} {
				for _, fault := range []string{"<soap:Fault/>", "<soap:Fault><detail/></soap:Fault>", "<soap:Fault><faultcode/></soap:Fault>"} {
					body := `<soap:Envelope xmlns:soap="` + nsSOAP + `"><soap:Body>` + fault + `</soap:Body></soap:Envelope>`
					_, err := newClient(t, says(status, body)).Trace(t.Context(), marigoldVerify())
					wantError(t, err, pds.Error{Class: pds.ProviderError, Status: status, Retry: true})
				}
			}
		},
		"`DEMOG-0040` with `true`": func(t *testing.T) {
			res, _, err := told(t, marigoldVerify(), 200, "13-verifyNHSNumber-response-not-verified-contradictory-flag.xml")
			if err != nil || res.Outcome != pds.NotVerified || !res.NHSNumber.IsZero() {
				t.Errorf("%v, %v; want not verified", res.Outcome, err)
			}
		},
		"`SMSP-0000` with `false`": func(t *testing.T) {
			res, _, err := told(t, marigoldVerify(), 200, "14-verifyNHSNumber-response-success-contradictory-flag.xml")
			if err != nil || res.Outcome != pds.NotVerified || !res.NHSNumber.IsZero() {
				t.Errorf("%v, %v; want not verified", res.Outcome, err)
			}
		},
		"TLS verification off": func(t *testing.T) {
			srv := httptest.NewUnstartedServer(says(200, example(t, success11)))
			srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the refusal is the point
			srv.StartTLS()
			defer srv.Close()
			c := testClient(srv.URL)
			_, err := c.Trace(t.Context(), marigoldVerify())
			wantError(t, err, pds.Error{Class: pds.InputInvalid})
			c = testClient(srv.URL)
			c.TLS = insecure()
			if err := c.Check(); err == nil {
				t.Error("settings that do not verify are accepted")
			}
		},
		"leading `*` slips past a \"two characters first\" check that only looks at `*` after position n": func(t *testing.T) {
			c := testClient("https://smsp.example.nhs.uk/pds")
			c.Rules.AllowWildcards = true
			c.once.Do(c.prepare)
			for family, want := range map[string]bool{"*": false, "*UI": false, "*UILL*": false, "Q*": false, "QU*": true, "QU*L": false, "QU?": false, "é*": false} {
				req := full(pds.Number)
				req.Who.Family = family
				if _, ok := c.check(tidy(req)); ok != want {
					t.Errorf("%s is sent: %v, want %v", family, ok, want)
				}
			}
		},
		"`use` on name, addr and telecom is a *list* type: `use=\"HP MC\"` is schema-valid": func(t *testing.T) {
			p := barnabySays(t, change{`<name use="L">`, `<name use="P L">`}, change{`<addr use="TMP">`, `<addr use="BAD TMP">`}, change{`use="MC"`, `use="HP MC"`})
			if p.Mobile != "07700900456" || p.Phone != "01134960123" || p.Temporary.Postcode != "YO99 1AA" || p.Family == "" {
				t.Error("a use in a list was not found")
			}
		},
		"`tel:` with nothing after, or a space": func(t *testing.T) {
			for _, blank := range []string{"tel:", "tel: ", "tel", ""} {
				if p := barnabySays(t, change{"tel:01134960123", blank}); p.Phone != "" || p.RestrictedPossible {
					t.Errorf("%q is a telephone", blank)
				}
			}
		},
		"postcode without space, partial or over-long birthTime": func(t *testing.T) {
			for _, born := range []string{"1942", "194206", "19420611", "194206110930", "19420611093015.1234+0000", "1942061109301599"} {
				p := barnabySays(t, change{"LS99 9ZZ", "LS999ZZ"}, change{"19420611", born})
				if p.Home.Postcode != "LS999ZZ" || !strings.HasPrefix(born, p.BirthDate.Digits()) {
					t.Errorf("born %s: postcode %v, date of %d digits", born, p.Home.Postcode, len(p.BirthDate.Digits()))
				}
			}
		},
		"fixed-width audit columns truncating names": func(t *testing.T) {
			long := strings.Repeat("Oxenholme", 200)
			req := full(pds.DetailsByNumber)
			req.NHSNumber, req.Who.BirthDate, req.Who.LocalID = barnaby().NHSNumber, barnaby().BirthDate, long
			res, a, err := told(t, req, 200, success31, change{"Oxenholme-Tarn", long})
			if err != nil || res.Patient.Family != long || !strings.Contains(string(a.Body), long) {
				t.Errorf("%v: a long name was cut", err)
			}
			if text, _ := sent(t, req); !strings.Contains(text, long) {
				t.Error("a long local identifier was cut")
			}
		},
	} {
		t.Run(name, test)
	}
}

// barnabySays reads example 31, changed.
func barnabySays(t *testing.T, changes ...change) *pds.Patient {
	t.Helper()
	req := full(pds.DetailsByNumber)
	req.NHSNumber, req.Who.BirthDate = barnaby().NHSNumber, barnaby().BirthDate
	res, _, err := told(t, req, 200, success31, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return res.Patient
}

// TestAbsentEmptyNil is the table of section 7.3: absent and nil say nothing, empty says that
// nothing is held; neither is a value, and nothing but what is absent may be a restriction.
func TestAbsentEmptyNil(t *testing.T) {
	element := func(name string) *regexp.Regexp {
		return regexp.MustCompile(`(?s)<` + name + `( [^>]*)?/>|<` + name + `( [^>]*)?>.*?</` + name + `>`)
	}
	body := example(t, success31)
	for name, field := range map[string]func(*pds.Patient) bool{
		"family":                   func(p *pds.Patient) bool { return p.Family == "" },
		"prefix":                   func(p *pds.Patient) bool { return p.Title == "" },
		"administrativeGenderCode": func(p *pds.Patient) bool { return p.Sex == 0 },
		"birthTime":                func(p *pds.Patient) bool { return p.BirthDate.IsZero() },
		"deceasedTime":             func(p *pds.Patient) bool { return !p.Deceased && p.DeathTime == "" },
		"locationOrganization":     func(p *pds.Patient) bool { return p.PracticeCode == "" && p.PracticeName == "" },
		"gPPractice":               func(p *pds.Patient) bool { return p.PracticeCode == "" && p.PracticeName == "" },
	} {
		for how, instead := range map[string]string{
			"absent": "", "empty": "<" + name + "/>", "blank": "<" + name + ` value=" " code=""> </` + name + ">",
			"nil": "<" + name + ` xmlns:i="` + nsXSI + `" i:nil="true"/>`,
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				found := element(name).FindString(body)
				if found == "" {
					t.Fatal("the example has none")
				}
				p := barnabySays(t, change{found, instead})
				if !field(p) {
					t.Error("a value where there is none")
				}
				if p.RestrictedPossible {
					t.Error("taken for a restricted record")
				}
			})
		}
	}
}

// TestUnknownCodesAreRecordedWhole is section 8: logged whole, never a crash, never a success,
// and never in an error, because anything may be in them.
func TestUnknownCodesAreRecordedWhole(t *testing.T) {
	for name, code := range map[string]string{
		"of another list": "CPIS-0001", "of no list": "DEMOG-0002", "lower case": "smsp-0000", "words": "Quillfeather not found",
		"a number": "9994102303", "SMSP-0000 and more": "SMSP-0000 OK", "zero": "0", "long": strings.Repeat("é", 300),
	} {
		t.Run(name, func(t *testing.T) {
			res, a, err := told(t, marigoldVerify(), 200, success11, change{"SMSP-0000", code})
			if pds.ClassOf(err) != pds.UnknownCode || pds.Retryable(err) || res.Outcome != 0 {
				t.Errorf("%v, %v; want an unknown code", res.Outcome, err)
			}
			if want := code[:min(len(code), 256)]; a.Code != want {
				t.Errorf("recorded %q, want %q", a.Code, want)
			}
			for _, leak := range []string{"Quillfeather", "9994102303", "éé"} {
				if strings.Contains(err.Error()+a.Reason, leak) {
					t.Errorf("the error or the reason repeats it: %v", err)
				}
			}
		})
	}
}
