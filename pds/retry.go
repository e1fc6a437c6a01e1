package pds

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// Backoff says how often and how soon a question is asked again. The zero value is the
// contract's default: three attempts in all, 0.5 s and 2 s apart, each ± 50 %.
type Backoff struct {
	Attempts int           // in all; default 3
	Delay    time.Duration // before the second attempt; default 500 ms; four times longer before each further one
	MaxDelay time.Duration // default 2 s; a service's Retry-After may ask for more
	Jitter   float64       // share of the delay, 0 to 1; default 0.5; negative means none
}

func (b Backoff) withDefaults() Backoff {
	if b.Attempts == 0 {
		b.Attempts = 3
	}
	if b.Delay == 0 {
		b.Delay = 500 * time.Millisecond
	}
	if b.MaxDelay == 0 {
		b.MaxDelay = 2 * time.Second
	}
	if b.Jitter == 0 {
		b.Jitter = 0.5
	}
	b.Jitter = max(b.Jitter, 0)
	b.MaxDelay = max(b.MaxDelay, b.Delay)
	return b
}

// Retry asks again while [Retryable] says that it may help: a new attempt with new ids
// and the same fields, never fewer. An invalid response is asked again once at most
// (smsp.md section 12). Waits obey the context; the last error is returned.
func Retry(next Tracer, b Backoff) Tracer {
	b = b.withDefaults()
	policy := retrypolicy.NewBuilder[Result]().
		WithMaxAttempts(b.Attempts).
		WithBackoffFactor(b.Delay, b.MaxDelay+1, 4). // the library wants the maximum above the delay
		WithJitterFactor(b.Jitter).
		WithDelayFunc(retryAfter).
		HandleIf(func(_ Result, err error) bool { return Retryable(err) }).
		ReturnLastFailure().
		Build()
	retry := failsafe.With(policy)
	return TracerFunc(func(ctx context.Context, req Request) (Result, error) {
		invalid := 0
		return retry.WithContext(ctx).Get(func() (Result, error) {
			res, err := next.Trace(ctx, req)
			var e *Error
			if errors.As(err, &e) && e.Class == ResponseInvalid {
				if invalid++; invalid > 1 {
					final := *e
					final.Retry = false
					return res, &final
				}
			}
			return res, err
		})
	})
}

// retryAfter returns what the service asked for, or -1, which leaves the back-off to rule.
func retryAfter(exec failsafe.ExecutionAttempt[Result]) time.Duration {
	var e *Error
	if errors.As(exec.LastError(), &e) && e.RetryAfter > 0 {
		return e.RetryAfter
	}
	return -1
}
