package pds_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spinetrace/pds"
)

const (
	quick = 100 * time.Millisecond
	tardy = 3 * time.Second
)

// beat tells p of n answers.
func beat(p *pds.Pulse, n int, took time.Duration) {
	for range n {
		p.Observe(pds.Verify, took, pds.Result{Outcome: pds.NoMatch}, nil)
	}
}

func TestPulseGoesByTheMedian(t *testing.T) {
	timeout := &pds.Error{Class: pds.SpineUnavailable}
	for name, tt := range map[string]struct {
		feed func(*pds.Pulse)
		slow bool
	}{
		"nothing asked":              {func(*pds.Pulse) {}, false},
		"one quick answer":           {func(p *pds.Pulse) { beat(p, 1, quick) }, false},
		"one slow answer":            {func(p *pds.Pulse) { beat(p, 1, tardy) }, true},
		"half of them slow":          {func(p *pds.Pulse) { beat(p, 5, quick); beat(p, 5, tardy) }, false},
		"more than half slow":        {func(p *pds.Pulse) { beat(p, 5, quick); beat(p, 6, tardy) }, true},
		"as long as the limit":       {func(p *pds.Pulse) { beat(p, 9, 2*time.Second) }, false},
		"one hangs, the rest do not": {func(p *pds.Pulse) { beat(p, 1, time.Hour); beat(p, 2, quick) }, false},
		"timeouts": {func(p *pds.Pulse) {
			p.Observe(pds.Verify, 10*time.Second, pds.Result{}, timeout)
		}, true},
		"not asked at all": {func(p *pds.Pulse) {
			for _, c := range []pds.Class{pds.NoSlot, pds.BreakerOpen, pds.Unrecorded} {
				p.Observe(pds.Verify, tardy, pds.Result{}, &pds.Error{Class: c})
			}
			p.Observe(pds.Verify, tardy, pds.Result{}, fmt.Errorf("smsp: %w", context.Canceled))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pds.Pulse{Limit: 2 * time.Second}
			tt.feed(p)
			if got := p.Slow(); got != tt.slow {
				t.Errorf("slow %v, want %v", got, tt.slow)
			}
		})
	}
}

func TestPulseForgetsAfterAMinute(t *testing.T) {
	now := time.Date(2025, 3, 4, 9, 15, 0, 0, time.UTC)
	p := &pds.Pulse{Limit: 2 * time.Second, Now: func() time.Time { return now }}
	beat(p, 100, tardy)
	now = now.Add(59 * time.Second)
	if !p.Slow() {
		t.Error("not slow 59 s after the slow answers")
	}
	now = now.Add(time.Second)
	if p.Slow() {
		t.Error("slow a minute after the last answer: nobody would ever ask again")
	}
	beat(p, 1, quick) // into the place of the first
	if p.Slow() {
		t.Error("slow by answers of a minute ago")
	}
}

func TestPulseRecoversByWhatIsAskedInTheBackground(t *testing.T) {
	now := time.Date(2025, 3, 4, 9, 15, 0, 0, time.UTC)
	p := &pds.Pulse{Limit: 2 * time.Second, Now: func() time.Time { return now }}
	beat(p, 20, tardy)
	for range 20 {
		now = now.Add(time.Second)
		beat(p, 1, quick)
	}
	if p.Slow() {
		t.Error("slow although half of the minute's answers were quick")
	}
}

func TestPulseSurvivesAClockThatIsSetBack(t *testing.T) {
	now := time.Date(2025, 3, 4, 9, 15, 0, 0, time.UTC)
	p := &pds.Pulse{Limit: 2 * time.Second, Now: func() time.Time { return now }}
	beat(p, 20, tardy)
	now = now.Add(-time.Hour)
	if p.Slow() {
		t.Error("slow by answers of the future")
	}
	beat(p, 1, tardy)
	if !p.Slow() {
		t.Error("not slow after a slow answer")
	}
}

func TestPulseOfATracer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pds.Pulse{Limit: 2 * time.Second}
		takes := tardy
		tracer := pds.Observe(pds.TracerFunc(func(context.Context, pds.Request) (pds.Result, error) {
			<-time.After(takes)
			return pds.Result{Outcome: pds.NoMatch}, nil
		}), p.Observe)
		var asked sync.WaitGroup
		for range 50 {
			asked.Go(func() { _, _ = tracer.Trace(context.Background(), pds.Request{}) })
		}
		asked.Wait()
		if !p.Slow() {
			t.Error("not slow")
		}
		<-time.After(time.Minute)
		if p.Slow() {
			t.Error("slow a minute later")
		}
		takes = quick
		_, _ = tracer.Trace(context.Background(), pds.Request{})
		if p.Slow() {
			t.Error("slow after a quick answer")
		}
	})
}

// BenchmarkPulseSlow asks a full minute, as is done for every message.
func BenchmarkPulseSlow(b *testing.B) {
	now := time.Date(2025, 3, 4, 9, 15, 0, 0, time.UTC)
	p := &pds.Pulse{Limit: 2 * time.Second, Now: func() time.Time { return now }}
	for range 60 {
		now = now.Add(time.Second)
		beat(p, 1, quick)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Slow()
	}
}
