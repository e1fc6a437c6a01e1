package pdstest

import (
	"context"
	"sync/atomic"

	"github.com/google/uuid"

	"spinetrace/pds"
)

// Tracer asks a population in memory. It stands in for a back end where the wire is of no
// interest, and keeps the whole contract of [pds.Tracer], recorder included.
type Tracer struct {
	Population *Population // required
	Rules      pds.Rules
	Trouble    Trouble

	asked atomic.Int64
}

// Asked returns how many questions have reached the population.
func (t *Tracer) Asked() int { return int(t.asked.Load()) }

// Trace answers one question.
func (t *Tracer) Trace(ctx context.Context, req pds.Request) (pds.Result, error) {
	if refused, ok := t.Rules.Check(req); !ok {
		return refused, nil
	}
	if req.Recorder == nil {
		res, _, err := t.answer(ctx, req)
		return res, err
	}
	if err := req.Recorder.Asking(ctx, call(req)); err != nil {
		return pds.Result{}, &pds.Error{Class: pds.Unrecorded, Err: err}
	}
	res, answer, err := t.answer(ctx, req)
	req.Recorder.Answered(answer)
	return res, err
}

func call(req pds.Request) pds.Call {
	return pds.Call{
		Backend:    "memory",
		Operation:  req.Want.String(),
		Endpoint:   "memory:people",
		MessageID:  uuid.NewString(),
		TrackingID: uuid.NewString(),
		NHSNumber:  req.NHSNumber,
		Body:       []byte(req.Want.String()),
	}
}

func (t *Tracer) answer(ctx context.Context, req pds.Request) (pds.Result, pds.Answer, error) {
	t.asked.Add(1)
	if t.Trouble == Silence {
		<-ctx.Done()
	}
	if err := ctx.Err(); err != nil {
		e := &pds.Error{Class: pds.SpineUnavailable, Retry: true, Err: err}
		return pds.Result{}, pds.Answer{Reason: e.Class.String()}, e
	}
	if e := failures[t.Trouble]; e.Class != 0 {
		return pds.Result{}, pds.Answer{Status: e.Status, Code: e.Code, Reason: e.Class.String()}, &e
	}
	finding := t.Population.Ask(req.Want, req.NHSNumber, req.Who)
	if t.Trouble == Rejection {
		finding = Finding{Code: "SMSP-0001", Reason: "refused"}
	}
	if t.Trouble == LocalCopy {
		finding.Code = "SMSP-0003"
	}
	res := result(req.Want, finding)
	return res, pds.Answer{
		Status: 200, Code: res.Code, Reason: res.Reason, NHSNumber: res.NHSNumber,
		MessageID: uuid.NewString(), Body: []byte(res.Code),
	}, nil
}

// failures is how a client must report the troubles that are technical ends.
var failures = map[Trouble]pds.Error{
	Drop:      {Class: pds.SpineUnavailable, Retry: true},
	Cut:       {Class: pds.SpineUnavailable, Status: 200, Retry: true},
	Truncated: {Class: pds.ResponseInvalid, Status: 200, Retry: true},
	Garbage:   {Class: pds.ResponseInvalid, Status: 200, Retry: true},
	WebPage:   {Class: pds.ResponseInvalid, Status: 200, Retry: true},
	Flood:     {Class: pds.ResponseInvalid, Status: 200},
	Bomb:      {Class: pds.ResponseInvalid, Status: 200},
	Hollow:    {Class: pds.ResponseInvalid, Status: 200, Code: codeSuccess, Retry: true},
	Stranger:  {Class: pds.ResponseInvalid, Status: 200, Code: codeSuccess, Retry: true},
	BusyTone:  {Class: pds.Busy, Status: 503, Retry: true},
	Throttle:  {Class: pds.Busy, Status: 429, Retry: true, RetryAfter: throttled},
	Expiry:    {Class: pds.AccessDenied, Status: 401},
	WrongDoor: {Class: pds.InputInvalid, Status: 404},
	Denial:    {Class: pds.AccessDenied, Status: 500, Code: "3000"},
	Hiccup:    {Class: pds.ProviderError, Status: 500, Code: "2100", Retry: true},
	Breakdown: {Class: pds.ProviderError, Status: 500, Code: "2200"},
	Gibberish: {Class: pds.UnknownCode, Status: 200, Code: "QUUX-0001"},
}

var outcomes = map[string]pds.Outcome{
	codeSuccess: pds.Matched, codeNoMatch: pds.NoMatch, codeMultiple: pds.ManyMatches,
	codeSuperseded: pds.Superseded, codeInvalidated: pds.Invalidated,
	codeNotVerified: pds.NotVerified, "SMSP-0001": pds.Refused, "SMSP-0003": pds.Stale,
}

func result(want pds.Want, f Finding) pds.Result {
	res := pds.Result{Outcome: outcomes[f.Code], Code: f.Code, Reason: f.Reason}
	if f.Person == nil {
		return res
	}
	res.NHSNumber = f.Person.Record.NHSNumber
	if want != pds.Verify && want != pds.Number {
		patient := f.Person.Disclosed()
		res.Patient = &patient
	}
	return res
}
