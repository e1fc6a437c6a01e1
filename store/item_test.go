package store

import (
	"errors"
	"strings"
	"testing"
)

func TestItemCheck(t *testing.T) {
	good := Item{
		Kind: Overrun, Subject: "subject", Patient: anEntry, NHSNumber: "9990000018", Exchange: ID{1},
		Doc: strings.Repeat("x", MaxDoc), Notify: []string{"clerks", "pas"},
	}
	check := func(i ...Item) error { return Commit{Entries: []Entry{{Kind: Finished}}, Items: i}.Check() }
	for name, i := range map[string]Item{
		"everything":    good,
		"little":        {Kind: SharedNumber, Subject: "s", Exchange: ID{1}},
		"hostile names": {Kind: Conflict, Subject: "\x00\xff", Exchange: ID{1}, Patient: PatientKey{LocalID: "\x00"}},
	} {
		if err := check(i); err != nil {
			t.Errorf("%s: Check() error = %v", name, err)
		}
	}
	for name, change := range map[string]func(*Item){
		"no kind":         func(i *Item) { i.Kind = 0 },
		"unknown kind":    func(i *Item) { i.Kind = Overrun + 1 },
		"no subject":      func(i *Item) { i.Subject = "" },
		"no exchange":     func(i *Item) { i.Exchange = ID{} },
		"no local number": func(i *Item) { i.Patient.LocalID = "" },
		"no NHS number":   func(i *Item) { i.NHSNumber = "999" },
		"large document":  func(i *Item) { i.Doc += "x" },
		"NUL":             func(i *Item) { i.Doc = "\x00" },
		"no text":         func(i *Item) { i.Doc = "\xff" },
		"no short word":   func(i *Item) { i.Notify = []string{"pas", "data quality"} },
		"no destination":  func(i *Item) { i.Notify = []string{""} },
	} {
		i := good
		change(&i)
		if err := check(good, i); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Check() error = %v, want ErrRejected", name, err)
		}
	}
}

func TestClosureCheck(t *testing.T) {
	good := Closure{Number: 1, By: strings.Repeat("x", 200), Why: strings.Repeat("y", 200)}
	check := func(c ...Closure) error { return Commit{Entries: []Entry{{Kind: ItemClosed}}, Closures: c}.Check() }
	if err := check(good); err != nil {
		t.Errorf("Check() error = %v", err)
	}
	for name, change := range map[string]func(*Closure){
		"no item":     func(c *Closure) { c.Number = 0 },
		"nobody":      func(c *Closure) { c.By = "" },
		"long name":   func(c *Closure) { c.By += "x" },
		"no reason":   func(c *Closure) { c.Why = "" },
		"long reason": func(c *Closure) { c.Why += "x" },
		"no text":     func(c *Closure) { c.Why = "\xff" },
	} {
		c := good
		change(&c)
		if err := check(good, c); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Check() error = %v, want ErrRejected", name, err)
		}
	}
}

func TestItemFit(t *testing.T) {
	one, two := strings.Repeat("x", 300), strings.Repeat("x", 301)
	i := Item{Subject: one, Patient: PatientKey{Authority: one, LocalID: one}}.Fit()
	if i.Subject == (Item{Subject: two}).Fit().Subject || len(i.Subject) > 200 || i.Patient != i.Patient.Fit() {
		t.Error("long subjects are cut to the same, or not at all")
	}
	if again := i.Fit(); again.Subject != i.Subject || again.Patient != i.Patient {
		t.Error("what fits is changed")
	}
}

func TestParseItemKind(t *testing.T) {
	if k, ok := ParseItemKind("no such kind"); ok || k != 0 {
		t.Errorf("ParseItemKind() = %v, %t, want none", k, ok)
	}
	if got := ItemKind(99).String(); got != "item 99" {
		t.Errorf("String() = %q", got)
	}
}
