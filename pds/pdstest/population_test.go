package pdstest_test

import (
	"context"
	"fmt"
	"testing"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
)

// Wildcards and partial dates are for providers that allow them; the suite's Tracers do not.
func TestSearchMoreLoosely(t *testing.T) {
	p := pdstest.People()
	born := pds.Date{Year: 1962, Month: 4, Day: 17}
	for name, tt := range map[string]struct {
		who  pds.Demographics
		want string
	}{
		"family begins":         {pds.Demographics{Family: "HALV*", BirthDate: born}, "SMSP-0000"},
		"family begins with it": {pds.Demographics{Family: "HALVORSEN*", BirthDate: born}, "SMSP-0000"},
		"family does not begin": {pds.Demographics{Family: "HALX*", BirthDate: born}, "DEMOG-0001"},
		"given begins":          {pds.Demographics{Family: "HALVORSEN", Given: "PR*", BirthDate: born}, "SMSP-0000"},
		"given does not begin":  {pds.Demographics{Family: "HALVORSEN", Given: "PX*", BirthDate: born}, "DEMOG-0001"},
		"postcode begins":       {pds.Demographics{Family: "HALVORSEN", Postcode: "LS9*", BirthDate: born}, "SMSP-0000"},
		"birth year":            {pds.Demographics{Family: "HALVORSEN", BirthDate: pds.Date{Year: 1962}}, "SMSP-0000"},
		"birth month":           {pds.Demographics{Family: "HALVORSEN", BirthDate: pds.Date{Year: 1962, Month: 4}}, "SMSP-0000"},
		"another birth month":   {pds.Demographics{Family: "HALVORSEN", BirthDate: pds.Date{Year: 1962, Month: 5}}, "DEMOG-0001"},
		"month held, day asked": {pds.Demographics{Family: "PARTLEY", BirthDate: pds.Date{Year: 1934, Month: 7, Day: 1}}, "DEMOG-0001"},
		"month held and asked":  {pds.Demographics{Family: "PARTLEY", BirthDate: pds.Date{Year: 1934, Month: 7}}, "SMSP-0000"},
		"everyone of a year":    {pds.Demographics{Family: "DO*", BirthDate: pds.Date{Year: 2010}}, "DEMOG-0007"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := p.Search(tt.who); got.Code != tt.want {
				t.Errorf("Search() = %s (%s), want %s", got.Code, got.Reason, tt.want)
			}
		})
	}
}

func TestDisclosedLeavesTheRecordAlone(t *testing.T) {
	p := pdstest.People().Current(pds.MustNHSNumber("9994105388"))
	d := p.Disclosed()
	d.Given[0] = "CHANGED"
	if !d.RestrictedPossible || !d.Home.IsZero() || d.PracticeCode != "" {
		t.Error("a restricted record discloses an address or a practice")
	}
	if p.Record.Home.IsZero() || p.Record.Given[0] == "CHANGED" {
		t.Error("disclosing changed the record")
	}
}

func ExampleTracer() {
	t := &pdstest.Tracer{Population: pdstest.People()}
	res, err := t.Trace(context.Background(), pds.Request{
		Want: pds.Number,
		Who: pds.Demographics{
			Family:    "Halvorsen",
			BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17},
			Sex:       pds.SexFemale,
		},
	})
	fmt.Println(res.Outcome, res.Code, res.NHSNumber.Spaced(), err)
	// Output: matched SMSP-0000 999 000 0018 <nil>
}

// BenchmarkSearch: one search among the project's people, by name, birth date and sex.
func BenchmarkSearch(b *testing.B) {
	p := pdstest.People()
	who := pds.Demographics{Family: "Halvorsen", Given: "Primrose", BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17}, Sex: pds.SexFemale}
	for b.Loop() {
		p.Search(who)
	}
}
