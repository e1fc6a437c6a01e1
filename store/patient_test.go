package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var anEntry = PatientKey{Authority: "RXX01", LocalID: "100001"}

// stamped makes what a part is as of: a moment, and an exchange. Parts of the same stamp are to
// be the same.
func stamped(rt *rapid.T, part string) (at time.Time, id ID, n byte) {
	s := rapid.IntRange(0, 8).Draw(rt, part)
	if s == 0 {
		return time.Time{}, ID{}, 0 // not set
	}
	return time.Date(2026, 11, 22, 10, 15, s%3, 0, time.UTC), ID{15: byte(s/3 + 1)}, byte(s)
}

var entries = rapid.Custom(func(rt *rapid.T) Patient {
	p := Patient{Key: anEntry}
	var n byte
	p.Told.At, p.Told.Exchange, n = stamped(rt, "told")
	p.Told.Print[0] = n
	p.Found.At, p.Found.Exchange, n = stamped(rt, "found")
	p.Found.Print[0] = n
	p.Moved.At, p.Moved.Exchange, n = stamped(rt, "moved")
	if n%2 == 1 {
		p.Moved.Into = PatientKey{LocalID: "100002"}
	}
	return p
})

// The order in which versions of an entry meet, and how often, makes no difference.
func TestMergeIsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b, c := entries.Draw(rt, "a"), entries.Draw(rt, "b"), entries.Draw(rt, "c")
		if a.Merge(b) != b.Merge(a) {
			rt.Error("a and b differ from b and a")
		}
		if a.Merge(b).Merge(c) != a.Merge(b.Merge(c)) {
			rt.Error("(a and b) and c differ from a and (b and c)")
		}
		if ab := a.Merge(b); a.Merge(a) != a || ab.Merge(b) != ab || ab.Merge(a) != ab {
			rt.Error("what was merged makes a difference again")
		}
		if a.Merge(Patient{Key: anEntry}) != a {
			rt.Error("an entry that says nothing makes a difference")
		}
	})
}

func TestGone(t *testing.T) {
	at := func(seconds int) time.Time { return time.Date(2026, 11, 22, 10, 15, seconds, 0, time.UTC) }
	early, late := ID{15: 1}, ID{15: 2}
	for name, tt := range map[string]struct {
		p    Patient
		want bool
	}{
		"never told of":                 {Patient{}, false},
		"told":                          {Patient{Told: Told{At: at(1), Exchange: early}}, false},
		"moved":                         {Patient{Moved: Moved{At: at(1), Exchange: early}}, true},
		"told, then moved":              {Patient{Told: Told{At: at(1), Exchange: late}, Moved: Moved{At: at(2), Exchange: early}}, true},
		"moved, then told again":        {Patient{Told: Told{At: at(2), Exchange: early}, Moved: Moved{At: at(1), Exchange: late}}, false},
		"moved and told at once":        {Patient{Told: Told{At: at(1), Exchange: early}, Moved: Moved{At: at(1), Exchange: late}}, true},
		"told at once, by a later one":  {Patient{Told: Told{At: at(1), Exchange: late}, Moved: Moved{At: at(1), Exchange: early}}, false},
		"moved and told by one message": {Patient{Told: Told{At: at(1), Exchange: late}, Moved: Moved{At: at(1), Exchange: late}}, true},
		"moved, and a trace ended":      {Patient{Moved: Moved{At: at(1), Exchange: late}, Found: Found{At: at(2), Exchange: early}}, true},
	} {
		if got := tt.p.Gone(); got != tt.want {
			t.Errorf("%s: Gone() = %t, want %t", name, got, tt.want)
		}
	}
}

func TestCurrent(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	told := Told{At: at, NHSNumber: "9990000018", Status: "03", Print: Print{1}}
	traced := Found{At: at, NHSNumber: "9990000026", Status: "01", Print: Print{1}}
	unmatched, before, undecided := traced, traced, traced
	unmatched.NHSNumber, unmatched.Status = "", "04"
	before.Print = Print{2}
	undecided.Status = ""
	for name, tt := range map[string]struct {
		p              Patient
		number, status string
	}{
		"nothing":                 {Patient{}, "", ""},
		"told":                    {Patient{Told: told}, "9990000018", "03"},
		"traced":                  {Patient{Told: told, Found: traced}, "9990000026", "01"},
		"traced in vain":          {Patient{Told: told, Found: unmatched}, "9990000018", "04"},
		"changed since its trace": {Patient{Told: told, Found: before}, "9990000018", "03"},
		"traced without decision": {Patient{Told: told, Found: undecided}, "9990000018", "03"},
		"traced, never told of":   {Patient{Found: traced}, "", ""},
	} {
		if number, status := tt.p.Current(); number != tt.number || status != tt.status {
			t.Errorf("%s: Current() = another number or status, want that of the case (status %q, got %q)", name, tt.status, status)
		}
	}
}

func TestPatientCheck(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	good := Patient{
		Key:   anEntry,
		Told:  Told{At: at, Exchange: ID{1}, NHSNumber: "9990000018", Status: "08", Doc: strings.Repeat("x", MaxDoc)},
		Found: Found{At: at, Exchange: ID{1}, Outcome: NoMatch, Status: "04"},
		Moved: Moved{At: at, Exchange: ID{1}},
	}
	for name, p := range map[string]Patient{
		"everything":       good,
		"only told":        {Key: anEntry, Told: good.Told},
		"only found":       {Key: anEntry, Found: good.Found},
		"only moved":       {Key: anEntry, Moved: good.Moved},
		"nobody's numbers": {Key: PatientKey{LocalID: "\x00\xff"}, Moved: good.Moved},
	} {
		if err := (Commit{Entries: []Entry{{Kind: Finished}}, Patients: []Patient{p}}).Check(); err != nil {
			t.Errorf("%s: Check() error = %v", name, err)
		}
	}
	for name, change := range map[string]func(*Patient){
		"no local number":      func(p *Patient) { p.Key.LocalID = "" },
		"nothing told":         func(p *Patient) { *p = Patient{Key: anEntry} },
		"told at no time":      func(p *Patient) { p.Told.At = time.Time{} },
		"told too early":       func(p *Patient) { p.Told.At = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) },
		"told too late":        func(p *Patient) { p.Told.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"told by nobody":       func(p *Patient) { p.Told.Exchange = ID{} },
		"told no number":       func(p *Patient) { p.Told.NHSNumber = "999000001x" },
		"told a short number":  func(p *Patient) { p.Told.NHSNumber = "999" },
		"told no status":       func(p *Patient) { p.Told.Status = "09" },
		"told a long status":   func(p *Patient) { p.Told.Status = "01x" },
		"told too much":        func(p *Patient) { p.Told.Doc += "x" },
		"told NUL":             func(p *Patient) { p.Told.Doc = "\x00" },
		"told bytes":           func(p *Patient) { p.Told.Doc = "\xff" },
		"found at no time":     func(p *Patient) { p.Found.At = time.Time{} },
		"found by nobody":      func(p *Patient) { p.Found.Exchange = ID{} },
		"found no outcome":     func(p *Patient) { p.Found.Outcome = 0 },
		"found what is none":   func(p *Patient) { p.Found.Outcome = 99 },
		"found no number":      func(p *Patient) { p.Found.NHSNumber = "99900000180" },
		"found no status":      func(p *Patient) { p.Found.Status = "1" },
		"moved at no time":     func(p *Patient) { p.Moved.At = time.Time{}; p.Moved.Into = anEntry },
		"moved by nobody":      func(p *Patient) { p.Moved.Exchange = ID{} },
		"moved into no number": func(p *Patient) { p.Moved.Into = PatientKey{Authority: "RXX01"} },
	} {
		p := good
		change(&p)
		err := (Commit{Entries: []Entry{{Kind: Finished}}, Patients: []Patient{good, p}}).Check()
		if !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Check() error = %v, want ErrRejected", name, err)
		}
	}
}

func TestFit(t *testing.T) {
	p := Patient{Key: anEntry, Told: Told{At: time.Date(2026, 11, 22, 10, 15, 0, 123456789, time.FixedZone("", 3600))}}
	got := p.Fit()
	if want := time.Date(2026, 11, 22, 9, 15, 0, 123456000, time.UTC); got.Told.At != want {
		t.Errorf("Fit() time = %v, want %v", got.Told.At, want)
	}
	if got.Key != p.Key || got.Fit() != got || (Patient{}).Fit() != (Patient{}) {
		t.Error("Fit() changed what fits")
	}
}

func FuzzPatientKeyFit(f *testing.F) {
	for _, s := range []string{"", "100001", "a\x00", "\xff", strings.Repeat("x", 200), strings.Repeat("é", 101)} {
		f.Add(s, s+"1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := PatientKey{LocalID: a}.Fit(), PatientKey{LocalID: b}.Fit()
		if (x == y) != (a == b) && x.LocalID != b && y.LocalID != a {
			t.Error("Fit() made two keys one")
		}
		if Text(x.LocalID) != x.LocalID || x.Fit() != x || (x.LocalID == "") != (a == "") {
			t.Error("Fit() gave a key that does not fit")
		}
	})
}
