package exchange

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"spinetrace/pds"
	"spinetrace/store"
)

// tracing is one trace of an exchange, and the [pds.Recorder] of its calls. It may outlive
// its sender's wait.
type tracing struct {
	x    *exchange
	want pds.Want
	work store.Work // the item it is made for; zero if a sender waited for it

	// Guarded by x.mu:
	left bool // the sender was answered without the result
	void bool // nothing was asked by then, and nothing may be asked any more
}

type traced struct {
	res pds.Result
	err error
}

// trace asks the back end and waits until the reply is due. After that a trace that has
// asked goes on by itself: the attempts still allowed run to their end and are recorded.
func (x *exchange) trace(req pds.Request) (pds.Result, error) {
	t := &tracing{x: x, want: req.Want}
	req.ID, req.Recorder = x.id.String(), t
	ended := make(chan traced, 1)
	cancel := x.h.running.start(x.ctx, func(ctx context.Context) {
		res, err := x.h.ask(ctx, req)
		x.mu.Lock()
		defer x.mu.Unlock()
		ended <- traced{res, err}
		if t.left && !t.void {
			t.finish(res, err)
		}
	})
	due := time.NewTimer(x.h.Budget - x.h.Now().Sub(x.start))
	defer due.Stop()
	select {
	case r := <-ended:
		return r.res, r.err
	case <-due.C:
	case <-x.ctx.Done(): // the service stops
	}
	return t.leave(ended, cancel)
}

// leave stops waiting for the trace, unless it has just ended.
func (t *tracing) leave(ended <-chan traced, cancel context.CancelFunc) (pds.Result, error) {
	t.x.mu.Lock()
	defer t.x.mu.Unlock()
	select {
	case r := <-ended:
		return r.res, r.err
	default:
	}
	t.left = true
	if t.x.calls == 0 {
		t.void = true
		cancel()
	}
	return pds.Result{}, errPending
}

// ask calls the tracer, for no longer than its item in the queue is left alone: others would
// make the trace a second time. A panic in it is an error like any other.
func (h *Handler) ask(ctx context.Context, req pds.Request) (res pds.Result, err error) {
	defer func() {
		if recover() == nil {
			return
		}
		// The panic's own text may hold the question: only where it happened is logged.
		h.Log.ErrorContext(ctx, "panic in the back end's client", "exchange", req.ID, "stack", string(debug.Stack()))
		res, err = pds.Result{}, &pds.Error{Class: pds.ProviderError, Err: errors.New("exchange: panic in the back end's client")}
	}()
	ctx, cancel := context.WithTimeout(ctx, longestTrace)
	defer cancel()
	return h.Tracer.Trace(ctx, req)
}

// finish records how a trace ended that its sender did not wait for. The caller holds mu.
func (t *tracing) finish(res pds.Result, err error) {
	x := t.x
	facts := finished(t.want, res, err)
	var c store.Commit
	var after sequel
	if err == nil {
		defer x.h.deciding.about(res.NHSNumber)()
		var r reply
		if r, after, err = t.conclude(res); err != nil { // who else holds the number is not known: nothing is decided
			facts, after = finished(t.want, res, err), sequel{}
		} else if r.status != "" {
			facts.Outcome, facts.Decision = r.outcome.String(), r.status
			c.Patients, c.Late = x.found(r.outcome, r.found, r.status), r.late()
		} else if r.outcome == store.Refused {
			c.Late = r.late()
		}
	}
	if t.work.Exchange != x.id {
		t.work = store.Work{Exchange: x.id} // its sender waited for it
	}
	s := x.after(t.work, res, err)
	x.settled = s.Again.IsZero() && !s.Park
	x.settle(c, facts, s, after)
}

// conclude says what a result means that its sender did not wait for, and what follows from it.
func (t *tracing) conclude(res pds.Result) (r reply, after sequel, err error) {
	x := t.x
	known := x.recall()
	d, ok := x.h.decide(x.plan.subject, known, t.want, res)
	if known.err != nil {
		return r, after, known.err
	}
	r = reply{outcome: outcomeOf(t.want, res), says: textOf[d.outcome], reason: res.Reason, found: foundBy(d, res)}.learned(d, res)
	switch {
	case ok:
		r.outcome, r.status = d.outcome, d.status
	case r.outcome == store.Refused:
		r.says = questionRefused
	}
	after, err = x.sequel(r, true)
	return r, after, err
}

// late is how an exchange ended whose sender had been answered before.
func (r reply) late() *store.Closing {
	return &store.Closing{Outcome: r.outcome, NHSNumber: r.found.Digits()}
}

// finished says how a trace ended, in the words of an exchange's outcome.
func finished(want pds.Want, res pds.Result, err error) store.Facts {
	if err != nil {
		return store.Facts{Outcome: "unfinished", Reason: reasonOf(err)}
	}
	return store.Facts{Outcome: outcomeOf(want, res).String(), Code: res.Code, Reason: res.Reason, NHSFound: res.NHSNumber.Digits()}
}

// reasonOf puts a technical end in words, without what anybody said.
func reasonOf(err error) string {
	var e *pds.Error
	if errors.As(err, &e) {
		reason := e.Class.String()
		if e.Code != "" {
			reason += " " + e.Code
		}
		return reason
	}
	switch {
	case errors.Is(err, errPending):
		return "reply was due"
	case errors.Is(err, context.Canceled):
		return "cut short by a stop"
	}
	return "technical failure"
}

// Asking commits the question, before the call is made; with it the message itself, if this
// is the exchange's first commit. It implements [pds.Recorder].
func (t *tracing) Asking(_ context.Context, c pds.Call) error {
	x := t.x
	x.mu.Lock()
	defer x.mu.Unlock()
	if t.void {
		return errPending
	}
	asked := store.Entry{
		Kind:  store.Asked,
		Facts: factsOf(c, x.calls+1),
		Parts: []store.Part{{Kind: store.Request, Data: c.Body}},
	}
	err := x.commitReceived(asked)
	if err == nil {
		x.calls++
	}
	return err
}

// Waiting commits the message before its question waits for a place. It implements
// [pds.Waiter].
func (t *tracing) Waiting(context.Context) error {
	t.x.mu.Lock()
	defer t.x.mu.Unlock()
	if t.void {
		return errPending
	}
	return t.x.commitReceived()
}

// commitReceived commits entries, before them the message if nothing of the exchange is on
// disk. The caller holds mu.
func (x *exchange) commitReceived(entries ...store.Entry) error {
	if !x.opened {
		received := store.Entry{Kind: store.Received, Facts: x.facts}
		if x.frame != nil {
			received.Parts = []store.Part{{Kind: store.Frame, Data: x.frame}}
		}
		entries = slices.Insert(entries, 0, received)
	}
	if len(entries) == 0 {
		return nil
	}
	receipt, err := x.commit(store.Commit{}, entries...)
	if err == nil && receipt.Status == store.Duplicate {
		return errDuplicate
	}
	return err
}

func factsOf(c pds.Call, attempt int) store.Facts {
	return store.Facts{
		Attempt: attempt, Backend: c.Backend, Operation: c.Operation, Endpoint: c.Endpoint,
		MessageID: c.MessageID, TrackingID: c.TrackingID, PayloadID: c.PayloadID,
		NHSSent: c.NHSNumber.Digits(),
	}
}

// Answered notes how the call ended; it is committed with what comes next.
func (t *tracing) Answered(a pds.Answer) {
	x := t.x
	x.mu.Lock()
	defer x.mu.Unlock()
	entry := store.Entry{Kind: store.Answered, Facts: store.Facts{
		Attempt: x.calls, Status: a.Status, Code: a.Code, AnswerID: a.MessageID,
		Reason: a.Reason, NHSFound: a.NHSNumber.Digits(), TookMicros: a.Took.Microseconds(),
	}}
	if len(a.Body) > 0 {
		entry.Parts = []store.Part{{Kind: store.Response, Data: a.Body}}
	}
	x.pending = append(x.pending, entry)
}

// Trace asks one question outside any message, for the command line, and records it like
// any other: who asked, each call, each answer, how it ended. A result that could not be
// recorded is not shown.
func (h *Handler) Trace(ctx context.Context, user string, req pds.Request) (store.ID, pds.Result, error) {
	h.defaults()
	x := &exchange{h: h, ctx: ctx, id: store.NewID(), start: h.Now(), plan: plan{unclaimed: true}}
	x.facts = store.Facts{User: user, Role: req.Role, Type: "trace", LocalID: req.Who.LocalID, NHSSent: req.NHSNumber.Digits()}
	t := &tracing{x: x, want: req.Want}
	if err := t.Waiting(ctx); err != nil {
		return x.id, pds.Result{}, err
	}
	req.ID, req.User, req.Recorder = x.id.String(), user, t
	res, err := h.ask(ctx, req)
	x.mu.Lock()
	defer x.mu.Unlock()
	closing := &store.Closing{Outcome: outcomeOf(req.Want, res), NHSNumber: res.NHSNumber.Digits()}
	if err != nil {
		closing = &store.Closing{Outcome: store.Failed}
	}
	if _, commitErr := x.commit(store.Commit{Close: closing}, store.Entry{Kind: store.Finished, Facts: finished(req.Want, res, err)}); commitErr != nil {
		return x.id, pds.Result{}, fmt.Errorf("exchange: result not recorded, so not shown: %w", commitErr)
	}
	return x.id, res, err
}

// traces keeps account of the exchanges in hand and of the traces that outlive them.
type traces struct {
	mu      sync.Mutex
	live    map[store.ID]chan struct{}
	cancels map[int]context.CancelFunc
	next    int
	group   sync.WaitGroup
}

// enter notes that an exchange is in hand here, and returns nil; or, if it was already, a
// channel that closes when it is over.
func (t *traces) enter(id store.ID) (over <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over, ok := t.live[id]; ok {
		return over
	}
	if t.live == nil {
		t.live = make(map[store.ID]chan struct{})
	}
	t.live[id] = make(chan struct{})
	return nil
}

func (t *traces) leave(id store.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over, ok := t.live[id]; ok {
		close(over)
		delete(t.live, id)
	}
}

// start runs f until it ends, is cancelled, or drain cancels it. ctx gives values, not its
// end.
func (t *traces) start(ctx context.Context, f func(context.Context)) context.CancelFunc {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancels == nil {
		t.cancels = make(map[int]context.CancelFunc)
	}
	id := t.next
	t.next++
	t.cancels[id] = cancel
	t.group.Go(func() {
		defer t.forget(id)
		f(ctx)
	})
	return cancel
}

func (t *traces) forget(id int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancels[id]()
	delete(t.cancels, id)
}

func (t *traces) drain(ctx context.Context) error {
	idle := make(chan struct{})
	go func() {
		t.group.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	for _, cancel := range t.cancels {
		cancel()
	}
	t.mu.Unlock()
	<-idle
	return fmt.Errorf("exchange: drain: %w", ctx.Err())
}
