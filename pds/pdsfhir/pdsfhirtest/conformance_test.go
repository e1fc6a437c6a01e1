package pdsfhirtest_test

import (
	"crypto/rsa"
	"testing"

	"spinetrace/pds"
	"spinetrace/pds/pdsfhir"
	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/pds/pdstest"
)

// TestClientConforms holds the client to the contract of every Tracer, on the wire, with
// tokens and without.
func TestClientConforms(t *testing.T) {
	key := oneKey(t)
	t.Run("with tokens", func(t *testing.T) { exercise(t, key) })
	t.Run("without tokens", func(t *testing.T) { exercise(t, nil) })
}

func exercise(t *testing.T, key *rsa.PrivateKey) {
	pdstest.Exercise(t, func(t *testing.T, trouble pdstest.Trouble) pdstest.Backend {
		faults := pdsfhirtest.Acting(trouble)
		if trouble != pdstest.None && faults == nil {
			t.Skip("the API cannot have this trouble")
		}
		s := pdsfhirtest.New(pdstest.People(), faults...)
		if key != nil {
			s.Keys = map[string]*rsa.PublicKey{"k1": &key.PublicKey}
		}
		s.StartFor(t, nil)
		c := &pdsfhir.Client{BaseURL: s.URL, TokenURL: pdsfhir.NoTokens, ODS: "X99"}
		if key != nil {
			c.TokenURL, c.APIKey, c.Key, c.KeyID = "", "simulated-app", key, "k1"
		}
		t.Cleanup(c.CloseIdleConnections)
		return pdstest.Backend{
			Tracer: c, Asked: s.Asked, Tokens: s.Tokens, StableIDs: true, ShowsPatient: true,
		}
	})
}

// newClient returns a client with the rights to ask a server of newTokenServer.
func newClient(t testing.TB, s *pdsfhirtest.Server, key *rsa.PrivateKey) *pdsfhir.Client {
	c := &pdsfhir.Client{BaseURL: s.URL, APIKey: "app", Key: key, KeyID: "k1", ODS: "X99", Now: s.Now}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func verify(t testing.TB, c pds.Tracer) (pds.Result, error) {
	return c.Trace(t.Context(), pds.Request{
		ID: "exchange", Want: pds.Verify, NHSNumber: pds.MustNHSNumber("9990000018"),
		Who: pds.Demographics{BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17}},
	})
}

// A token that the API no longer takes is replaced, once.
func TestClientReplacesToken(t *testing.T) {
	key := oneKey(t)
	s := newTokenServer(t, key)
	c := newClient(t, s, key)
	for range 2 {
		for range 2 {
			if res, err := verify(t, c); err != nil || res.Outcome != pds.Matched {
				t.Fatalf("%v, %v; want %v", res.Outcome, err, pds.Matched)
			}
		}
		s.Revoke()
	}
	if s.Tokens() != 2 || s.Asked() != 5 {
		t.Errorf("%d tokens, asked %d times; want 2 and, one of them in vain, 5", s.Tokens(), s.Asked())
	}
}

// What goes wrong at the token endpoint goes wrong before the API is asked.
func TestClientWithoutToken(t *testing.T) {
	key := oneKey(t)
	for do, want := range map[string]struct {
		class pds.Class
		retry bool
		asked int
	}{
		"503":                   {pds.Busy, true, 0},
		"429:7":                 {pds.Busy, true, 0},
		"reset":                 {pds.SpineUnavailable, true, 0},
		"cut":                   {pds.SpineUnavailable, true, 0},
		"truncated":             {pds.ResponseInvalid, false, 0},
		"garbage":               {pds.ResponseInvalid, false, 0},
		"html":                  {pds.ResponseInvalid, false, 0},
		"flood":                 {pds.ResponseInvalid, false, 0},
		"bomb":                  {pds.ResponseInvalid, false, 0},
		"hollow":                {pds.ResponseInvalid, false, 0},
		"code:invalid_request":  {pds.AccessDenied, false, 0},
		"code:invalid_client":   {pds.AccessDenied, false, 0},
		"code:public_key error": {pds.AccessDenied, false, 0},
		"stranger":              {pds.AccessDenied, false, 2},
	} {
		t.Run(do, func(t *testing.T) {
			s := newTokenServer(t, key, pdsfhirtest.Fault{Operation: "token", Do: do})
			res, err := verify(t, newClient(t, s, key))
			if pds.ClassOf(err) != want.class || pds.Retryable(err) != want.retry || s.Asked() != want.asked {
				t.Errorf("%v, %v (retryable: %v), asked %d times; want %+v", res.Outcome, err, pds.Retryable(err), s.Asked(), want)
			}
		})
	}
}

// An attempt after a failure asks under the same X-Request-ID (pds-fhir.md section 3).
func TestClientKeepsRequestID(t *testing.T) {
	s := pdsfhirtest.NewServer(t, pdstest.People(), pdsfhirtest.Fault{Do: "503", Times: 1})
	c := &pdsfhir.Client{BaseURL: s.URL, TokenURL: pdsfhir.NoTokens, ODS: "X99"}
	t.Cleanup(c.CloseIdleConnections)
	if _, err := verify(t, c); !pds.Retryable(err) {
		t.Fatalf("%v; want an error that may pass", err)
	}
	if res, err := verify(t, c); err != nil || res.Outcome != pds.Matched {
		t.Fatalf("%v, %v; want %v", res.Outcome, err, pds.Matched)
	}
	got := s.Requests()
	if len(got) != 2 || got[0].RequestID == "" || got[0].RequestID != got[1].RequestID || got[0].ODS != "X99" {
		t.Errorf("%d requests; want two with one id, for X99", len(got))
	}
}
