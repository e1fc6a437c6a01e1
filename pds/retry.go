package pds

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// Backoff says how often and how soon a question is asked again. The zero value is the
// contract's default: three attempts in all, 0.5 s and 2 s apart, each ± 50 %.
type Backoff struct {
	Attempts int           // in all; default 3
	Delay    time.Duration // before the second attempt; default 500 ms
	Factor   float64       // how many times longer each further delay is; default 4, at least 1
	MaxDelay time.Duration // default 2 s; a service's Retry-After may ask for more
	Jitter   float64       // share of the delay, 0 to 1; default 0.5; negative means none; a Retry-After is only made longer
}

func (b Backoff) withDefaults() Backoff {
	if b.Attempts == 0 {
		b.Attempts = 3
	}
	if b.Delay == 0 {
		b.Delay = 500 * time.Millisecond
	}
	if b.Factor == 0 {
		b.Factor = 4
	}
	if b.MaxDelay == 0 {
		b.MaxDelay = 2 * time.Second
	}
	if b.Jitter == 0 {
		b.Jitter = 0.5
	}
	b.Jitter = max(b.Jitter, 0)
	b.MaxDelay = max(b.MaxDelay, b.Delay)
	b.Factor = max(b.Factor, 1)
	return b
}

// delay returns how long to wait after a number of attempts, the last of which ended with
// err. What the service asked for is never shortened.
func (b Backoff) delay(attempts int, err error) time.Duration {
	delay := min(float64(b.Delay)*math.Pow(b.Factor, float64(attempts-1)), float64(b.MaxDelay))
	delay *= 1 + b.Jitter*(2*rand.Float64()-1)
	if e, ok := errors.AsType[*Error](err); ok && e.RetryAfter > 0 {
		return max(time.Duration(delay), e.RetryAfter+time.Duration(b.Jitter*rand.Float64()*float64(b.Delay)))
	}
	return time.Duration(delay)
}

// Retry asks again while [Retryable] says that it may help: a new attempt with new ids
// and the same fields, never fewer. An invalid response is asked again once at most
// (smsp.md section 12). The last error is returned, at once when the next attempt would come
// after the end of the context.
func Retry(next Tracer, b Backoff) Tracer {
	b = b.withDefaults()
	return TracerFunc(func(ctx context.Context, req Request) (Result, error) {
		invalid := 0
		for attempts := 1; ; attempts++ {
			res, err := next.Trace(ctx, req)
			if e, ok := errors.AsType[*Error](err); ok && e.Class == ResponseInvalid {
				if invalid++; invalid > 1 {
					final := *e
					final.Retry = false
					err = &final
				}
			}
			if !Retryable(err) || attempts >= b.Attempts || !pause(ctx, b.delay(attempts, err)) {
				return res, err
			}
		}
	})
}

// pause waits and tells whether it has: not if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	if deadline, limited := ctx.Deadline(); limited && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
