package pdsfhirtest_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
)

const someID = "60E0B220-8136-4CA5-AE46-1D97EF59D068"

// body is as much of any answer as the tests look at.
type body struct {
	ResourceType string
	ID           string
	Total        int
	Entry        []struct {
		Resource body
		Search   struct{ Score float64 }
	}
	Issue []struct {
		Severity, Code, Diagnostics string
		Details                     struct{ Coding []struct{ Code string } }
	}
	Meta struct {
		VersionID string
		Security  []struct{ Code string }
	}
	Name []struct {
		Use, Family string
		Given       []string
	}
	Address []struct {
		Use, PostalCode string
		Line            []*string
	}
	Telecom             []struct{ System, Use, Value string }
	GeneralPractitioner []any
	BirthDate           string
	DeceasedDateTime    string
	Gender              string
}

// said is the code of an OperationOutcome, or the type of another resource, with a bundle's
// total.
func (b body) said() string {
	switch {
	case len(b.Issue) > 0 && len(b.Issue[0].Details.Coding) > 0:
		return b.Issue[0].Details.Coding[0].Code
	case b.ResourceType == "Bundle":
		return "Bundle of " + string(rune('0'+b.Total))
	}
	return b.ResourceType
}

// get asks for what lies under the base URL as a client must, with some headers otherwise;
// nil leaves one out.
func get(t testing.TB, s *pdsfhirtest.Server, target string, change http.Header) (*response, body) {
	t.Helper()
	return call(t, s, http.MethodGet, target, change)
}

func call(t testing.TB, s *pdsfhirtest.Server, method, target string, change http.Header) (*response, body) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"X-Request-Id": {someID}, "X-Correlation-Id": {"trace-7"},
		"Nhsd-End-User-Organisation-Ods": {"X99"}, "Accept": {"application/fhir+json"},
	}
	maps.Copy(req.Header, change)
	resp, raw := do(t, req)
	var b body
	if err := json.Unmarshal(raw, &b); err != nil && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/fhir+json") {
		t.Fatalf("%v in %s", err, raw)
	}
	return resp, b
}

// response is what came before a body that was read.
type response struct {
	StatusCode int
	Header     http.Header
}

// do makes a request and checks that the answer says where it comes from.
func do(t testing.TB, req *http.Request) (*response, []byte) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("X-Simulator") != simulator.Marker {
		t.Error("the answer does not say that it is a simulator's")
	}
	return &response{resp.StatusCode, resp.Header}, raw
}

func TestRead(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	for name, tt := range map[string]struct {
		target string
		status int
		said   string
		id     string
	}{
		"found":            {"/Patient/9990000018", 200, "Patient", "9990000018"},
		"superseded":       {"/Patient/9990600147", 200, "Patient", "9994104616"},
		"superseded twice": {"/Patient/9990600562", 200, "Patient", "9990600287"},
		"invalidated":      {"/Patient/9990600635", 404, "INVALIDATED_RESOURCE", ""},
		"unknown":          {"/Patient/9990999988", 404, "RESOURCE_NOT_FOUND", ""},
		"check digit":      {"/Patient/9990000019", 400, "INVALID_RESOURCE_ID", ""},
		"nine digits":      {"/Patient/999000001", 400, "INVALID_RESOURCE_ID", ""},
		"with spaces":      {"/Patient/999%20000%200018", 400, "INVALID_RESOURCE_ID", ""},
		"no number":        {"/Patient/", 400, "INVALID_RESOURCE_ID", ""},
		"parameters":       {"/Patient/9990000018?_format=json", 400, "ADDITIONAL_PROPERTIES", ""},
		"part of it":       {"/Patient/9990000018/RelatedPerson", 404, "", ""},
		"no such path":     {"/metadata", 404, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp, b := get(t, s, tt.target, nil)
			if resp.StatusCode != tt.status || b.said() != tt.said || b.ID != tt.id {
				t.Errorf("%d %s %s; want %d %s %s", resp.StatusCode, b.said(), b.ID, tt.status, tt.said, tt.id)
			}
			etag := `W/"` + b.Meta.VersionID + `"`
			if tt.id != "" && (resp.Header.Get("ETag") != etag || b.Meta.VersionID == "") {
				t.Errorf("ETag %s, want %s", resp.Header.Get("ETag"), etag)
			}
			if got := resp.Header; got.Get("X-Request-ID") != someID || got.Get("X-Correlation-ID") != "trace-7" {
				t.Error("the ids were not mirrored")
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	for name, tt := range map[string]struct {
		method string
		change http.Header
		status int
		said   string
	}{
		"no request id":         {"GET", http.Header{"X-Request-Id": nil}, 400, "MISSING_VALUE"},
		"request id":            {"GET", http.Header{"X-Request-Id": {"1234"}}, 400, "INVALID_VALUE"},
		"correlation id":        {"GET", http.Header{"X-Correlation-Id": {"a.b"}}, 400, "INVALID_VALUE"},
		"no correlation id":     {"GET", http.Header{"X-Correlation-Id": nil}, 200, "Patient"},
		"token in a sandbox":    {"GET", http.Header{"Authorization": {"Bearer x"}}, 200, "Patient"},
		"POST":                  {"POST", nil, 403, "INVALID_METHOD"},
		"PATCH":                 {"PATCH", nil, 403, "INVALID_METHOD"},
		"request id in capital": {"GET", http.Header{"X-Request-Id": {strings.ToUpper(someID)}}, 200, "Patient"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, b := call(t, s, tt.method, "/Patient/9990000018", tt.change)
			if resp.StatusCode != tt.status || b.said() != tt.said {
				t.Errorf("%d %s; want %d %s", resp.StatusCode, b.said(), tt.status, tt.said)
			}
		})
	}
}

func TestSearch(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	const primrose = "family=Halvorsen&birthdate=eq1962-04-17"
	const one, none, many = "Bundle of 1", "Bundle of 0", "TOO_MANY_MATCHES"
	for name, tt := range map[string]struct {
		query  string
		status int
		said   string
	}{
		"family and birth date":         {primrose, 200, one},
		"birth date without prefix":     {"family=halvorsen&birthdate=1962-04-17", 200, one},
		"range":                         {"family=halvorsen&birthdate=ge1962-04-01&birthdate=le1962-04-30", 200, one},
		"open range":                    {"family=halvorsen&birthdate=le1970-01-01", 200, one},
		"range beside it":               {"family=halvorsen&birthdate=ge1962-05-01&birthdate=le1962-05-31", 200, none},
		"given":                         {primrose + "&given=Primrose", 200, one},
		"given names in order":          {primrose + "&given=Primrose&given=Anne", 200, one},
		"given name that nobody has":    {primrose + "&given=Primrose&given=Zuleika", 200, none},
		"compound given name":           {"family=NG&given=wei%20ling&birthdate=eq1999-12-31", 200, one},
		"gender":                        {primrose + "&gender=female", 200, one},
		"opposite gender":               {primrose + "&gender=male", 200, none},
		"gender other":                  {primrose + "&gender=other", 200, one},
		"postcode":                      {primrose + "&address-postalcode=ls991aa", 200, one},
		"postcode, deprecated spelling": {primrose + "&address-postcode=LS99%201AA", 200, one},
		"another postcode":              {primrose + "&address-postalcode=LS99%201AB", 200, none},
		"practice":                      {primrose + "&general-practitioner=Z99901", 200, one},
		"another practice":              {primrose + "&general-practitioner=Z99902", 200, none},
		"family wildcard":               {"family=Hal%2A&birthdate=eq1962-04-17", 200, one},
		"wildcards in the middle":       {"family=Ha%2Avor%2An&birthdate=eq1962-04-17", 200, one},
		"wildcard that finds nobody":    {"family=Ha%2Axor%2An&birthdate=eq1962-04-17", 200, none},
		"given wildcard":                {primrose + "&given=Pr%2A", 200, one},
		"postcode wildcard":             {primrose + "&address-postalcode=LS9%2A", 200, one},
		"phone":                         {"family=Echowell&birthdate=eq1988-07-04&phone=07700%20900001", 200, one},
		"another phone":                 {"family=Echowell&birthdate=eq1988-07-04&phone=1", 200, none},
		"email":                         {"family=Echowell&birthdate=eq1988-07-04&email=SORREL@example.org", 200, one},
		"death date":                    {"family=Lastley&birthdate=eq1918-02-11&death-date=eq2001-09-04", 200, one},
		"death date of the living":      {primrose + "&death-date=ge1990-01-01", 200, none},
		"same in everything":            {"family=Twiceborn&birthdate=eq1929-01-01", 200, many},
		"explicit single result":        {primrose + "&_max-results=1", 200, one},
		"restricted":                    {"family=Vantongeren&birthdate=eq1991-03-05", 200, one},
		"restricted, by postcode":       {"family=Vantongeren&birthdate=eq1991-03-05&address-postalcode=LS999AL", 200, none},
		"restricted, by practice":       {"family=Vantongeren&birthdate=eq1991-03-05&general-practitioner=Z99903", 200, none},
		"superseded":                    {"family=Kettlewell&birthdate=eq1983-09-21", 200, one},
		"superseded, by what it says":   {"family=Fairwetherley&birthdate=eq1970-05-21", 200, one},
		"superseded, and its survivor":  {"family=Choppingham&birthdate=eq1991-09-08&_history=true", 200, one},
		"invalidated":                   {"family=Ghostley&birthdate=eq1955-06-05", 200, none},
		"former name":                   {"family=Marchbankse&given=Rowena&birthdate=eq1979-06-11", 200, none},
		"former name, in history":       {"family=Marchbankse&given=Rowena&birthdate=eq1979-06-11&_history=true", 200, one},
		"former postcode":               {"family=Thistlewaite&birthdate=eq1979-06-11&address-postalcode=LS997MB", 200, none},
		"former postcode, in history":   {"family=Thistlewaite&birthdate=eq1979-06-11&address-postalcode=LS997MB&_history=true", 200, one},
		"not exact":                     {"family=Tremblecote%20Vane&birthdate=eq1988-02-29&_exact-match=true", 200, none},
		"exact":                         {"family=Tremblecote-Vane&birthdate=eq1988-02-29&_exact-match=true", 200, one},
		"sounds alike":                  {"family=Halverson&given=Primrose&birthdate=eq1962-04-17", 200, none},
		"sounds alike, fuzzy":           {"family=Halverson&given=Primrose&birthdate=eq1962-04-17&_fuzzy-match=true", 200, one},
		"names swapped, fuzzy":          {"family=Primrose&given=Halvorsen&birthdate=eq1962-04-17&_fuzzy-match=true", 200, one},
		"fuzzy without given name":      {"family=Halverson&birthdate=eq1962-04-17&gender=female&address-postalcode=LS991AA&_fuzzy-match=true", 200, one},
		"fuzzy without family name":     {"given=Primrose&birthdate=eq1962-04-17&gender=female&address-postalcode=LS991AA&_fuzzy-match=true", 200, one},

		"nothing":                          {"", 400, "UNSUPPORTED_SERVICE"},
		"unknown parameter":                {primrose + "&_format=json", 400, "ADDITIONAL_PROPERTIES"},
		"no birth date":                    {"family=Halvorsen&given=Primrose", 400, "MISSING_VALUE"},
		"no family name":                   {"given=Primrose&birthdate=eq1962-04-17", 400, "INVALID_SEARCH_DATA"},
		"phone alone":                      {"phone=07700900001&birthdate=eq1988-07-04", 400, "INVALID_SEARCH_DATA"},
		"family name too long":             {"family=" + strings.Repeat("A", 36) + "&birthdate=eq1962-04-17", 400, "INVALID_VALUE"},
		"family name empty":                {"family=&birthdate=eq1962-04-17", 400, "INVALID_VALUE"},
		"family name twice":                {primrose + "&family=Other", 400, "INVALID_VALUE"},
		"birth date format":                {"family=Halvorsen&birthdate=eq19620417", 400, "INVALID_VALUE"},
		"birth date partial":               {"family=Halvorsen&birthdate=eq1962-04", 400, "INVALID_VALUE"},
		"birth date prefix":                {"family=Halvorsen&birthdate=gt1962-04-17", 400, "INVALID_VALUE"},
		"two birth dates":                  {primrose + "&birthdate=eq1962-04-18", 400, "INVALID_VALUE"},
		"range backwards":                  {"family=Halvorsen&birthdate=ge1963-01-01&birthdate=le1962-01-01", 400, "INVALID_SEARCH_DATA"},
		"gender code":                      {primrose + "&gender=F", 400, "INVALID_VALUE"},
		"wildcard early":                   {"family=H%2A&birthdate=eq1962-04-17", 400, "INVALID_VALUE"},
		"wildcard early in a postcode":     {primrose + "&address-postalcode=L%2A", 400, "INVALID_VALUE"},
		"wildcard in a given name":         {primrose + "&given=Pr%2Ase", 400, "INVALID_VALUE"},
		"wildcard in a second given name":  {primrose + "&given=Primrose&given=An%2A", 400, "INVALID_VALUE"},
		"wildcard in a phone":              {primrose + "&phone=077%2A", 400, "INVALID_VALUE"},
		"wildcard bare":                    {"family=Hal*&birthdate=eq1962-04-17", 400, "INVALID_VALUE"},
		"bad escape":                       {"family=Hal%zz&birthdate=eq1962-04-17", 400, "INVALID_VALUE"},
		"both spellings of postcode":       {primrose + "&address-postalcode=LS991AA&address-postcode=LS991AA", 400, "INVALID_SEARCH_DATA"},
		"fuzzy with a wildcard":            {"family=Hal%2A&given=Primrose&birthdate=eq1962-04-17&_fuzzy-match=true", 400, "INVALID_SEARCH_DATA"},
		"fuzzy below the minimum":          {primrose + "&_fuzzy-match=true", 400, "INVALID_SEARCH_DATA"},
		"history neither true nor false":   {primrose + "&_history=yes", 400, "INVALID_VALUE"},
		"several results":                  {primrose + "&_max-results=2", 403, "INVALID_VALUE"},
		"parameter of another name's case": {strings.Replace(primrose, "family", "Family", 1), 400, "ADDITIONAL_PROPERTIES"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, b := get(t, s, "/Patient?"+tt.query, nil)
			if resp.StatusCode != tt.status || b.said() != tt.said {
				t.Errorf("%d %s; want %d %s", resp.StatusCode, b.said(), tt.status, tt.said)
			}
		})
	}
}

// What is missing is said in the words that clients have come to know.
func TestMissingBirthDateIsNamed(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	_, b := get(t, s, "/Patient?family=Halvorsen", nil)
	if want := "birth_date/birth_date_range_start/birth_date_range_end"; !strings.Contains(b.Issue[0].Diagnostics, want) {
		t.Errorf("diagnostics %q do not name %s", b.Issue[0].Diagnostics, want)
	}
}

func TestScores(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	for query, want := range map[string]float64{
		"family=HALVORSEN&birthdate=eq1962-04-17":                                           1,
		"family=HAL%2A&birthdate=eq1962-04-17":                                              0.96,
		"family=Nunez&birthdate=eq1984-02-10":                                               0.95,
		"family=CHOPPINGHAM&birthdate=eq1991-09-08&_history=true":                           0.93,
		"family=Halverson&given=Primrose&birthdate=eq1962-04-17&_fuzzy-match=true":          0.88,
		"family=HALVORSEN&given=PRI&birthdate=eq1962-04-17":                                 0.95,
		"family=THISTLEWAITE&birthdate=eq1979-06-11&address-postcode=LS997MB&_history=true": 0.93,
	} {
		if _, b := get(t, s, "/Patient?"+query, nil); len(b.Entry) != 1 || b.Entry[0].Search.Score != want {
			t.Errorf("%s: %+v; want one with score %v", query, b.Entry, want)
		}
	}
}

// What a superseded record says finds its survivor, whom it may not fit, and nothing tells.
func TestSearchReplacesSuperseded(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	_, b := get(t, s, "/Patient?family=Fairwetherley&birthdate=eq1970-05-21", nil)
	if len(b.Entry) != 1 || b.Entry[0].Resource.ID != "9990600287" || b.Entry[0].Resource.BirthDate != "1970-05-12" {
		t.Errorf("%+v; want the survivor of the survivor", b)
	}
}

func TestRestrictedIsWithheld(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	_, whole := get(t, s, "/Patient/9990606110", nil)
	_, found := get(t, s, "/Patient?family=Underhille&birthdate=eq1983-01-05", nil)
	for _, b := range []body{whole, found.Entry[0].Resource} {
		if b.ID != "9990606110" || b.Meta.Security[0].Code != "R" {
			t.Fatalf("%s, security %v; want the restricted one, R", b.ID, b.Meta.Security)
		}
		if b.Address != nil || b.Telecom != nil || b.GeneralPractitioner != nil {
			t.Error("a restricted record tells of address, telecom or practice")
		}
	}
}

// A search hit is less than a record.
func TestSearchHitIsASubset(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	_, found := get(t, s, "/Patient?family=Thistlewaite&birthdate=eq1979-06-11", nil)
	_, whole := get(t, s, "/Patient/9990605904", nil)
	uses := func(b body) (uses []string) {
		for _, n := range b.Name {
			uses = append(uses, n.Use)
		}
		return uses
	}
	if got := uses(found.Entry[0].Resource); !slices.Equal(got, []string{"usual"}) {
		t.Errorf("names of a hit: %q", got)
	}
	if got := uses(whole); !slices.Equal(got, []string{"maiden", "usual"}) {
		t.Errorf("names of a record: %q, want the former one first", got)
	}
}

// TestAwkward looks for everybody who has something that a client may trip over: whoever
// takes one of them out of the simulator should know.
func TestAwkward(t *testing.T) {
	people := pdstest.People()
	s := pdsfhirtest.NewServer(t, people)
	seen := make(map[string]bool)
	for i := range people.Len() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/Patient/"+people.At(i).Record.NHSNumber.Digits(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-ID", someID)
		_, raw := do(t, req)
		for name, text := range map[string]string{
			"unknown member": `"x-simulated"`, "unknown extension": "Extension-Unheard-Of", "null line": `"line":[null`,
			"lapsed address": `"end":"2021-01-31"`, "resource type late": `,"resourceType":"Patient"`,
			"withdrawn death": `"code":"U"`, "death at midnight": `T00:00:00+00:00`, "death at another time": "T04:15:00+00:00",
			"month of death": `"deceasedDateTime":"2022-03"`, "month of birth": `"birthDate":"1934-07"`, "former name": `"use":"maiden"`,
		} {
			seen[name] = seen[name] || strings.Contains(string(raw), text)
		}
	}
	for name, found := range seen {
		if !found {
			t.Errorf("nobody has: %s", name)
		}
	}
}

func TestEmptyBundles(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	for id, want := range map[string]string{someID: "", someID[:35] + "0": `"entry":[]`} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/Patient?family=Nobody&birthdate=eq1962-04-17", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-ID", id)
		if _, raw := do(t, req); strings.Contains(string(raw), `"entry"`) != (want != "") || !strings.Contains(string(raw), want) {
			t.Errorf("%s; want %q", raw, want)
		}
	}
}

func TestRate(t *testing.T) {
	now := time.Date(2026, 3, 4, 9, 16, 0, 0, time.UTC)
	for name, after := range map[string]time.Duration{"without Retry-After": 0, "with Retry-After": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			s := pdsfhirtest.New(pdstest.People())
			s.Rate, s.RetryAfter, s.Now = 2, after, func() time.Time { return now }
			s.StartFor(t, nil)
			for range 2 {
				if resp, _ := get(t, s, "/Patient/9990000018", nil); resp.StatusCode != 200 {
					t.Errorf("status %d within the rate", resp.StatusCode)
				}
			}
			resp, b := get(t, s, "/Patient/9990000018", nil)
			want := map[bool]string{false: "", true: "3"}[after > 0]
			if resp.StatusCode != 429 || b.said() != "TOO_MANY_REQUESTS" || resp.Header.Get("Retry-After") != want {
				t.Errorf("%d %s, Retry-After %q; want 429 TOO_MANY_REQUESTS, %q", resp.StatusCode, b.said(), resp.Header.Get("Retry-After"), want)
			}
		})
	}
}

func TestRequestsAreRemembered(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	get(t, s, "/Patient/9990000018", nil)
	get(t, s, "/Patient?family=Halvorsen&birthdate=eq1962-04-17", nil)
	get(t, s, "/metadata", nil)
	got := s.Requests()
	if len(got) != 3 || s.Asked() != 3 || s.Tokens() != 0 {
		t.Fatalf("%d requests, %d asked, %d tokens; want 3, 3, 0", len(got), s.Asked(), s.Tokens())
	}
	if r := got[0]; r.Operation != "read" || r.NHSNumber != "9990000018" || r.Answer != "patient" ||
		r.RequestID != someID || r.CorrelationID != "trace-7" || r.ODS != "X99" {
		t.Errorf("the first was remembered as %s %s", r.Operation, r.Answer)
	}
	if r := got[1]; r.Operation != "search" || r.Answer != "one" || !strings.HasSuffix(r.Target, "&birthdate=eq1962-04-17") {
		t.Errorf("the second was remembered as %s %s", r.Operation, r.Answer)
	}
	if r := got[2]; r.Operation != "" || r.Answer != "404" {
		t.Errorf("the third was remembered as %s %s", r.Operation, r.Answer)
	}
}

func TestPage(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People())
	get(t, s, "/Patient/9990000018", nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(s.URL, "/personal-demographics/FHIR/R4")+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, page := do(t, req)
	for _, want := range []string{"NOT SPINE", "the PDS FHIR API", "invented", "1  read", "patient"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestTLS(t *testing.T) {
	s, certs := pdsfhirtest.NewTLSServer(t, pdstest.People())
	config, err := certs.Client()
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = nil // the API wants none
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(s.URL + "/Patient")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || !strings.HasPrefix(s.TokenURL, "https://") {
		t.Errorf("status %d, token endpoint %s", resp.StatusCode, s.TokenURL)
	}
}

func TestFaults(t *testing.T) {
	for do, want := range map[string]struct {
		status int
		said   string
	}{
		"503":                      {503, ""},
		"429:5":                    {429, ""},
		"code:UNKNOWN_ERROR":       {500, "UNKNOWN_ERROR"},
		"fault:ACCESS_DENIED":      {401, "ACCESS_DENIED"},
		"code:SERVICE_UNAVAILABLE": {503, "SERVICE_UNAVAILABLE"},
		"code:TOO_MANY_MATCHES":    {200, "TOO_MANY_MATCHES"},
		"code:UNHEARD_OF":          {400, "UNHEARD_OF"},
		"code:NO_ASID":             {400, "MISSING_VALUE"},
		"html":                     {200, ""},
		"":                         {200, "Patient"},
	} {
		t.Run(do, func(t *testing.T) {
			s := pdsfhirtest.NewServer(t, pdstest.People(), pdsfhirtest.Fault{Operation: "read", Do: do})
			resp, b := get(t, s, "/Patient/9990000018", nil)
			if resp.StatusCode != want.status || b.said() != want.said {
				t.Errorf("%d %s; want %d %s", resp.StatusCode, b.said(), want.status, want.said)
			}
			if wait := map[string]string{"429:5": "5", "code:SERVICE_UNAVAILABLE": "5"}[do]; resp.Header.Get("Retry-After") != wait {
				t.Errorf("Retry-After %q, want %q", resp.Header.Get("Retry-After"), wait)
			}
			if resp, _ := get(t, s, "/Patient?family=Halvorsen&birthdate=eq1962-04-17", nil); resp.StatusCode != 200 {
				t.Errorf("a search got status %d from a row about reads", resp.StatusCode)
			}
		})
	}
}

func TestImpostors(t *testing.T) {
	for do, want := range map[string]func(body) bool{
		"hollow":   func(b body) bool { return b.ResourceType == "Patient" && b.ID == "" },
		"stranger": func(b body) bool { return b.ID != "9990000018" && b.ID != "" && b.BirthDate != "1962-04-17" },
	} {
		t.Run(do, func(t *testing.T) {
			s := pdsfhirtest.NewServer(t, pdstest.People(), pdsfhirtest.Fault{Do: do})
			if _, b := get(t, s, "/Patient/9990000018", nil); !want(b) {
				t.Errorf("read: %s %s", b.ResourceType, b.ID)
			}
			if _, b := get(t, s, "/Patient?family=Halvorsen&birthdate=eq1962-04-17", nil); b.Total != 1 || !want(b.Entry[0].Resource) {
				t.Errorf("search: %d found", b.Total)
			}
		})
	}
}

// BenchmarkServer: the handler answers one question over and over, without a network.
func BenchmarkServer(b *testing.B) {
	for name, target := range map[string]string{
		"read":   "/personal-demographics/FHIR/R4/Patient/9990000018",
		"search": "/personal-demographics/FHIR/R4/Patient?family=Halvorsen&birthdate=eq1962-04-17&_history=true",
	} {
		b.Run(name, func(b *testing.B) {
			s := pdsfhirtest.New(pdstest.People())
			r := httptest.NewRequest(http.MethodGet, target, nil)
			r.Header.Set("X-Request-ID", someID)
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				if s.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatalf("status %d", w.Code)
				}
			}
		})
	}
}
