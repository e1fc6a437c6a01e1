package smsp

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"spinetrace/pds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Everything in these tests happens at one instant, and one id is all ids, so that the
// examples' RelatesTo fits.
var (
	testNow = time.Date(2025, 3, 4, 9, 15, 0, 0, time.UTC)
	testID  = "241F6609-3049-4D92-A4AF-8802284A7D37"

	marigold  = pds.MustNHSNumber("9994102303")
	rosalind  = pds.MustNHSNumber("9994104616")
	unrelated = pds.MustNHSNumber("9990000018")

	compareNumbers = cmpopts.EquateComparable(pds.NHSNumber{})
)

// newClient returns a client of a loopback server that answers with h.
func newClient(t testing.TB, h http.Handler) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	c := testClient(srv.URL + "/smsp/pds")
	t.Cleanup(func() {
		c.CloseIdleConnections()
		srv.Close()
	})
	return c
}

func testClient(endpoint string) *Client {
	return &Client{
		Endpoint: endpoint,
		ODS:      "X99",
		System:   "mllp-adapter",
		Now:      func() time.Time { return testNow },
		NewID:    func() string { return testID },
	}
}

// says answers every call with one status and body.
func says(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the client may have gone
	})
}

func example(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../testdata/smsp", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func verify(n pds.NHSNumber, born pds.Date) pds.Request {
	return pds.Request{ID: "x1", Want: pds.Verify, NHSNumber: n, Who: pds.Demographics{BirthDate: born}}
}

func marigoldVerify() pds.Request { return verify(marigold, pds.Date{Year: 1978, Month: 2, Day: 14}) }

// full is a request with everything in it.
func full(w pds.Want) pds.Request {
	return pds.Request{
		ID: "x1", User: "jbloggs", Want: w, NHSNumber: marigold,
		Who: pds.Demographics{
			Family:    "Quillfeather",
			Given:     "Marigold",
			BirthDate: pds.Date{Year: 1978, Month: 2, Day: 14},
			Sex:       pds.SexFemale,
			Postcode:  "LS99 9ZZ",
			LocalID:   "H000417",
		},
	}
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
	m.calls = append(m.calls, c)
	return m.refuse
}

func (m *memo) Answered(a pds.Answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers = append(m.answers, a)
}

// only returns the one answer that every call has.
func (m *memo) only(t *testing.T) pds.Answer {
	t.Helper()
	if len(m.calls) != 1 || len(m.answers) != 1 {
		t.Fatalf("recorded %d calls and %d answers, want one of each", len(m.calls), len(m.answers))
	}
	return m.answers[0]
}

// wantError checks class, code, status and whether to ask again.
func wantError(t *testing.T, err error, want pds.Error) {
	t.Helper()
	got, ok := errors.AsType[*pds.Error](err)
	if !ok {
		t.Fatalf("error = %v (%T), want a *pds.Error of class %v", err, err, want.Class)
	}
	if diff := cmp.Diff(got, &want, cmpopts.IgnoreFields(pds.Error{}, "Err")); diff != "" {
		t.Errorf("error (-got +want):\n%s", diff)
	}
}
