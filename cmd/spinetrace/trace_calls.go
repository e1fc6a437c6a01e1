package main

import (
	"context"

	"spinetrace/pds"
)

// heardCall is one HTTP call and how it ended.
type heardCall struct {
	call   pds.Call
	answer pds.Answer
}

// hearing notes the calls of one question, beside the journal.
type hearing struct {
	pds.Recorder // the journal's

	all []heardCall
}

// of returns a Tracer that asks next. It is good for one question.
func (h *hearing) of(next pds.Tracer) pds.Tracer {
	return pds.TracerFunc(func(ctx context.Context, req pds.Request) (pds.Result, error) {
		h.Recorder, req.Recorder = req.Recorder, h
		return next.Trace(ctx, req)
	})
}

// Asking implements [pds.Recorder].
func (h *hearing) Asking(ctx context.Context, c pds.Call) error {
	err := h.Recorder.Asking(ctx, c)
	if err == nil {
		h.all = append(h.all, heardCall{call: c})
	}
	return err
}

// Answered implements [pds.Recorder].
func (h *hearing) Answered(a pds.Answer) {
	h.all[len(h.all)-1].answer = a
	h.Recorder.Answered(a)
}

// Waiting implements [pds.Waiter].
func (h *hearing) Waiting(ctx context.Context) error {
	if w, ok := h.Recorder.(pds.Waiter); ok {
		return w.Waiting(ctx)
	}
	return nil
}
