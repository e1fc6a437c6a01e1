package pds

import (
	"context"
	"time"
)

// A Recorder writes down what a Tracer asks of a national service: the unit of audit is
// one HTTP call. Calls of one Request come one after the other, never at the same time.
type Recorder interface {
	// Asking returns once the call is on disk. After an error the call must not be made,
	// and the Tracer returns that error wrapped.
	Asking(ctx context.Context, c Call) error
	// Answered notes how the call announced last ended, well or badly. It does not wait
	// for the disk: whoever owns the exchange commits it with what comes next.
	Answered(a Answer)
}

// A Waiter may also be implemented by a Recorder. It is told when a question has to wait for
// a place before it can be asked; after an error it is not asked at all.
type Waiter interface {
	Waiting(ctx context.Context) error
}

// Call is one HTTP call that is about to be made.
type Call struct {
	Backend    string // "smsp" or "pds"
	Operation  string // for example "verifyNHSNumber"
	Endpoint   string // where to, without credentials or query
	MessageID  string // wsa:MessageID or X-Request-ID
	TrackingID string // the ITK tracking id or X-Correlation-ID
	PayloadID  string // the payload's id, if the protocol has one
	NHSNumber  NHSNumber
	Body       []byte // as it goes on the wire
}

// Answer is how a Call ended.
type Answer struct {
	Status    int    // HTTP status; 0 when no response came
	Code      string // the service's code: DEMOG-0001, 2100, …; "" when there was none. One that no list has comes whole, whatever it is, so that it is for the audit alone
	MessageID string // the answer's own wsa:MessageID or correlation id
	Reason    string // what went wrong or which rule decided, without patient data
	NHSNumber NHSNumber
	Took      time.Duration
	Body      []byte // as it came off the wire, decoded from any transport compression
}
