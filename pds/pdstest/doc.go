// Package pdstest holds what every [pds.Tracer] is tested with: a population of invented
// people, the one function that decides who matches a question, and a conformance suite.
//
// A [Population] answers as a national service would, by the cross-check and search rules
// of pds-fhir.md section 9 and the provider behaviour of smsp.md section 11. The
// simulators of both services serve one, so that they agree:
//
//	people := pdstest.People()
//	srv := smsptest.New(people)
//
// [Exercise] is the contract in executable form. A Tracer is right when it passes:
//
//	func TestConformance(t *testing.T) {
//		pdstest.Exercise(t, func(t *testing.T, trouble pdstest.Trouble) pdstest.Backend {
//			srv := smsptest.NewServer(t, pdstest.People(), smsptest.Acting(trouble)...)
//			return pdstest.Backend{Tracer: &smsp.Client{Endpoint: srv.URL, ODS: "X99"}, Asked: srv.Asked}
//		})
//	}
//
// What the simulators themselves have in common is in package pdstest/simulator.
//
// The package does not import package testing: the simulators are part of the program.
package pdstest
