package pdstest

import (
	"testing"

	"spinetrace/pds"
)

func TestSoundex(t *testing.T) {
	for name, want := range map[string]string{
		"Robert": "R163", "Rupert": "R163", "Ashcraft": "A261", "Tymczak": "T522", "Pfister": "P236",
		"Honeyman": "H555", "O'Brien": "O165", "Núñez": "N520", "Li": "L000", "": "", "Ø": "",
	} {
		if got := soundex(name); got != want {
			t.Errorf("soundex(%s) = %q, want %q", name, got, want)
		}
	}
}

func TestWild(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"SMITH", "SMITH", true}, {"SMITH", "SMITHS", false}, {"SM*", "SMITH", true}, {"SM*", "SM", true},
		{"SM*H", "SMITH", true}, {"SM*H", "SMITHS", false}, {"SM*T*", "SMITH", true}, {"SM*X*", "SMITH", false},
		{"AB*BA", "ABA", false}, {"AB*BA", "ABBA", true}, {"*", "", true}, {"SM**", "SMITH", true},
	} {
		if got := newWild(tt.pattern, normalise).matches(tt.name); got != tt.want {
			t.Errorf("%s matches %s: %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

func TestSpans(t *testing.T) {
	year, month, day := pds.Date{Year: 1934}, pds.Date{Year: 1934, Month: 2}, pds.Date{Year: 1934, Month: 2, Day: 28}
	for name, tt := range map[string]struct {
		asked Span
		held  pds.Date
		want  bool
	}{
		"day":                        {Span{day, day}, day, true},
		"day of a year":              {Span{year, year}, day, true},
		"month of a year":            {Span{year, year}, month, true},
		"month of itself":            {Span{month, month}, month, true},
		"month, as a range of days":  {Span{pds.Date{Year: 1934, Month: 2, Day: 1}, day}, month, true},
		"month, one day short":       {Span{pds.Date{Year: 1934, Month: 2, Day: 2}, day}, month, false},
		"month held, one day asked":  {Span{day, day}, month, false},
		"open to the left":           {Span{To: day}, day, true},
		"open to the left, too late": {Span{To: pds.Date{Year: 1934, Month: 2, Day: 27}}, day, false},
		"open to the right":          {Span{From: day}, day, true},
		"nothing asked":              {Span{}, day, true},
		"nothing held":               {Span{day, day}, pds.Date{}, false},
		"nothing held nor asked":     {Span{}, pds.Date{}, true},
	} {
		asked := newPattern(Query{Born: tt.asked}).born
		if got := asked.holds(intervalOf(tt.held)); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// Everybody is found by what their own record says, and nobody twice.
func TestFindEverybody(t *testing.T) {
	p := People()
	for i := range p.Len() {
		person := p.At(i)
		gone := !person.SupersededBy.IsZero() || person.Invalidated
		for _, family := range []string{person.Record.Family, person.FormerFamily} {
			if family == "" {
				continue
			}
			found := 0
			for _, hit := range p.Find(Query{Family: family, Born: Span{person.Record.BirthDate, person.Record.BirthDate}, History: true}) {
				if hit.Person == person {
					found++
				}
			}
			if found != 1 && !gone || found > 0 && gone {
				t.Errorf("%s: found %d times", person.Record.NHSNumber.Digits(), found)
			}
		}
	}
}
