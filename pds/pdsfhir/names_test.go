package pdsfhir

import (
	"testing"

	"spinetrace/pds"
)

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"O'Donnelly": "ODONNELLY", "O’Donnelly": "ODONNELLY", "O`Donnelly": "ODONNELLY", "O´Donnelly": "ODONNELLY",
		"Núñez": "NUNEZ", "Nu\u0301n\u0303ez": "NUNEZ", "St. John-Smythe": "STJOHNSMYTHE",
		"Smythe\u2011Jones": "SMYTHEJONES", "Smythe\u2013Jones": "SMYTHEJONES", "Smythe\u00adJones": "SMYTHEJONES",
		"van der  Hoole": "VANDERHOOLE", "van\u00a0der\tHoole": "VANDERHOOLE",
		"Brøndersley": "BRØNDERSLEY", "ﬁnch": "FINCH", " - '. ": "",
	} {
		if got := normalise(in); got != want {
			t.Errorf("normalise(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFamilyNames(t *testing.T) {
	for name, tt := range map[string]struct {
		sent, held string
		l          likeness
		want       bool
	}{
		"equal":                       {"SMYTHE", "Smythe", likeness{}, true},
		"another":                     {"SMITH", "Smythe", likeness{}, false},
		"beginning is not enough":     {"SMY", "Smythe", likeness{}, false},
		"a part":                      {"VANE", "Tremblecote-Vane", likeness{}, false},
		"a part, allowed":             {"VANE", "Tremblecote-Vane", likeness{familyPart: true}, true},
		"a spaced part, allowed":      {"HOOLE", "van der Hoole", likeness{familyPart: true}, true},
		"half a part":                 {"VAN", "Tremblecote-Vane", likeness{familyPart: true}, false},
		"more than is held":           {"Tremblecote-Vane", "Vane", likeness{familyPart: true}, false},
		"a wildcard":                  {"TREM*", "Tremblecote-Vane", likeness{}, true},
		"a wildcard for another":      {"VANE*", "Tremblecote-Vane", likeness{}, false},
		"a wide asterisk":             {"TREM\uff0a", "Tremblecote-Vane", likeness{}, false},
		"a small asterisk":            {"TREM\ufe61", "Tremblecote-Vane", likeness{}, false},
		"35 characters of a long one": {"FEATHERSTONEHAUGH-CHOLMONDELEY-WRIO", "Featherstonehaugh-Cholmondeley-Wriothesley", likeness{}, true},
		"none held":                   {"SMYTHE", "", likeness{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.l.family(tt.sent, tt.held); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestGivenNames(t *testing.T) {
	for name, tt := range map[string]struct {
		sent string
		held []string
		l    likeness
		want bool
	}{
		"equal":                   {"Alex", []string{"ALEX"}, likeness{}, true},
		"beginning of one held":   {"ALEX", []string{"Alexander"}, likeness{}, true},
		"one held begins it":      {"Alexander", []string{"Alex"}, likeness{}, true},
		"two letters":             {"Al", []string{"Alexander"}, likeness{}, false},
		"two letters of two":      {"Al", []string{"Al"}, likeness{}, true},
		"second entry":            {"Paul", []string{"John", "Paul"}, likeness{}, true},
		"second word of an entry": {"Paul", []string{"John Paul"}, likeness{}, true},
		"only the first sent":     {"John Peter", []string{"John"}, likeness{}, true},
		"not the second sent":     {"Peter John", []string{"John"}, likeness{}, false},
		"initial":                 {"J", []string{"John"}, likeness{}, false},
		"initial, allowed":        {"J.", []string{"John"}, likeness{givenInitial: true}, true},
		"initial held, allowed":   {"John", []string{"J"}, likeness{givenInitial: true}, true},
		"initial of both":         {"J", []string{"J"}, likeness{}, true},
		"three letters, accented": {"Éab", []string{"Eabha"}, likeness{}, true},
		"wildcard":                {"Jo*", []string{"John"}, likeness{}, true},
		"wildcard for another":    {"Ja*", []string{"John"}, likeness{}, false},
		"a wide asterisk":         {"Jo\uff0a", []string{"John"}, likeness{}, false},
		"beginning of a wildcard": {"Johnny*", []string{"John"}, likeness{}, false},
		"none held":               {"John", nil, likeness{}, false},
		"dots held":               {"John", []string{"..."}, likeness{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.l.given(tt.sent, tt.held); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	names := []name{
		{current: true, family: "Ash", given: []string{"Marigold"}},
		{current: true, family: "Ash", given: []string{"Goldie"}},
		{family: "Tarnbeck", given: []string{"Marigold"}},
	}
	for name, tt := range map[string]struct {
		family, given string
		names         []name
		want          namesake
	}{
		"current":                      {"Ash", "Marigold", names, currentAgrees},
		"nickname":                     {"Ash", "Goldie", names, currentAgrees},
		"former":                       {"Tarnbeck", "Marigold", names, formerAgrees},
		"given of another entry":       {"Tarnbeck", "Goldie", names, givenDiffers},
		"given of none":                {"Ash", "Osric", names, givenDiffers},
		"family of none":               {"Fictley", "Marigold", names, familyDiffers},
		"family only, former":          {"Tarnbeck", "", names, formerAgrees},
		"given only":                   {"", "Goldie", names, currentAgrees},
		"given only, of none":          {"", "Osric", names, givenDiffers},
		"given only, and no names":     {"", "Osric", nil, givenDiffers},
		"nothing":                      {"", "", names, noneSent},
		"nothing that can be compared": {"-", ".", names, noneSent},
	} {
		t.Run(name, func(t *testing.T) {
			got := likeness{}.compare(pds.Demographics{Family: tt.family, Given: tt.given}, tt.names)
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
