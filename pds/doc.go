// Package pds is the question "who is this patient?" and its answer, whoever is asked.
//
// A [Tracer] takes one [Request] and returns one [Result]. Two kinds of national
// service implement it: a Spine Mini Service Provider (package smsp) and the PDS FHIR
// API. A negative answer is an [Outcome], never an error; an error means that nobody
// could find out, and [Retryable] says whether asking again makes sense.
//
//	var t pds.Tracer = &smsp.Client{Endpoint: "https://smsp.example.nhs.uk/smsp/pds", …}
//	pulse := &pds.Pulse{Limit: 2 * time.Second}
//	t = pds.Observe(t, pulse.Observe)   // pulse.Slow says not to wait
//	t = pds.Breaker(t, pds.Trip{})      // does not ask what fails
//	t = pds.Limit(t, 64, 4*time.Second) // asks 64 questions at once
//	t = pds.Retry(t, pds.Backoff{})     // makes three attempts, each with all of the above
//	res, err := t.Trace(ctx, pds.Request{
//		Want:      pds.Verify,
//		NHSNumber: number,
//		Who:       pds.Demographics{BirthDate: pds.Date{Year: 1978, Month: 2, Day: 14}},
//	})
//
// Every value that identifies a person prints as "redacted", in fmt, in log/slog and in
// encoding/json. Asking for the digits or the letters is always deliberate.
package pds
