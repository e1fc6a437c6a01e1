package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spinetrace/store"
)

// silent is a store whose database never answers.
type silent struct{ store.Store }

func (silent) Start(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}
func (silent) Ready() error { return errNotRecorded }
func (silent) Close() error { return nil }

// TestCommandsDoNotWaitForEver: somebody sits before them.
func TestCommandsDoNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := startWithin(t.Context(), silent{}, startWait)
		if err == nil || !strings.Contains(err.Error(), "SPINETRACE_STORE: no answer within 20s: "+errNotRecorded.Error()) {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(began); waited != startWait {
			t.Errorf("waited %v, want %v", waited, startWait)
		}
	})
}
