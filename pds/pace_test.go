package pds_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"spinetrace/pds"
)

func TestPaceSpacesCallsAfterTheBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := pds.NewPace(4, 4), &waiting{}
		start := time.Now()
		for range 8 {
			if err := p.Turn(t.Context(), w, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("eight calls at four a second took %v, want 1s: four at once, then one each 250 ms", took)
		}
		if w.told != 4 {
			t.Errorf("told of %d waits, want 4", w.told)
		}
	})
}

func TestPaceGivesALateTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pds.NewPace(1, 1)
		_ = p.Turn(t.Context(), nil, 0)
		start := time.Now()
		if err := p.Turn(t.Context(), nil, 500*time.Millisecond); pds.ClassOf(err) != pds.NoSlot {
			t.Errorf("a turn in 1 s, longest 500 ms: got %v, want class %v", err, pds.NoSlot)
		}
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := p.Turn(short, nil, time.Minute); pds.ClassOf(err) != pds.NoSlot {
			t.Errorf("a turn in 1 s, deadline in 500 ms: got %v, want class %v", err, pds.NoSlot)
		}
		if err := p.Turn(t.Context(), nil, time.Minute); err != nil || time.Since(start) != time.Second {
			t.Errorf("the next turn: %v after %v, want it after 1 s: refused turns are given back", err, time.Since(start))
		}
	})
}

func TestPaceDoesNotAskWhatCannotBeWrittenDown(t *testing.T) {
	p, full := pds.NewPace(0.001, 1), errors.New("disk full")
	_ = p.Turn(t.Context(), nil, 0)
	err := p.Turn(t.Context(), &waiting{err: full}, time.Hour)
	if pds.ClassOf(err) != pds.Unrecorded || !errors.Is(err, full) {
		t.Errorf("got %v, want class %v wrapping the recorder's error", err, pds.Unrecorded)
	}
}

func TestPaceEndsWithItsContext(t *testing.T) {
	p := pds.NewPace(0.001, 1)
	_ = p.Turn(t.Context(), nil, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Turn(ctx, nil, time.Hour*24); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestNoPaceLetsEverythingGo(t *testing.T) {
	if err := pds.NewPace(0, 0).Turn(t.Context(), nil, 0); err != nil {
		t.Error(err)
	}
}
