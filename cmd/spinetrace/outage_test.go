package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spinetrace/pds"
)

// TestOutageIsTwoLines: the breaker tries every five seconds, and an operator reads of the
// beginning and of the end.
func TestOutageIsTwoLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var down error = &pds.Error{Class: pds.SpineUnavailable, Err: errors.New("refused")}
		client := pds.TracerFunc(func(context.Context, pds.Request) (pds.Result, error) { return pds.Result{}, down })
		cfg := &config{BackendConcurrency: 1, BackendAttempts: 1, ReplyBudget: time.Second}
		tracer, _ := limited(client, cfg, newMetrics(thisBuild()), newLogger(&log, slog.LevelInfo))
		ask := func() { _, _ = tracer.Trace(t.Context(), pds.Request{Want: pds.Verify}) } // the log is looked at
		for range 30 {
			ask()
			<-time.After(time.Second) // of the bubble's clock: the breaker's delay passes
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"level":"WARN","msg":"back end not asked for the time being","because":"spine unavailable"`) {
			t.Errorf("during the outage:\n%s", got)
		}
		down = nil
		log.Reset()
		for range 10 {
			ask()
			<-time.After(time.Second)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"level":"INFO","msg":"back end answers again","after":"`) {
			t.Errorf("after the outage:\n%s", got)
		}
	})
}
