package pdsfhir

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"spinetrace/pds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Everything in these tests happens at one instant.
var (
	testNow = time.Date(2025, 3, 4, 9, 15, 0, 0, time.UTC)

	marigold = pds.MustNHSNumber("9990000018")
	survivor = pds.MustNHSNumber("9990000026")

	compareNumbers = cmpopts.EquateComparable(pds.NHSNumber{})
)

// newClient returns a client without tokens of a loopback server that answers with h.
func newClient(t testing.TB, h http.Handler) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	c := &Client{
		BaseURL:  srv.URL + "/personal-demographics/FHIR/R4",
		TokenURL: NoTokens,
		ODS:      "X99",
		Now:      func() time.Time { return testNow },
	}
	t.Cleanup(func() {
		c.CloseIdleConnections()
		srv.Close()
	})
	return c
}

// A reply is one canned answer.
type reply struct {
	status      int // default 200
	body        string
	contentType string // default application/fhir+json
	header      map[string]string
}

// An api answers reads and searches with what it is given, the last reply again and again,
// and remembers what it was asked.
type api struct {
	mu       sync.Mutex
	reads    []reply
	searches []reply
	asked    []*http.Request
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, r)
	list := &a.searches
	if r.URL.RawQuery == "" {
		list = &a.reads
	}
	if len(*list) == 0 {
		a.mu.Unlock()
		http.Error(w, "not expected", http.StatusTeapot)
		return
	}
	answer := (*list)[0]
	if len(*list) > 1 {
		*list = (*list)[1:]
	}
	a.mu.Unlock()
	answer.write(w, r)
}

func (p reply) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", cmp.Or(p.contentType, "application/fhir+json"))
	h.Set("X-Request-ID", r.Header.Get("X-Request-ID"))
	for k, v := range p.header {
		h.Set(k, v)
	}
	w.WriteHeader(cmp.Or(p.status, 200))
	_, _ = w.Write([]byte(p.body)) // the client may have gone
}

// queries returns the searches made, decoded, and says how many reads there were.
func (a *api) queries() (queries []string, reads int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.asked {
		if r.URL.RawQuery == "" {
			reads++
		} else {
			queries = append(queries, r.URL.RawQuery)
		}
	}
	return queries, reads
}

// An object is a piece of JSON.
type object map[string]any

// person is the record that the tests are about, with changes.
func person(changes ...object) object {
	p := object{
		"resourceType": "Patient",
		"id":           marigold.Digits(),
		"identifier":   []object{{"system": systemNHSNumber, "value": marigold.Digits()}},
		"meta":         object{"versionId": "4", "security": []object{{"code": "U"}}},
		"name": []object{
			{"use": "usual", "prefix": []string{"MS"}, "given": []string{"Marigold", "Anne"}, "family": "Quillfeather-Ash"},
			{"use": "maiden", "given": []string{"Marigold"}, "family": "O'Tarnbeck"},
		},
		"gender":    "female",
		"birthDate": "1978-02-14",
		"address":   []object{{"use": "home", "line": []string{"8 Nowhere Road", "Leeds"}, "postalCode": "LS99 9ZZ"}},
	}
	for _, c := range changes {
		for k, v := range c {
			if p[k] = v; v == nil {
				delete(p, k)
			}
		}
	}
	return p
}

func (o object) reply() reply { return reply{body: o.String()} }

func (o object) String() string {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// found is a set of search results.
func found(people ...object) object {
	entries := []object{}
	for _, p := range people {
		entries = append(entries, object{"search": object{"score": 1}, "resource": p})
	}
	return object{"resourceType": "Bundle", "type": "searchset", "total": len(people), "entry": entries}
}

// outcome is an OperationOutcome.
func outcome(code string) object {
	return object{"resourceType": "OperationOutcome", "issue": []object{{
		"severity": "error", "code": "processing",
		"details":     object{"coding": []object{{"code": code, "display": "Quillfeather"}}},
		"diagnostics": "Invalid value - 'Quillfeather'",
	}}}
}

// asking is a question about the person.
func asking(w pds.Want, changes ...func(*pds.Request)) pds.Request {
	req := pds.Request{
		ID: "x1", Want: w,
		Who: pds.Demographics{
			Family:    "Quillfeather-Ash",
			Given:     "Marigold",
			BirthDate: pds.Date{Year: 1978, Month: 2, Day: 14},
			Sex:       pds.SexFemale,
		},
	}
	if w == pds.Verify || w == pds.DetailsByNumber {
		req.NHSNumber = marigold
	}
	for _, change := range changes {
		change(&req)
	}
	return req
}

// A memo is a Recorder that remembers, and refuses when told to.
type memo struct {
	mu      sync.Mutex
	refuse  error
	calls   []pds.Call
	answers []pds.Answer
}

func (m *memo) Asking(_ context.Context, c pds.Call) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return m.refuse
	}
	m.calls = append(m.calls, c)
	return nil
}

func (m *memo) Answered(a pds.Answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers = append(m.answers, a)
}

// all returns everything that was recorded, as text.
func (m *memo) all() string {
	var b strings.Builder
	for _, c := range m.calls {
		b.WriteString(c.Backend + c.Operation + c.Endpoint + c.MessageID + c.TrackingID + c.PayloadID)
		b.Write(c.Body)
	}
	for _, a := range m.answers {
		b.WriteString(a.Code + a.MessageID + a.Reason)
		b.Write(a.Body)
	}
	return b.String()
}

func (m *memo) last(t testing.TB) pds.Answer {
	t.Helper()
	if len(m.calls) == 0 || len(m.calls) != len(m.answers) {
		t.Fatalf("recorded %d calls and %d answers", len(m.calls), len(m.answers))
	}
	return m.answers[len(m.answers)-1]
}

// wantError checks class, code, status and whether to ask again.
func wantError(t testing.TB, err error, want pds.Error) {
	t.Helper()
	got, ok := errors.AsType[*pds.Error](err)
	if !ok {
		t.Fatalf("error = %v (%T), want a *pds.Error of class %v", err, err, want.Class)
	}
	if diff := gocmp.Diff(got, &want, cmpopts.IgnoreFields(pds.Error{}, "Err")); diff != "" {
		t.Errorf("error (-got +want):\n%s", diff)
	}
	if strings.Contains(err.Error(), "Quillfeather") || strings.Contains(err.Error(), "99900") {
		t.Errorf("error tells of the patient: %v", err)
	}
}

// tearing is a memo whose disk is full after some calls.
type tearing struct {
	memo
	after int
	err   error
}

func (r *tearing) Asking(ctx context.Context, c pds.Call) error {
	if len(r.calls) == r.after {
		return r.err
	}
	return r.memo.Asking(ctx, c)
}

// silent answers everything with one reply and remembers nothing.
type silent struct{ reply }

func (s *silent) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.write(w, r) }
