package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWorkCheck(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	good := Work{Exchange: ID{1}, Patient: anEntry, Kind: SixWeeks, Due: at, Reason: strings.Repeat("x", 200)}
	check := func(w ...Work) error { return Commit{Entries: []Entry{{Kind: Finished}}, Work: w}.Check() }
	for name, w := range map[string]Work{
		"everything":     good,
		"no patient":     {Exchange: ID{1}, Kind: Unfinished, Due: at},
		"hostile number": {Exchange: ID{1}, Patient: PatientKey{LocalID: "\x00\xff"}, Kind: Put, Due: at},
	} {
		if err := check(w); err != nil {
			t.Errorf("%s: Check() error = %v", name, err)
		}
	}
	for name, change := range map[string]func(*Work){
		"no exchange":     func(w *Work) { w.Exchange = ID{} },
		"no local number": func(w *Work) { w.Patient.LocalID = "" },
		"no kind":         func(w *Work) { w.Kind = 0 },
		"unknown kind":    func(w *Work) { w.Kind = Changed + 1 },
		"not due":         func(w *Work) { w.Due = time.Time{} },
		"due too late":    func(w *Work) { w.Due = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"long reason":     func(w *Work) { w.Reason += "x" },
		"NUL":             func(w *Work) { w.Reason = "\x00" },
		"no text":         func(w *Work) { w.Reason = "\xff" },
	} {
		w := good
		change(&w)
		if err := check(good, w); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Check() error = %v, want ErrRejected", name, err)
		}
	}
}

func TestSettlementCheck(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	good := Settlement{Exchange: ID{1}, Attempt: 1, Reason: strings.Repeat("x", 200)}
	check := func(s ...Settlement) error { return Commit{Entries: []Entry{{Kind: Finished}}, Settled: s}.Check() }
	for name, s := range map[string]Settlement{
		"done": good, "ended": {Exchange: ID{1}}, "again": {Exchange: ID{1}, Again: at}, "parked": {Exchange: ID{1}, Park: true},
	} {
		if err := check(s); err != nil {
			t.Errorf("%s: Check() error = %v", name, err)
		}
	}
	for name, change := range map[string]func(*Settlement){
		"no exchange":    func(s *Settlement) { s.Exchange = ID{} },
		"no attempt":     func(s *Settlement) { s.Attempt = -1 },
		"again too late": func(s *Settlement) { s.Again = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"two outcomes":   func(s *Settlement) { s.Again, s.Park = at, true },
		"long reason":    func(s *Settlement) { s.Reason += "x" },
		"no text":        func(s *Settlement) { s.Reason = "\xff" },
	} {
		s := good
		change(&s)
		if err := check(good, s); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Check() error = %v, want ErrRejected", name, err)
		}
	}
}

func TestWorkReady(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	if w := (Work{Due: at, Until: at.Add(1)}); w.Ready() != w.Until {
		t.Error("a claimed item is ready before its claim ends")
	}
	if w := (Work{Due: at}); w.Ready() != at {
		t.Error("an item is not ready when it is due")
	}
}
