package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWrapCutsAtSpacesOnly(t *testing.T) {
	for text, want := range map[string][]string{
		"":                       {""},
		"ten chars!":             {"ten chars!"},
		"eleven chrs":            {"eleven", "chrs"},
		"/one/long/path":         {"/one/long/path"},
		"/one/long/path (here)":  {"/one/long/path", "(here)"},
		"ä ö ü ä ö ü ä":          {"ä ö ü ä ö", "ü ä"},
		" leading and trailing ": {" leading", "and", "trailing "},
	} {
		if diff := cmp.Diff(want, wrap(text, 10)); diff != "" {
			t.Errorf("wrap(%q) (-want +got):\n%s", text, diff)
		}
	}
}
