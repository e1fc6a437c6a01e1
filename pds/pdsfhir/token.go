package pdsfhir

import (
	"context"
	"errors"
	"sync"
	"time"

	"spinetrace/pds"
	"spinetrace/pds/pdshttp"
)

const (
	renewBefore = time.Minute      // before a token expires
	renewPause  = 10 * time.Second // after a renewal that failed while the old token was good
)

// A token is what the API lets our application in with.
type token struct {
	value   string
	renew   time.Time // from then on a new one is wanted
	expires time.Time
}

func newToken(value string, now time.Time, lifetime time.Duration) token {
	expires := now.Add(lifetime)
	return token{value, expires.Add(-min(renewBefore, lifetime/2)), expires}
}

// tokens keeps the one token that all calls of a Client share. Whoever finds that a new one
// is wanted fetches it; the others go on with the old one while it is good, and wait when
// it is not.
type tokens struct {
	mu      sync.Mutex // held for no longer than a look; the fetching is outside
	current token
	flight  *flight // the renewal under way, if there is one
}

// A flight is one renewal. Its results may be read when done is closed.
type flight struct {
	done   chan struct{}
	err    error
	gaveUp bool // the one who fetched could not go on: that is no answer for the others
}

// get returns a token that is good at now(). fetch is called at most once; its error is
// returned only if there is no good token left. A waiter shares the error of the one it
// waited for, unless that one gave up: then it fetches in turn.
func (t *tokens) get(ctx context.Context, now func() time.Time, fetch func(context.Context) (token, error)) (string, error) {
	for {
		old, mine, theirs := t.look(now())
		switch {
		case mine != nil:
			return t.lead(ctx, mine, now, fetch)
		case theirs == nil:
			return old.value, nil
		}
		select {
		case <-theirs.done:
			if theirs.err != nil && !theirs.gaveUp {
				return "", theirs.err
			}
		case <-ctx.Done():
			return "", ended(ctx)
		}
	}
}

// look returns a token to use, a flight to lead, or one to wait for.
func (t *tokens) look(now time.Time) (use token, mine, theirs *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	good := now.Before(t.current.expires)
	switch {
	case good && (t.flight != nil || now.Before(t.current.renew)):
		return t.current, nil, nil
	case t.flight != nil:
		return token{}, nil, t.flight
	}
	t.flight = &flight{done: make(chan struct{})}
	return token{}, t.flight, nil
}

func (t *tokens) lead(ctx context.Context, f *flight, now func() time.Time, fetch func(context.Context) (token, error)) (string, error) {
	fetched := false
	defer func() {
		if !fetched { // fetch panicked
			_, _ = t.land(f, token{}, errNoToken, true, now) // who panics wants no token
		}
	}()
	got, err := fetch(ctx)
	fetched = true
	return t.land(f, got, err, err != nil && gaveUp(ctx, err), now)
}

var errNoToken = errors.New("no token")

// land ends a flight and returns the token to go on with.
func (t *tokens) land(f *flight, got token, err error, gaveUp bool, now func() time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(f.done)
	t.flight = nil
	f.err, f.gaveUp = err, gaveUp
	at := now()
	switch {
	case err == nil:
		t.current = got
		return got.value, nil
	case at.Before(t.current.expires):
		// Nobody should wait for a failing endpoint on every call of the last minute.
		if !gaveUp {
			t.current.renew = at.Add(renewPause)
		}
		return t.current.value, nil
	}
	return "", err
}

// gaveUp tells whether a renewal ended for a reason of the one who made it.
func gaveUp(ctx context.Context, err error) bool {
	class := pds.ClassOf(err)
	return ctx.Err() != nil || class == pds.Unrecorded || class == pds.NoSlot
}

// discard forgets a token that the API refused, unless it was replaced meanwhile.
func (t *tokens) discard(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.value == value {
		t.current = token{}
	}
}

// ended is the error of a context that ended while its owner waited for a token.
func ended(ctx context.Context) error {
	_, err := pdshttp.Failure(ctx, "pdsfhir: token", 0, ctx.Err())
	return err
}
