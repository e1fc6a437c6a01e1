// Package pdsfhirtest is a PDS FHIR API that is not one: an HTTP server for the reading half
// of the API, application-restricted, over a population of invented people.
//
// It is strict where the API is (and where clients cut corners): every header, parameter and
// rule of pds-fhir.md sections 2 to 7 is checked, the signed assertion of a token request
// included. Its answers have what real ones surprise with: members and extensions that no
// list names, former names before the present one, addresses that have lapsed, lines that
// are null. It misbehaves on request:
//
//	srv := pdsfhirtest.NewServer(t, pdstest.People(), pdsfhirtest.Fault{Operation: "read", Do: "429:1", Times: 1})
//	client := &pdsfhir.Client{BaseURL: srv.URL, TokenURL: "off", ODS: "X99"}
//
// Such a server is like the API's sandbox and wants no token. One with [Server.Keys] does:
//
//	key := pdsfhirtest.NewKey(t)
//	srv := pdsfhirtest.New(pdstest.People())
//	srv.APIKey, srv.Keys = "app", map[string]*rsa.PublicKey{"k1": &key.PublicKey}
//	srv.StartFor(t, nil)
//	client := &pdsfhir.Client{BaseURL: srv.URL, APIKey: "app", Key: key, KeyID: "k1", ODS: "X99"}
//
// Every response says in its X-Simulator header that it does not come from the NHS, and a
// GET of / says so in words. The package does not import package testing: the program's
// simulate command runs the same server.
package pdsfhirtest
