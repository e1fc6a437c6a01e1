package pdsfhir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spinetrace/pds"
)

// FuzzRead reads any bytes as the answer to every kind of question. A success must hold
// what makes it one, and nothing of the bytes may reach an error.
func FuzzRead(f *testing.F) {
	for _, seed := range []object{
		person(), person(object{"deceasedDateTime": "2010-10-22T00:00:00+00:00"}), found(person()), found(), outcome("TOO_MANY_MATCHES"),
		person(object{"name": []any{nil, object{"use": "usual", "given": []any{nil, "Marigold"}}}, "address": []object{{"use": "temp", "line": []any{nil}, "period": object{"end": "2030-01"}}}}),
	} {
		f.Add(200, []byte(seed.String()))
	}
	f.Add(404, []byte(outcome("RESOURCE_NOT_FOUND").String()))
	f.Add(400, []byte(`{"resourceType":"OperationOutcome","issue":[{"details":{"coding":[{"code":"MISSING_VALUE"}]},"diagnostics":"No ASID"}]}`))
	c := &Client{BaseURL: "https://pds.example.nhs.uk/FHIR/R4", TokenURL: NoTokens, ODS: "X99"}
	if err := c.Check(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, i := range []interaction{read(marigold), {step: "search", query: "family=x"}} {
			a := &answer{status: status, body: body}
			a.read(i, "id", testNow)
			checkRead(t, c, i, a)
		}
	})
}

func checkRead(t *testing.T, c *Client, i interaction, a *answer) {
	t.Helper()
	switch {
	case a.end != nil:
		checkEnd(t, a)
	case a.status != 200:
		t.Errorf("a document from status %d", a.status)
	case i.query == "":
		checkRecord(t, c, a.record)
	case a.found.hits == 1 && !a.found.several():
		checkRecord(t, c, a.found.record)
	}
}

func checkEnd(t *testing.T, a *answer) {
	t.Helper()
	v := a.end
	if v.code == "" || v.reason == "" || (v.err == nil) == (v.result.Outcome == 0) {
		t.Errorf("verdict without code, reason, or one of outcome and error: %q %q", v.code, v.reason)
	}
	if o := v.result.Outcome; o == pds.Matched || o == pds.Superseded || o == pds.Stale {
		t.Errorf("%v from status and code alone", o)
	}
	if strings.ContainsAny(v.reason, "<>&{}\"0123456789") && !strings.HasPrefix(v.reason, "not FHIR R4") {
		t.Errorf("the reason repeats the body: %q", v.reason)
	}
}

// checkRecord puts a record through what is done with records.
func checkRecord(t *testing.T, c *Client, r *record) {
	t.Helper()
	if r == nil || r.number.IsZero() {
		t.Fatal("a record of nobody")
	}
	x := c.begin(asking(pds.Details, withNumber))
	v := x.crossCheck(r)
	if v.result.Outcome == pds.Matched && (r.number != marigold || !r.born.Agrees(x.req.Who.BirthDate)) {
		t.Error("matched with another")
	}
	p, _ := r.patient(testNow)
	if n := len(p.DeathTime); n%2 != 0 || n > 14 || !p.Deceased && n > 0 {
		t.Errorf("died %q, deceased %v", p.DeathTime, p.Deceased)
	}
	if d := p.BirthDate; !d.IsZero() {
		if again, err := pds.ParseDate(d.Digits()); err != nil || again != d {
			t.Error("born on no date")
		}
	}
}

// FuzzToken reads any bytes as the answer of the token endpoint. No token that is found is
// left in what is recorded.
func FuzzToken(f *testing.F) {
	f.Add(200, []byte(good(secretToken).body))
	f.Add(200, []byte(`{"access_token":"\u0061bc","expires_in":599}`))
	f.Add(400, []byte(`{"error":"invalid_request"}`))
	c := &Client{BaseURL: "https://pds.example.nhs.uk/FHIR/R4", ODS: "X99", APIKey: "an-api-key"}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		x := c.begin(asking(pds.Verify))
		a := &answer{status: status, body: body}
		got, v := x.readToken(a, testNow)
		if (v.err == nil) != (got.value != "") || got.value != "" && (status != 200 || got.expires.Sub(testNow) > 24*time.Hour || !got.expires.After(testNow)) {
			t.Errorf("a token from status %d, or one that does not live: %v", status, v.err)
		}
		recorded := string(withhold(body, got.value, "an-api-key"))
		if len(got.value) > len(withheld) && strings.Contains(recorded, got.value) {
			t.Error("the token is recorded")
		}
	})
}

// Published bodies, where they are at hand, are read with one byte after the other changed.
func TestPublishedBodiesWithAByteChanged(t *testing.T) {
	root := published(t)
	c := &Client{BaseURL: "https://pds.example.nhs.uk/FHIR/R4", TokenURL: NoTokens, ODS: "X99"}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sandbox-mocks/Patient.json", "stubs/searchResponses/cuff_superseded_searchset.json", "stubs/errorResponses/MISSING_VALUE.json"} {
		whole, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(whole); at += 101 {
			for _, b := range []byte{0, '"', '{', ']', 0xff} {
				body := append([]byte(nil), whole...)
				body[at] = b
				a := &answer{status: 200, body: body}
				i := interaction{step: "search", query: "family=x"}
				if strings.HasSuffix(name, "Patient.json") {
					i = read(marigold)
				}
				a.read(i, "id", testNow)
				checkRead(t, c, i, a)
			}
		}
	}
}
