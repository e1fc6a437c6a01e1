package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestLetterCheck(t *testing.T) {
	good := Letter{Destination: "pas", Exchange: ID{1}, ControlID: "L1", Kind: Update, Patient: anEntry}
	check := func(l ...Letter) error { return Commit{Entries: []Entry{{Kind: Queued}}, Letters: l}.Check() }
	for name, l := range map[string]Letter{
		"everything":      good,
		"no patient":      {Destination: strings.Repeat("z", 20), Exchange: ID{1}, ControlID: "L1", Kind: Notice},
		"hostile names":   {Destination: "a", Exchange: ID{1}, ControlID: "\x00\xff", Kind: Forwarded, Patient: PatientKey{LocalID: "\x00"}},
		"long control":    {Destination: "a", Exchange: ID{1}, ControlID: strings.Repeat("x", 300), Kind: Acknowledgement},
		"what is not its": {Destination: "a", Exchange: ID{1}, ControlID: "L1", Kind: Update, State: 99, Reason: "\xff", Attempt: -1},
	} {
		if err := check(l); err != nil {
			t.Errorf("%s: Check() error = %v", name, err)
		}
	}
	for name, change := range map[string]func(*Letter){
		"no exchange":      func(l *Letter) { l.Exchange = ID{} },
		"no control id":    func(l *Letter) { l.ControlID = "" },
		"no kind":          func(l *Letter) { l.Kind = 0 },
		"unknown kind":     func(l *Letter) { l.Kind = Notice + 1 },
		"no local number":  func(l *Letter) { l.Patient.LocalID = "" },
		"no destination":   func(l *Letter) { l.Destination = "" },
		"long destination": func(l *Letter) { l.Destination = strings.Repeat("z", 21) },
		"capitals":         func(l *Letter) { l.Destination = "PAS" },
		"two words":        func(l *Letter) { l.Destination = "the pas" },
		"not English":      func(l *Letter) { l.Destination = "é" },
	} {
		l := good
		change(&l)
		if err := check(good, l); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Check() error = %v, want ErrRejected", name, err)
		}
	}
}

func TestDispatchCheck(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	good := Dispatch{Position: 1, Attempt: 1, State: Waiting, Due: at, Refused: true, Reason: strings.Repeat("x", 200)}
	check := func(d ...Dispatch) error { return Commit{Entries: []Entry{{Kind: Tried}}, Dispatched: d}.Check() }
	for name, d := range map[string]Dispatch{
		"again": good, "delivered": {Position: 1, Attempt: 1, State: Delivered}, "by an operator": {Position: 1, State: Dropped},
	} {
		if err := check(d); err != nil {
			t.Errorf("%s: Check() error = %v", name, err)
		}
	}
	for name, change := range map[string]func(*Dispatch){
		"no letter":     func(d *Dispatch) { d.Position = 0 },
		"no position":   func(d *Dispatch) { d.Position = -1 },
		"no attempt":    func(d *Dispatch) { d.Attempt = -1 },
		"no state":      func(d *Dispatch) { d.State = 0 },
		"unknown state": func(d *Dispatch) { d.State = Dropped + 1 },
		"at no time":    func(d *Dispatch) { d.Due = time.Time{} },
		"too late":      func(d *Dispatch) { d.Due = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"long reason":   func(d *Dispatch) { d.Reason += "x" },
		"no text":       func(d *Dispatch) { d.Reason = "\xff" },
	} {
		d := good
		change(&d)
		if err := check(good, d); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Check() error = %v, want ErrRejected", name, err)
		}
	}
}

func TestLetterFit(t *testing.T) {
	one, two := strings.Repeat("x", 300), strings.Repeat("x", 301)
	l := Letter{ControlID: one, Patient: PatientKey{LocalID: one}}.Fit()
	if l.ControlID == (Letter{ControlID: two}).Fit().ControlID || len(l.ControlID) > 200 || len(l.Patient.LocalID) > 200 {
		t.Error("long control ids are cut to the same, or not at all")
	}
	if l.Fit() != l {
		t.Error("what fits is changed")
	}
	at := time.Date(2026, 11, 22, 10, 15, 0, 1_999, time.FixedZone("", 3600))
	if d := (Dispatch{Due: at}).Fit(); d.Due != at.UTC().Truncate(time.Microsecond) {
		t.Errorf("Fit() due = %v, want whole microseconds in UTC", d.Due)
	}
}
