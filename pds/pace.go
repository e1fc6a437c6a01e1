package pds

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"
)

// errPace is the cause of [NoSlot] when a call would have had to wait too long for its turn.
var errPace = errors.New("rate limit")

// A Pace spaces the calls to a national endpoint: perSecond of them in the long run, and a
// burst at once after a pause. Clients take their turn before each HTTP call, so that a
// question that needs two calls counts as two. A nil Pace lets every call go at once.
type Pace struct{ limiter *rate.Limiter }

// NewPace returns a Pace of perSecond calls and at most burst of them at once; nil, which
// means no limit, when perSecond is 0.
func NewPace(perSecond float64, burst int) *Pace {
	if perSecond == 0 {
		return nil
	}
	return &Pace{rate.NewLimiter(rate.Limit(perSecond), max(burst, 1))}
}

// Turn returns when the next call may be made. A [Waiter] is told before a wait. A turn that
// would come later than longest from now, or after the end of ctx, is given back at once as
// [NoSlot].
func (p *Pace) Turn(ctx context.Context, r Recorder, longest time.Duration) error {
	if p == nil {
		return nil
	}
	turn := p.limiter.Reserve()
	if turn.Delay() == 0 {
		return nil
	}
	if w, ok := r.(Waiter); ok {
		if err := w.Waiting(ctx); err != nil {
			turn.Cancel()
			return &Error{Class: Unrecorded, Err: err}
		}
	}
	deadline, limited := ctx.Deadline()
	delay := turn.Delay()
	if delay > longest || limited && time.Until(deadline) < delay {
		turn.Cancel()
		return &Error{Class: NoSlot, Err: errPace}
	}
	return p.await(ctx, turn, delay)
}

func (p *Pace) await(ctx context.Context, turn *rate.Reservation, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return &Error{Class: NoSlot, Err: ctx.Err()}
	}
}
