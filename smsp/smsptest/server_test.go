package smsptest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
	"spinetrace/smsp/smsptest"
)

// The example requests were written at this time.
func then() time.Time { return time.Date(2025, 3, 4, 9, 16, 0, 0, time.UTC) }

func newServer(t testing.TB, faults ...smsptest.Fault) *smsptest.Server {
	t.Helper()
	s := smsptest.New(pdstest.People(), faults...)
	s.Now = then
	start(t, s)
	return s
}

func start(t testing.TB, s *smsptest.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ln, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func example(t testing.TB, name string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*", name+"-*.xml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d examples %s (%v), want one", len(files), name, err)
	}
	body, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return body
}

var action = regexp.MustCompile(`urn:nhs-itk:services:201005:\w+-v1-0`)

// post sends a message as a client must.
func post(t testing.TB, s *smsptest.Server, body []byte) (status int, answer string) {
	t.Helper()
	return send(t, s, body, http.Header{
		"Content-Type": {"text/xml; charset=utf-8"},
		"Soapaction":   {`"` + action.FindString(string(body)) + `"`},
	})
}

// send sends a message and checks that the answer says where it comes from.
func send(t testing.TB, s *smsptest.Server, body []byte, header http.Header) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("X-Simulator") != simulator.Marker {
		t.Error("the answer does not say that it is not Spine's")
	}
	return resp.StatusCode, string(b)
}

func client(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestExamplesAreAnswered(t *testing.T) {
	for name, want := range map[string][]string{
		"01": {`code="SMSP-0000"`, `<value value="true"/>`, `extension="9994102303"`},
		"02": {`code="SMSP-0000"`, `extension="9994102303"`, `extension="X99:H000417"`},
		"03": {`code="SMSP-0000"`, `<given>Marigold</given><family>Quillfeather</family>`, `birthTime value="19780214"`, `extension="X99:H000417"`},
		"04": {`code="SMSP-0000"`, `<postalCode>LS99 9ZZ</postalCode>`, `administrativeGenderCode code="2"`},
		"05": {`code="SMSP-0000"`, `<family>Quillfeather</family>`},
		"06": {`code="SMSP-0000"`, `<value value="true"/>`},
		"07": {`code="SMSP-0000"`, `extension="9990600074"`},
		"08": {`code="SMSP-0000"`, `extension="9994102303"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			body := example(t, name)
			status, answer := post(t, s, body)
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, answer)
			}
			asked := s.Requests()[0]
			want = append(want, "RelatesTo>"+asked.MessageID+"<", "<wsa:Action>"+action.FindString(string(body))+"Response<")
			for _, part := range want {
				if !strings.Contains(answer, part) {
					t.Errorf("no %s in %s", part, answer)
				}
			}
		})
	}
}

func TestRequestsAreRemembered(t *testing.T) {
	s := newServer(t)
	post(t, s, example(t, "08"))
	post(t, s, example(t, "01"))
	got := s.Requests()
	if len(got) != 2 || s.Asked() != 2 {
		t.Fatalf("%d requests, %d asked; want 2, 2", len(got), s.Asked())
	}
	if want := "1.2.826.0.1285.0.2.0.65=555000111222"; got[0].Identities[0] != want || len(got[0].Identities) != 3 {
		t.Errorf("identities %q, want three, first %q", got[0].Identities, want)
	}
	r := got[1]
	if r.Operation != "verifyNHSNumber" || r.NHSNumber != "9994102303" || r.Answer != "SMSP-0000" ||
		r.BirthDate != "19780214" || r.Who.Family != "Quillfeather" || r.Username != "X99-mllp-adapter" {
		t.Errorf("remembered otherwise than asked: %s %s", r.Operation, r.Answer)
	}
	for name, id := range map[string]string{
		r.MessageID:  "22F8A6CD-9BF0-46B3-AE59-6BD1C2C62390",
		r.TrackingID: "62041EA9-7AC3-49E4-A6CA-DAACFB44A4E6",
		r.PayloadID:  "uuid_08FF84ED-5515-4DE5-A424-06FC7F2D4A5E",
		r.DocumentID: "01F6BEAA-5DE0-408B-A830-B00213AC0D69",
		r.To:         "https://smsp.example.nhs.uk/smsp/pds",
		r.Sender:     "urn:nhs-uk:addressing:ods:X99:mllp-adapter",
	} {
		if name != id {
			t.Errorf("remembered %s, want %s", name, id)
		}
	}
}

// Every message here is one change away from an example that is answered.
func TestMalformedRequestsGetFault1000(t *testing.T) {
	for name, tt := range map[string]struct{ example, old, new, where string }{
		"no XML":                       {"01", "</soap:Envelope>", "", "not well-formed"},
		"two roots":                    {"01", "</soap:Envelope>", "</soap:Envelope><more/>", "not well-formed"},
		"another encoding":             {"01", "UTF-8", "ISO-8859-1", "not well-formed"},
		"DOCTYPE":                      {"01", "<soap:Envelope", "<!DOCTYPE x><soap:Envelope", "DOCTYPE"},
		"processing instruction":       {"01", "<soap:Envelope", "<?x y?><soap:Envelope", "DOCTYPE"},
		"SOAP 1.2":                     {"01", "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope", "another element than Envelope"},
		"service unknown":              {"01", ">urn:nhs-itk:services:201005:verifyNHSNumber-v1-0<", ">urn:nhs-itk:services:201005:getTimetable-v1-0<", "Action"},
		"service differs":              {"01", `service="urn:nhs-itk:services:201005:verifyNHSNumber-v1-0"`, `service="urn:nhs-itk:services:201005:getNHSNumber-v1-0"`, "@service"},
		"profile differs":              {"01", "profile:verifyNHSNumberRequest", "profile:getNHSNumberRequest", "@profileid"},
		"message id with urn":          {"01", "<wsa:MessageID>", "<wsa:MessageID>urn:uuid:", "MessageID"},
		"message id in lower case":     {"01", "22F8A6CD-9BF0-46B3-AE59-6BD1C2C62390", "22f8a6cd-9bf0-46b3-ae59-6bd1c2c62390", "MessageID"},
		"no message id":                {"01", "<wsa:MessageID>22F8A6CD-9BF0-46B3-AE59-6BD1C2C62390</wsa:MessageID>", "", "MessageID missing"},
		"reply-to":                     {"01", "<wsa:From>", "<wsa:ReplyTo/><wsa:From>", "an element too many"},
		"empty to":                     {"01", ">https://smsp.example.nhs.uk/smsp/pds<", "><", "To"},
		"must understand":              {"01", "<wsse:Security>", `<wsse:Security soap:mustUnderstand="1">`, "@mustUnderstand"},
		"password":                     {"01", "</wsse:UsernameToken>", "<wsse:Password>x</wsse:Password></wsse:UsernameToken>", "an element too many"},
		"no username":                  {"01", "X99-mllp-adapter</wsse", "</wsse", "Username"},
		"timestamp id is no NCName":    {"01", `wsu:Id="ts-`, `wsu:Id="7-`, "@Id"},
		"timestamp without zone":       {"01", "09:15:00Z", "09:15:00", "Created"},
		"not yet created":              {"01", "09:15:00Z", "09:16:02Z", "not current"},
		"expired":                      {"01", "09:25:00Z", "09:16:00Z", "not current"},
		"envelope count":               {"01", `payloads count="1"`, `payloads count="2"`, "@count"},
		"manifest count":               {"01", `manifest count="1"`, `manifest count="2"`, "@count"},
		"base64":                       {"01", `base64="false"`, `base64="true"`, "@base64"},
		"no audit identity":            {"01", `<itk:id uri="urn:nhs-uk:identity:ods:X99:SYS:mllp-adapter"/>`, "", "id missing"},
		"ids differ":                   {"01", `payload id="uuid_08`, `payload id="uuid_09`, "differs from payload/@id"},
		"payload root":                 {"05", "getPatientDetails-v1-0 xmlns", "getPatientDetailsRequest-v1-0 xmlns", "not well-formed"},
		"payload code":                 {"05", `code="getPatientDetailsRequest-v1-0"`, `code="getPatientDetails-v1-0"`, "@code"},
		"payload id in lower case":     {"01", `root="01F6BEAA`, `root="01f6beaa`, "@root"},
		"class code":                   {"01", `classCode="CACT"`, `classCode="OBS"`, "@classCode"},
		"semantics text":               {"01", "<semanticsText>Person.Name<", "<semanticsText>Person.Nom<", "semanticsText"},
		"birth date with hyphens":      {"01", `value="19780214"`, `value="1978-02-14"`, "@value"},
		"name with a use":              {"02", "<value><given>", `<value use="L"><given>`, "an attribute too many"},
		"number root":                  {"01", "2.16.840.1.113883.2.1.4.1", "2.16.840.1.113883.2.1.4.2", "@root"},
		"postcode twice":               {"02", "<postalCode>LS99 9ZZ</postalCode>", "<postalCode>LS99 9ZZ</postalCode><postalCode>LS99 9ZZ</postalCode>", "postalCode"},
		"text among elements":          {"01", "<queryEvent>", "<queryEvent>hello", "text"},
		"family before given":          {"n1", "", "", "Name"},
		"tracking id in lower case":    {"n2", "", "", "@trackingid"},
		"postcode as attribute":        {"n3", "", "", "Postcode"},
		"gender X":                     {"n5", "", "", "Gender"},
		"number before birth date":     {"n6", "", "", "DateOfBirth"},
		"payload id starts with digit": {"n7", "", "", "@id"},
		"time with fraction":           {"n8", "", "", "Created"},
		"gender missing":               {"n9", "", "", "Gender"},
		"prefix in a name":             {"n10", "", "", "value"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			body := example(t, tt.example)
			if !bytes.Contains(body, []byte(tt.old)) {
				t.Fatal("the example has changed")
			}
			body = bytes.Replace(body, []byte(tt.old), []byte(tt.new), 1)
			status, answer := post(t, s, body)
			if status != http.StatusInternalServerError || !strings.Contains(answer, ">1000</itk:ErrorCode>") {
				t.Fatalf("status %d: %s", status, answer)
			}
			if got := s.Requests()[0]; !strings.Contains(got.Problem, tt.where) || got.Answer != "fault:1000" {
				t.Errorf("problem %q, answer %q; want %q, fault:1000", got.Problem, got.Answer, tt.where)
			}
		})
	}
}

func TestHTTPHeaders(t *testing.T) {
	const verify = "urn:nhs-itk:services:201005:verifyNHSNumber-v1-0"
	for name, tt := range map[string]struct {
		kind, action string
		want         int
	}{
		"quoted action":     {"text/xml; charset=utf-8", `"` + verify + `"`, 200},
		"bare action":       {"text/xml", verify, 200},
		"charset in quotes": {`text/xml;charset="UTF-8"`, verify, 200},
		"another action":    {"text/xml", "urn:nhs-itk:services:201005:getNHSNumber-v1-0", 500},
		"no action":         {"text/xml", "", 500},
		"SOAP 1.2":          {"application/soap+xml", verify, 500},
		"another charset":   {"text/xml; charset=iso-8859-1", verify, 500},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Content-Type": {tt.kind}}
			if tt.action != "" {
				header["sOaPaCtIoN"] = []string{tt.action}
			}
			if status, answer := send(t, newServer(t), example(t, "01"), header); status != tt.want {
				t.Errorf("status %d, want %d: %s", status, tt.want, answer)
			}
		})
	}
}

func TestInputRules(t *testing.T) {
	for name, tt := range map[string]struct{ example, old, new, want string }{
		"check digit":                    {"01", `extension="9994102303"`, `extension="9994102304"`, "SMSP-0001"},
		"number with spaces":             {"01", `extension="9994102303"`, `extension="999 410 2303"`, "SMSP-0001"},
		"old style number":               {"01", `extension="9994102303"`, `extension="ABC123"`, "DEMOG-0042"},
		"no such day":                    {"01", `value="19780214"`, `value="19780230"`, "SMSP-0001"},
		"before 1850":                    {"01", `value="19780214"`, `value="18491231"`, "SMSP-0001"},
		"tomorrow":                       {"01", `value="19780214"`, `value="20250305"`, "SMSP-0001"},
		"today":                          {"01", `value="19780214"`, `value="20250304"`, "DEMOG-0040"},
		"partial in a verify":            {"01", `value="19780214"`, `value="197802"`, "SMSP-0001"},
		"partial in details":             {"05", `value="19780214"`, `value="1978"`, "SMSP-0001"},
		"year in a search":               {"02", `value="19780214"`, `value="1978"`, "SMSP-0000"},
		"wildcard in a verify":           {"01", "Quillfeather<", "Quill*<", "SMSP-0001"},
		"wildcard in a search":           {"02", "Quillfeather<", "Quill*<", "SMSP-0000"},
		"wildcard too early":             {"02", "Quillfeather<", "Q*<", "SMSP-0001"},
		"wildcard first":                 {"02", "Quillfeather<", "*feather<", "SMSP-0001"},
		"two wildcards":                  {"02", "Quillfeather<", "Qui**<", "SMSP-0001"},
		"another wildcard":               {"02", "Marigold<", "Mari?<", "SMSP-0001"},
		"postcode wildcard":              {"02", "LS99 9ZZ<", "LS9*<", "SMSP-0000"},
		"postcode too long":              {"02", "LS99 9ZZ<", "LS99 99ZZ<", "SMSP-0001"},
		"postcode with two spaces":       {"02", "LS99 9ZZ<", "L 99 9ZZ<", "SMSP-0001"},
		"postcode with other characters": {"02", "LS99 9ZZ<", "LS99-9ZZ<", "SMSP-0001"},
		"no family name in a search":     {"02", "<family>Quillfeather</family>", "", "SMSP-0001"},
		"no family name in a verify":     {"01", "<family>Quillfeather</family>", "", "SMSP-0000"},
	} {
		t.Run(name, func(t *testing.T) {
			body := example(t, tt.example)
			changed := bytes.Replace(body, []byte(tt.old), []byte(tt.new), 1)
			if bytes.Equal(body, changed) {
				t.Fatal("the example has changed")
			}
			if _, answer := post(t, newServer(t), changed); !strings.Contains(answer, `<value code="`+tt.want+`"`) {
				t.Errorf("want %s in %s", tt.want, answer)
			}
		})
	}
}

func TestRefuseShortSurnames(t *testing.T) {
	s := newServer(t)
	s.RefuseShortSurnames = true
	body := bytes.Replace(example(t, "01"), []byte("Quillfeather<"), []byte("Ng<"), 1)
	if _, answer := post(t, s, body); !strings.Contains(answer, "SMSP-0001") {
		t.Errorf("a surname of two letters was taken: %s", answer)
	}
}

func TestFaults(t *testing.T) {
	for do, want := range map[string]string{
		"503":            "503 the simulator was told to\n",
		"202":            "202 the simulator was told to\n",
		"fault:2100":     "500 soap:Server 2100",
		"fault:3000":     "500 soap:Client 3000",
		"fault:9999":     "500 soap:Server 9999",
		"code:SMSP-0004": "200 SMSP-0004",
		"code:SMSP-0003": "200 SMSP-0003",
		"garbage":        "200 <html>",
		"html":           "200 <html>",
		"bomb":           "200 <!DOCTYPE",
		"truncated":      "200 <soap:Envelope",
		"hollow":         "200 SMSP-0000",
		"stranger":       "200 SMSP-0000",
		"":               "200 SMSP-0000",
		"nonsense":       "501 ",
	} {
		t.Run(do, func(t *testing.T) {
			s := newServer(t, smsptest.Fault{Do: do})
			got, answer := post(t, s, example(t, "05"))
			status, parts, _ := strings.Cut(want, " ")
			if fmt.Sprint(got) != status {
				t.Errorf("status %d, want %s", got, status)
			}
			for part := range strings.FieldsSeq(parts) {
				if !strings.Contains(answer, part) {
					t.Errorf("no %s in %s", part, answer)
				}
			}
			if found := strings.Contains(answer, "9994102303"); found != (do == "" || do == "code:SMSP-0003") {
				t.Errorf("the patient's number in the answer: %v", found)
			}
		})
	}
}

func TestReset(t *testing.T) {
	s := newServer(t, smsptest.Fault{Do: "reset", Times: 1})
	if err := <-ask(t.Context(), t, s); err == nil {
		t.Error("an answer came")
	}
	if err := <-ask(t.Context(), t, s); err != nil {
		t.Errorf("after the fault's one time: %v", err)
	}
}

// A hang ends with the client's patience, and with the server.
func TestHang(t *testing.T) {
	s := newServer(t, smsptest.Fault{Do: "hang"})
	patience, cancel := context.WithCancel(t.Context())
	impatient, patient := ask(patience, t, s), ask(t.Context(), t, s)
	waitFor(t, func() bool { return s.Asked() == 2 })
	cancel()
	if err := <-impatient; !errors.Is(err, context.Canceled) {
		t.Errorf("the impatient client got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-patient; err == nil {
		t.Error("the patient client got an answer")
	}
}

func TestCloseEndsDelays(t *testing.T) {
	s := newServer(t, smsptest.Fault{Delay: time.Hour})
	delayed := ask(t.Context(), t, s)
	waitFor(t, func() bool { return s.Asked() == 1 })
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-delayed; err == nil {
		t.Error("an answer came after an hour's delay was cut short")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// ask sends a good request and tells how it ended.
func ask(ctx context.Context, t *testing.T, s *smsptest.Server) <-chan error {
	body, client, ended := example(t, "01"), client(t), make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
		if err != nil {
			ended <- err
			return
		}
		req.Header.Set("Content-Type", "text/xml")
		req.Header.Set("SOAPAction", action.FindString(string(body)))
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		ended <- err
	}()
	return ended
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it never came")
		}
	}
}

func TestMutualTLS(t *testing.T) {
	s, certs := smsptest.NewTLSServer(t, pdstest.People(), smsptest.Fault{Do: "reset", Skip: 1})
	s.Now = then
	config, err := certs.Client()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	known := &http.Client{Transport: transport}
	ask := func(c *http.Client) (status int, err error) {
		body := example(t, "01")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "text/xml")
		req.Header.Set("SOAPAction", action.FindString(string(body)))
		resp, err := c.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.StatusCode, nil
	}
	if status, err := ask(known); err != nil || status != http.StatusOK {
		t.Errorf("with a certificate: %v", err)
	}
	if _, err := ask(known); err == nil {
		t.Error("no reset below TLS")
	}
	anonymous := config.Clone()
	anonymous.Certificates = nil
	stranger := &http.Transport{TLSClientConfig: anonymous}
	defer stranger.CloseIdleConnections()
	if _, err := ask(&http.Client{Transport: stranger}); err == nil {
		t.Error("answered without a client certificate")
	}
}

func TestPage(t *testing.T) {
	s := newServer(t)
	post(t, s, example(t, "01"))
	post(t, s, []byte("<x/>"))
	resp, err := client(t).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NOT SPINE", "invented", "1  verifyNHSNumber", "SMSP-0000", "(malformed)", "asked 2 times"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestOtherMethodsAndSizes(t *testing.T) {
	s := newServer(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("PUT: status %d", resp.StatusCode)
	}
	if status, _ := post(t, s, make([]byte, 65<<10)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("65 KiB: status %d", status)
	}
}

func TestStartOnce(t *testing.T) {
	s := newServer(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ln, nil); err == nil {
		t.Error("started a second time")
	}
}

func ExampleNew() {
	s := smsptest.New(pdstest.People(), smsptest.Fault{Operation: "getNHSNumber", Do: "fault:2100", Times: 2})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Start(ln, nil); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Close() }() // nothing more is asked of it
	resp, err := http.Get(s.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	fmt.Println(resp.Header.Get("X-Simulator"))
	// Output: spinetrace simulator, NOT SPINE, invented patients
}

func BenchmarkServer(b *testing.B) {
	for name, file := range map[string]string{"verify": "01", "search": "02", "details": "05"} {
		b.Run(name, func(b *testing.B) { benchmark(b, example(b, file)) })
	}
}

// benchmark asks the handler one question over and over, without a network.
func benchmark(b *testing.B, body []byte) {
	s := smsptest.New(pdstest.People())
	s.Now = then
	header := http.Header{
		"Content-Type": {"text/xml; charset=utf-8"},
		"Soapaction":   {action.FindString(string(body))},
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		w := &discard{header: make(http.Header)}
		r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/"}, Header: header, Body: io.NopCloser(bytes.NewReader(body))}
		if s.ServeHTTP(w, r); w.status != http.StatusOK {
			b.Fatalf("status %d", w.status)
		}
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
