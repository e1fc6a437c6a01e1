package store

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"empty":              {"", ""},
		"plain":              {"PAS0000451", "PAS0000451"},
		"NUL":                {"a\x00b\x00", "ab"},
		"not UTF-8":          {"caf\xe9 au lait", "caf\uFFFD au lait"},
		"longest":            {strings.Repeat("x", 200), strings.Repeat("x", 200)},
		"too long":           {strings.Repeat("x", 201), strings.Repeat("x", 200)},
		"cut in a character": {strings.Repeat("x", 199) + "é", strings.Repeat("x", 199)},
		"grows when cleaned": {strings.Repeat("x\xff", 100), strings.Repeat("x\uFFFD", 50)},
		"only tail bytes":    {strings.Repeat("\x80", 300), "\uFFFD"},
		"cut after one":      {strings.Repeat("x", 198) + "éx", strings.Repeat("x", 198) + "é"},
	} {
		if got := Text(tt.in); got != tt.want {
			t.Errorf("%s: Text() = %q, want %q", name, got, tt.want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a\x00", "\xff", strings.Repeat("é", 101), strings.Repeat("\x80", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) || strings.ContainsRune(got, 0) || len(got) > maxText {
			t.Errorf("Text() gave %d bytes that do not fit a search column", len(got))
		}
		if Text(got) != got {
			t.Error("Text() of a text that fits changed it")
		}
	})
}

func TestClaimKey(t *testing.T) {
	a := Claim{Application: "PAS", Facility: "RXX01", ControlID: "1", Digest: [32]byte{1}}
	for name, change := range map[string]func(*Claim){
		"application": func(c *Claim) { c.Application = "LIMS" },
		"facility":    func(c *Claim) { c.Facility = "RXX02" },
		"boundary":    func(c *Claim) { c.Application, c.Facility = "PASR", "XX01" },
		"control id":  func(c *Claim) { c.ControlID = "2" },
		"digest":      func(c *Claim) { c.Digest[15]++ },
	} {
		b := a
		change(&b)
		if a.Key() == b.Key() {
			t.Errorf("other %s: the same key", name)
		}
	}
	b := a
	if b.Window = 60; a.Key() != b.Key() {
		t.Error("another window: another key")
	}
}

func TestCheck(t *testing.T) {
	good := Commit{
		Exchange: NewID(), Open: &Opening{},
		Entries: []Entry{{Kind: Exchanged, Parts: []Part{{Frame, nil}, {Reply, nil}}}},
		Close:   &Closing{Outcome: NotTraced},
	}
	for name, c := range map[string]Commit{
		"an exchange":            good,
		"a closing without body": {Exchange: NewID(), Entries: []Entry{{Kind: Received}}, Close: &Closing{Outcome: Unanswered}},
		"an event of its own":    {Entries: []Entry{{Kind: Started}}},
	} {
		if err := c.Check(); err != nil {
			t.Errorf("%s: Check() error = %v", name, err)
		}
	}
	for name, change := range map[string]func(*Commit){
		"no entries":      func(c *Commit) { c.Entries = nil },
		"no exchange":     func(c *Commit) { c.Exchange = ID{} },
		"unknown kind":    func(c *Commit) { c.Entries = []Entry{{Kind: 99}} },
		"unknown outcome": func(c *Commit) { c.Close = &Closing{Outcome: 99} },
		"unknown body":    func(c *Commit) { c.Entries = []Entry{{Kind: Received, Parts: []Part{{Kind: 9}}}} },
		"homeless body":   func(c *Commit) { c.Exchange, c.Open, c.Close = ID{}, nil, nil },
	} {
		c := good
		change(&c)
		if err := c.Check(); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: Check() error = %v, want ErrRejected", name, err)
		}
	}
}
