// Package smsptest is a Spine Mini Service Provider that is not one: a SOAP server for
// the five PDS mini services over a population of invented people.
//
// It is strict where real providers are (and where clients cut corners): every header,
// identifier, count and order of smsp.md sections 3 to 6 is checked, and a message that
// breaks one gets fault 1000 that says where. It answers by the rules of section 11, in
// messages that are valid against the published schemas, and it misbehaves on request:
//
//	srv := smsptest.NewServer(t, pdstest.People(), smsptest.Fault{Do: "503", Times: 1})
//	client := &smsp.Client{Endpoint: srv.URL, ODS: "X99"}
//
// A [Server] is a [net/http.Handler] too. Every response says in its X-Simulator header
// that it does not come from Spine, and a GET of any path says so in words.
//
// The package does not import package testing: the program's simulate and demo commands
// run the same server.
package smsptest
