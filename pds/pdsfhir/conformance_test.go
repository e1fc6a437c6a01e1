package pdsfhir_test

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"
	"time"

	"spinetrace/pds"
	"spinetrace/pds/pdsfhir"
	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/pds/pdstest"
)

// testKey is the key of every client that wants one: to make it takes a while.
var testKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// client returns a client of a simulator, with an application that may ask for tokens.
func client(t testing.TB, srv *pdsfhirtest.Server) *pdsfhir.Client {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	srv.APIKey, srv.Keys = "an-application", map[string]*rsa.PublicKey{"test-1": &key.PublicKey}
	c := &pdsfhir.Client{
		BaseURL: srv.URL, TokenURL: srv.TokenURL,
		APIKey: srv.APIKey, Key: key, KeyID: "test-1", ODS: "X99",
		Timeout: time.Minute, // hundreds ask at once, under the race detector too
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestClientConforms(t *testing.T) {
	pdstest.Exercise(t, func(t *testing.T, trouble pdstest.Trouble) pdstest.Backend {
		faults := pdsfhirtest.Acting(trouble)
		if trouble != pdstest.None && faults == nil {
			t.Skip("the API cannot have this trouble")
		}
		srv := pdsfhirtest.NewServer(t, pdstest.People(), faults...)
		return pdstest.Backend{
			Tracer: client(t, srv), Asked: srv.Asked, Tokens: srv.Tokens,
			StableIDs: true, ShowsPatient: true,
		}
	})
}

// Tokens may be withdrawn at any time; one new one is enough to go on.
func TestATokenWithdrawnIsReplaced(t *testing.T) {
	srv := pdsfhirtest.NewServer(t, pdstest.People())
	c := client(t, srv)
	req := pds.Request{
		ID: "x1", Want: pds.Verify, NHSNumber: pds.MustNHSNumber("9990000018"),
		Who: pds.Demographics{BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17}},
	}
	for range 3 {
		res, err := c.Trace(t.Context(), req)
		if err != nil || res.Outcome != pds.Matched {
			t.Fatalf("got %v, %v", res.Outcome, err)
		}
		srv.Revoke()
	}
	if srv.Tokens() != 3 || srv.Asked() != 5 {
		t.Errorf("%d tokens for %d calls, want 3 for 5", srv.Tokens(), srv.Asked())
	}
}

// The API counts calls, and so does a Pace: with one, no call of a busy minute is refused.
func TestAPaceKeepsBelowTheRate(t *testing.T) {
	srv := pdsfhirtest.NewServer(t, pdstest.People())
	srv.Rate = 200
	c := client(t, srv)
	c.Pace, c.PaceWait = pds.NewPace(150, 10), time.Minute
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			_, err := c.Trace(t.Context(), pds.Request{
				Want: pds.DetailsBySearch,
				Who:  pds.Demographics{Family: "HALVORSEN", BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17}, Sex: pds.SexFemale},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := srv.Asked(); n != 120 {
		t.Errorf("%d calls, want 120", n)
	}
}
