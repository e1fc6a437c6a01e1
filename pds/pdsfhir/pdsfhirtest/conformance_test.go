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
	key := pdsfhirtest.NewKey(t)
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

var _ pds.Tracer = (*pdsfhir.Client)(nil)
