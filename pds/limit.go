package pds

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// Limit lets at most n questions be with the service at once. A question that gets no
// place within wait ends as [NoSlot], which is not worth retrying: the sender's time is up.
// A [Waiter] is told before the wait.
func Limit(next Tracer, n int, wait time.Duration) Tracer {
	places := bulkhead.New[Result](uint(n))
	return TracerFunc(func(ctx context.Context, req Request) (Result, error) {
		if !places.TryAcquirePermit() {
			if err := waitForPlace(ctx, places, req.Recorder, wait); err != nil {
				return Result{}, err
			}
		}
		defer places.ReleasePermit()
		return next.Trace(ctx, req)
	})
}

func waitForPlace(ctx context.Context, places bulkhead.Bulkhead[Result], r Recorder, wait time.Duration) error {
	if w, ok := r.(Waiter); ok {
		if err := w.Waiting(ctx); err != nil {
			return &Error{Class: Unrecorded, Err: err}
		}
	}
	if err := places.AcquirePermitWithMaxWait(ctx, wait); err != nil {
		return &Error{Class: NoSlot, Err: err}
	}
	return nil
}

// Trip says when a breaker opens. The zero value is the contract's default.
type Trip struct {
	Failures     int             // technical ends in a row; default 5
	Delay        time.Duration   // until one question may try again; default 5 s
	DeniedDelay  time.Duration   // the same after refused credentials, which open it at once; default 60 s
	StateChanged func(open bool) // called when the breaker may have opened or closed; it must not ask
}

func (t Trip) withDefaults() Trip {
	if t.Failures == 0 {
		t.Failures = 5
	}
	if t.Delay == 0 {
		t.Delay = 5 * time.Second
	}
	if t.DeniedDelay == 0 {
		t.DeniedDelay = time.Minute
	}
	if t.StateChanged == nil {
		t.StateChanged = func(bool) {}
	}
	return t
}

// Breaker stops asking a service that fails: after t.Failures technical ends in a row, or
// one refusal of our credentials, questions end as [BreakerOpen] at once until the delay
// is over. Negative answers are successes; our own limits and an unwritten question say
// nothing about the service.
func Breaker(next Tracer, t Trip) Tracer {
	t = t.withDefaults()
	var mu sync.Mutex
	var open [2]bool
	told := func(which int) func(circuitbreaker.StateChangedEvent) {
		return func(e circuitbreaker.StateChangedEvent) {
			mu.Lock() // the two tell in one order
			defer mu.Unlock()
			open[which] = e.NewState == circuitbreaker.OpenState
			t.StateChanged(open[0] || open[1])
		}
	}
	normal := breaker(t.Failures, t.Delay, told(0))
	denied := breaker(1, t.DeniedDelay, told(1))
	return TracerFunc(func(ctx context.Context, req Request) (Result, error) {
		if !denied.TryAcquirePermit() {
			return Result{}, &Error{Class: BreakerOpen, Err: errors.New("credentials refused")}
		}
		if !normal.TryAcquirePermit() {
			reopen(denied)
			return Result{}, &Error{Class: BreakerOpen}
		}
		asked := false
		defer func() {
			if !asked { // next panicked; a place to try that is never given back would be the last
				record(normal, true)
				reopen(denied)
			}
		}()
		res, err := next.Trace(ctx, req)
		asked = true
		if silent(err) {
			reopen(normal)
			reopen(denied)
			return res, err
		}
		record(normal, ClassOf(err) != 0)
		record(denied, ClassOf(err) == AccessDenied)
		return res, err
	})
}

// breaker lets one question through when the delay is over, to try.
func breaker(failures int, delay time.Duration, told func(circuitbreaker.StateChangedEvent)) circuitbreaker.CircuitBreaker[Result] {
	return circuitbreaker.NewBuilder[Result]().
		WithFailureThreshold(uint(failures)).
		WithSuccessThreshold(1).
		WithDelay(delay).
		OnStateChanged(told).
		Build()
}

func record(b circuitbreaker.CircuitBreaker[Result], failed bool) {
	if failed {
		b.RecordFailure()
	} else {
		b.RecordSuccess()
	}
}

// silent tells the ends that say nothing about the service: it was not asked, or whoever
// asked gave up.
func silent(err error) bool {
	switch ClassOf(err) {
	case NoSlot, Unrecorded, BreakerOpen:
		return true
	default:
		return errors.Is(err, context.Canceled)
	}
}

// reopen gives back the one question that a breaker let through to try, unanswered.
func reopen(b circuitbreaker.CircuitBreaker[Result]) {
	if b.IsHalfOpen() {
		b.RecordFailure()
	}
}

// Observe calls done after every question with how long it took and how it ended.
func Observe(next Tracer, done func(w Want, took time.Duration, res Result, err error)) Tracer {
	return TracerFunc(func(ctx context.Context, req Request) (Result, error) {
		start := time.Now()
		res, err := next.Trace(ctx, req)
		done(req.Want, time.Since(start), res, err)
		return res, err
	})
}
