package pds_test

import (
	"testing"

	"spinetrace/pds"
)

// FuzzParseNHSNumber reads any text: a number that is accepted reads back the same, in both
// of its forms.
func FuzzParseNHSNumber(f *testing.F) {
	for _, s := range []string{"9990000018", "999 000 0018", "999-000-0026", "9990000019", "0000000000", "٩٩٩٠٠٠٠٠١٨", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := pds.ParseNHSNumber(s)
		if (err == nil) == n.IsZero() {
			t.Fatalf("a number %v with error %v", !n.IsZero(), err)
		}
		for _, form := range []string{n.Digits(), n.Spaced()} {
			if back, _ := pds.ParseNHSNumber(form); back != n {
				t.Error("reads back as another number")
			}
		}
	})
}

// FuzzParseDate reads any text: a date that is accepted writes the same text again.
func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"1978", "197802", "19780214", "20240229", "20230229", "0000", "00000000", "+978"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := pds.ParseDate(s)
		if err == nil && d.Digits() != s {
			t.Errorf("%q is written %q", s, d.Digits())
		}
		if err != nil && !d.IsZero() {
			t.Errorf("%q: a date and %v", s, err)
		}
	})
}
