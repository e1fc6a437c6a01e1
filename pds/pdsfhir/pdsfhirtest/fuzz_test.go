package pdsfhirtest

import (
	"crypto/rsa"
	"math/big"
	"net/url"
	"strings"
	"testing"

	"spinetrace/pds/pdstest"
)

// FuzzReadQuery: whatever is asked is read without panic, and what passes the rules can be
// searched for.
func FuzzReadQuery(f *testing.F) {
	for _, query := range []string{
		"family=Halvorsen&birthdate=eq1962-04-17",
		"family=Sm%2At%2A&given=John%20Paul&birthdate=ge1978-01-01&birthdate=le1978-12-31&gender=male",
		"family=A&given=B&birthdate=1962-04-17&_fuzzy-match=true&_exact-match=false&_history=true&_max-results=1",
		"address-postalcode=LS9%2A&general-practitioner=Z99901&phone=1&email=a@b&death-date=le2001-01-01",
		"family=%zz", "family=Hal*", "=", "&&&", "%2A=%2A", "birthdate=", "birthdate=eq", "birthdate=é2345678901",
	} {
		f.Add(query)
	}
	people := pdstest.People()
	f.Fuzz(func(t *testing.T, raw string) {
		q, p := readQuery(raw)
		if p != nil {
			if p.status < 400 || p.code == "" || p.issue == "" {
				t.Fatalf("refused with %+v", p)
			}
			return
		}
		if q.Born == (pdstest.Span{}) || !q.Fuzzy && q.Family == "" {
			t.Fatal("less than the minimum passed")
		}
		if values, err := url.ParseQuery(raw); err != nil || strings.Contains(raw, "*") || len(values.Get("family")) > 4*maxName {
			t.Fatalf("passed: %v", err)
		}
		for _, hit := range people.Find(q) {
			if hit.Score <= 0 || hit.Score > 1 {
				t.Fatalf("score %v", hit.Score)
			}
		}
	})
}

// FuzzReadAssertion: no assertion is taken that was not signed with a key of ours.
func FuzzReadAssertion(f *testing.F) {
	for _, jwt := range []string{
		"eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.eyJpc3MiOiJhIiwic3ViIjoiYSJ9.AAAA",
		"eyJhbGciOiJub25lIiwidHlwIjoiSldUIiwia2lkIjoiazEifQ.e30.", "..", "e30.e30.e30", "",
	} {
		f.Add(jwt)
	}
	key := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}
	s := New(pdstest.People())
	s.Keys = map[string]*rsa.PublicKey{"k1": key}
	f.Fuzz(func(t *testing.T, jwt string) {
		if _, p := s.readAssertion(jwt, &Request{}); p == nil || p.status < 400 || p.code == "" {
			t.Fatalf("taken, or refused with %+v", p)
		}
	})
}
