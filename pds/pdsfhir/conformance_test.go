package pdsfhir_test

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"
	"time"

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
