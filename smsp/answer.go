package smsp

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"spinetrace/pds"
	"spinetrace/pds/pdshttp"
)

// An answer is how a call ended.
type answer struct {
	response
	result    pds.Result
	err       error
	code      string // as it came
	messageID string
	reason    string
	notes     []string
	took      time.Duration
}

// record is the answer as the audit has it.
func (a *answer) record() pds.Answer {
	return pds.Answer{
		Status:    a.status,
		Code:      a.code,
		MessageID: a.messageID,
		Reason:    a.reason,
		NHSNumber: a.result.NHSNumber,
		Took:      a.took,
		Body:      a.body,
	}
}

// ask makes the call and reads what comes back.
func (c *Client) ask(ctx context.Context, q *question) *answer {
	start := c.now()
	limited, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, 10*time.Second))
	defer cancel()
	resp, err := c.post(limited, q)

	a := &answer{response: resp, notes: q.notes}
	if err == nil {
		a.conclude(a.read(q, c.now()))
	} else if a.reason, a.err = pdshttp.Failure(ctx, "smsp: "+q.op.name, resp.status, err); pds.ClassOf(a.err) != 0 && saysAll(resp.status) {
		a.note(a.reason)
		a.conclude(a.read(q, c.now()))
	}
	a.took = c.now().Sub(start)
	a.reason = strings.Join(append([]string{a.reason}, a.notes...), "; ")
	if a.err == nil {
		a.result.Reason = a.reason
	}
	return a
}

func (a *answer) conclude(fault *pds.Error) {
	if fault != nil {
		a.reason, a.err = fault.Err.Error(), fault
	}
}

var errStatus = errors.New("no answer with this status")

// read goes by the HTTP status first (section 3).
func (a *answer) read(q *question, now time.Time) *pds.Error {
	t := treatmentOf(a.status)
	fault := &pds.Error{Class: t.class, Retry: t.retry, Err: errStatus}
	if t.class == pds.Busy {
		fault.RetryAfter = pdshttp.RetryAfter(a.header, now)
	}
	switch {
	case t.read:
		fault = a.readEnvelope(q)
	case t.fault:
		if f := a.readOnlyFault(q); f != nil {
			fault = f
		}
	}
	if fault != nil {
		// An answer that cannot be true had a response code all the same.
		fault.Code, fault.Status = presentable(a.code), a.status
	}
	return fault
}

// readOnlyFault returns the fault in a response that cannot be an answer, nil if there
// is none.
func (a *answer) readOnlyFault(q *question) *pds.Error {
	header, body, err := open(a.body)
	if err != nil || !is(body, nsSOAP, "Fault") {
		return nil
	}
	a.messageID = messageID(header)
	return a.readFault(q, header, body)
}
