// Package pdsfhir asks the PDS FHIR R4 API who a patient is, in its application-restricted,
// read-only mode.
//
// A [Client] is a [pds.Tracer] that gives the five questions of package pds the meaning
// that the mini services give them, over two interactions: GET Patient/{id} and GET
// Patient?family=…. The API itself compares nothing when it is asked by number, and finds
// more than the mini services do when it searches. What may be called a match is therefore
// decided here, by the rules of sections 9.2 and 9.4 of the contract, and Result.Code has
// the code that a mini service would have answered:
//
//	key, err := pdsfhir.ParseKey(pem)
//	if err != nil {
//		return err
//	}
//	c := &pdsfhir.Client{
//		BaseURL: "https://api.service.nhs.uk/personal-demographics/FHIR/R4",
//		APIKey:  apiKey,
//		Key:     key,
//		KeyID:   "spinetrace-1",
//		ODS:     "X99",
//		Pace:    pds.NewPace(4, 4),
//	}
//	defer c.CloseIdleConnections()
//	res, err := pds.Retry(c, pds.Backoff{}).Trace(ctx, req)
//
// One question takes one call or two, up to four with the looser searches that settings
// allow, and one more for each access token. Every call is announced to the Recorder before
// it is made; the token, the assertion that bought it and the API key are withheld from what
// is recorded.
//
// Bodies are read by google/fhir/go, which refuses what it does not know. The members that
// matter are therefore cut out of a body first; see the shapes in shape.go.
//
// Nothing that the API says in words reaches an error or a Reason: those are fixed phrases
// of this package, because the API repeats the question in its diagnostics.
package pdsfhir
