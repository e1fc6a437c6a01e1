package pds

import "context"

// A Tracer asks a national service one question. It makes one attempt, without hidden
// retries, and is safe for concurrent use.
//
// A negative answer is a Result. An error means that nobody could find out; it is an
// [*Error] when the service, or the way to it, was at fault.
type Tracer interface {
	Trace(ctx context.Context, req Request) (Result, error)
}

// TracerFunc makes a Tracer of a function.
type TracerFunc func(ctx context.Context, req Request) (Result, error)

// Trace calls f.
func (f TracerFunc) Trace(ctx context.Context, req Request) (Result, error) { return f(ctx, req) }

// Want says what is asked: one of the five PDS mini services. Ask for no more than the
// sender needs.
type Want uint8

// The five questions.
const (
	Verify          Want = iota + 1 // does this number belong to this birth date (and name)?
	Number                          // what is this person's number?
	DetailsByNumber                 // demographics, given number and birth date
	DetailsBySearch                 // demographics, given name, birth date and sex
	Details                         // demographics, by number if there is one, else by search
)

var operations = [...]string{
	Verify:          "verifyNHSNumber",
	Number:          "getNHSNumber",
	DetailsByNumber: "getPatientDetailsByNHSNumber",
	DetailsBySearch: "getPatientDetailsBySearch",
	Details:         "getPatientDetails",
}

// String returns the operation's name as the mini services spell it.
func (w Want) String() string {
	if int(w) < len(operations) && operations[w] != "" {
		return operations[w]
	}
	return "no operation"
}

// Request is one question about one patient.
type Request struct {
	ID        string    // of the exchange; the same for every attempt
	User      string    // on whose behalf, for the provider's audit; "" means this system
	Role      string    // the role profile of User's smartcard, if there is one
	Want      Want      // what is asked
	NHSNumber NHSNumber // zero when unknown
	Who       Demographics
	Recorder  Recorder // told of every call to a national endpoint; nil means nobody is
}

// Outcome is what a national service said.
type Outcome uint8

// The outcomes. Each has the code of a mini service; a FHIR back end maps onto them.
const (
	Matched     Outcome = iota + 1 // SMSP-0000: verified, or found
	NoMatch                        // DEMOG-0001
	ManyMatches                    // DEMOG-0007
	Superseded                     // DEMOG-0017: the number was replaced; Result.NHSNumber is the survivor
	Invalidated                    // DEMOG-0022: the number was withdrawn and has no successor
	NotVerified                    // DEMOG-0040: the number exists, the demographics fall short
	OldStyle                       // DEMOG-0042: not a new-style number
	Stale                          // SMSP-0003: from the provider's local store, Spine unavailable
	Refused                        // SMSP-0001: the question was refused, by the provider or before any call
)

var outcomes = [...]string{
	Matched:     "matched",
	NoMatch:     "no match",
	ManyMatches: "many matches",
	Superseded:  "superseded",
	Invalidated: "invalidated",
	NotVerified: "not verified",
	OldStyle:    "old style",
	Stale:       "stale",
	Refused:     "refused",
}

// String returns the outcome in words.
func (o Outcome) String() string {
	if int(o) < len(outcomes) && outcomes[o] != "" {
		return outcomes[o]
	}
	return "no outcome"
}

// Result is the answer to a Request.
type Result struct {
	Outcome   Outcome
	NHSNumber NHSNumber // the current number; zero unless Matched, Superseded or Stale
	Patient   *Patient  // nil unless details were asked for, and Matched, Superseded or Stale
	Code      string    // the back end's own code, for example DEMOG-0017
	Reason    string    // which rule decided, without patient data; for the audit
}
