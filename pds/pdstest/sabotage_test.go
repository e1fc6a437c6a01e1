package pdstest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
)

// TestExerciseCatches breaks a good Tracer in one way after the other. A suite that lets
// one of them pass proves nothing.
func TestExerciseCatches(t *testing.T) {
	for name, tt := range map[string]struct {
		sabotage func(pds.Tracer, context.Context, pds.Request) (pds.Result, error)
		caught   string // the beginning of a test that must fail
	}{
		"the recorder is not told": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				req.Recorder = nil
				return next.Trace(ctx, req)
			}, "recorder/is told",
		},
		"the recorder's refusal is ignored": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				if pds.ClassOf(req.Recorder.Asking(ctx, pds.Call{})) == 0 {
					req.Recorder = nil
				}
				return next.Trace(ctx, req)
			}, "recorder/refuses",
		},
		"an answer is noted twice": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				req.Recorder.Answered(pds.Answer{})
				return res, err
			}, "recorder/",
		},
		"the end of the context goes unanswered": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				if ctx.Err() != nil {
					return pds.Result{Outcome: pds.NoMatch}, nil
				}
				return next.Trace(ctx, req)
			}, "context/ended",
		},
		"failures are retried": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				if pds.Retryable(err) {
					return next.Trace(ctx, req)
				}
				return res, err
			}, "trouble/hiccup",
		},
		"failures count as no match": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				if err != nil {
					return pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"}, nil
				}
				return res, err
			}, "trouble/",
		},
		"a superseded number is a match": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				if res.Outcome == pds.Superseded {
					res.Outcome = pds.Matched
				}
				return res, err
			}, "verifyNHSNumber/superseded",
		},
		"a verify tells demographics": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				if res.Patient == nil && res.Outcome == pds.Matched {
					res.Patient = &pds.Patient{}
				}
				return res, err
			}, "verifyNHSNumber/number and birth date",
		},
		"the number asked about comes back unverified": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				if res.Outcome == pds.NotVerified {
					res.NHSNumber = req.NHSNumber
				}
				return res, err
			}, "verifyNHSNumber/another's birth date",
		},
		"fields are dropped until something is found": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				if res.Outcome == pds.NoMatch && req.Who.Postcode != "" {
					req.Who.Postcode = ""
					return next.Trace(ctx, req)
				}
				return res, err
			}, "getNHSNumber/another postcode",
		},
		"names go on the wire as they are": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				req.Who.Family = strings.ReplaceAll(req.Who.Family, "&", "&amp;")
				return next.Trace(ctx, req)
			}, "getNHSNumber/ampersand and apostrophe",
		},
		"half an answer is as good as none": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				if e, ok := errors.AsType[*pds.Error](err); ok && e.Status == 200 && e.Class == pds.SpineUnavailable {
					return pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"}, nil
				}
				return res, err
			}, "trouble/cut",
		},
		"the wait that was asked for is forgotten": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				if e, ok := errors.AsType[*pds.Error](err); ok {
					e.RetryAfter = 0
				}
				return res, err
			}, "trouble/throttle",
		},
		"an unknown address is an unknown patient": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				res, err := next.Trace(ctx, req)
				if e, ok := errors.AsType[*pds.Error](err); ok && e.Status == 404 {
					return pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"}, nil
				}
				return res, err
			}, "trouble/wrong door",
		},
		"bad questions are asked": {
			func(next pds.Tracer, ctx context.Context, req pds.Request) (pds.Result, error) {
				if req.Who.Sex == 0 {
					req.Who.Sex = pds.SexNotKnown
				}
				return next.Trace(ctx, req)
			}, "refused here/search without a sex",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &probe{ctx: t.Context(), failed: &failures{}}
			pdstest.Exercise(p, func(_ *probe, trouble pdstest.Trouble) pdstest.Backend {
				tracer := &pdstest.Tracer{Population: pdstest.People(), Trouble: trouble}
				broken := pds.TracerFunc(func(ctx context.Context, req pds.Request) (pds.Result, error) {
					if req.Recorder == nil {
						req.Recorder = deaf{}
					}
					return tt.sabotage(tracer, ctx, req)
				})
				return pdstest.Backend{Tracer: broken, Asked: tracer.Asked}
			})
			if !slices.ContainsFunc(p.failed.names, func(s string) bool { return strings.HasPrefix(s, tt.caught) }) {
				t.Errorf("not caught by %s; failed: %q", tt.caught, p.failed.names)
			}
		})
	}
}

// A back end that says its message ids stay has to keep them, and one that says nothing to
// change them.
func TestExerciseChecksMessageIDs(t *testing.T) {
	for name, stable := range map[string]bool{"recorder/ids stay": true, "recorder/new ids": false} {
		t.Run(name, func(t *testing.T) {
			p := &probe{ctx: t.Context(), failed: &failures{}}
			pdstest.Exercise(p, func(_ *probe, trouble pdstest.Trouble) pdstest.Backend {
				tracer := &pdstest.Tracer{Population: pdstest.People(), Trouble: trouble}
				swapped := pds.TracerFunc(func(ctx context.Context, req pds.Request) (pds.Result, error) {
					if req.Recorder != nil {
						req.Recorder = numbered{req.Recorder, req.ID, !stable}
					}
					return tracer.Trace(ctx, req)
				})
				return pdstest.Backend{Tracer: swapped, Asked: tracer.Asked, StableIDs: stable}
			})
			if !slices.Equal(p.failed.unique(), []string{name}) {
				t.Errorf("failed: %q; want %s alone", p.failed.unique(), name)
			}
		})
	}
}

// numbered is a Recorder that gives calls the message id of their exchange, or leaves them
// their own.
type numbered struct {
	pds.Recorder
	exchange string
	swap     bool
}

func (n numbered) Asking(ctx context.Context, c pds.Call) error {
	if n.swap {
		c.MessageID = "of " + n.exchange
	}
	return n.Recorder.Asking(ctx, c)
}

// probe stands in for *testing.T and notes which tests fail.
type probe struct {
	ctx    context.Context
	name   string
	failed *failures
}

type failures struct {
	mu    sync.Mutex
	names []string
}

func (f *failures) unique() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(f.names)))
}

func (p *probe) Helper()                  {}
func (p *probe) Context() context.Context { return p.ctx }

func (p *probe) Errorf(format string, args ...any) {
	p.failed.mu.Lock()
	defer p.failed.mu.Unlock()
	p.failed.names = append(p.failed.names, p.name)
	_ = fmt.Sprintf(format, args...) // must not panic
}

func (p *probe) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	runtime.Goexit()
}

// Run runs f on a goroutine of its own, which Fatalf may end.
func (p *probe) Run(name string, f func(*probe)) bool {
	var wg sync.WaitGroup
	wg.Go(func() { f(&probe{p.ctx, name, p.failed}) })
	wg.Wait()
	return true
}

// deaf is a Recorder that nobody listens to.
type deaf struct{}

func (deaf) Asking(context.Context, pds.Call) error { return nil }
func (deaf) Answered(pds.Answer)                    {}
