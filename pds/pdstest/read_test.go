package pdstest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
	"spinetrace/testdata"
)

const header = "NHS_NUMBER,DATE_OF_BIRTH,DATE_OF_DEATH,FAMILY_NAME,GIVEN_NAME,GENDER,SENSITIVE_FLAG,SUPERSEDED_BY\n"

func TestReadPeopleRejects(t *testing.T) {
	for name, tt := range map[string]struct {
		in     string
		row    int
		column string
		want   error
	}{
		"unknown column":     {"NHS_NUMBER,SHOE_SIZE\n", 1, "2", pdstest.ErrColumn},
		"repeated column":    {"NHS_NUMBER,NHS_NUMBER\n", 1, "2", pdstest.ErrColumn},
		"missing column":     {strings.Replace(header, "GENDER,", "", 1), 1, "GENDER", pdstest.ErrColumn},
		"check digit":        {header + "9990000019,19620417,,A,B,Male,,\n", 2, "NHS_NUMBER", pds.ErrCheckDigit},
		"old style number":   {header + "ABC123,19620417,,A,B,Male,,\n", 2, "NHS_NUMBER", pds.ErrNotTenDigits},
		"no such day":        {header + "9990000018,19620431,,A,B,Male,,\n", 2, "DATE_OF_BIRTH", pds.ErrDate},
		"odd hour":           {header + "9990000018,196204171,,A,B,Male,,\n", 2, "DATE_OF_BIRTH", pds.ErrDate},
		"no birth date":      {header + "9990000018,,,A,B,Male,,\n", 2, "DATE_OF_BIRTH", pdstest.ErrMissing},
		"death on no day":    {header + "9990000018,19620417,soon,A,B,Male,,\n", 2, "DATE_OF_DEATH", pds.ErrDate},
		"no family name":     {header + "9990000018,19620417,, ,B,Male,,\n", 2, "FAMILY_NAME", pdstest.ErrMissing},
		"no given name":      {header + "9990000018,19620417,,A,,Male,,\n", 2, "GIVEN_NAME", pdstest.ErrMissing},
		"gender":             {header + "9990000018,19620417,,A,B,M,,\n", 2, "GENDER", pdstest.ErrGender},
		"flag, on line four": {header + "9990000018,19620417,,\"A\nB\",B,Male,,\n9990000026,19620417,,A,B,Male,Z,\n", 4, "SENSITIVE_FLAG", pdstest.ErrFlag},
		"successor":          {header + "9990000018,19620417,,A,B,Male,,1\n", 2, "SUPERSEDED_BY", pds.ErrNotTenDigits},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pdstest.ReadPeople(strings.NewReader(tt.in))
			var at *pdstest.ReadError
			if !errors.As(err, &at) || at.Row != tt.row || at.Column != tt.column || !errors.Is(err, tt.want) {
				t.Errorf("ReadPeople() error = %v; want row %d, column %s: %v", err, tt.row, tt.column, tt.want)
			}
		})
	}
}

func TestReadPeopleRejectsWhatIsNoCSV(t *testing.T) {
	for _, in := range []string{"", header + "a,b\n", header + "\"\n"} {
		if _, err := pdstest.ReadPeople(strings.NewReader(in)); err == nil {
			t.Errorf("ReadPeople(%q) succeeded", in)
		}
	}
}

func TestNewPopulationRejects(t *testing.T) {
	const a, b = "9990000018,19620417,,A,B,Male,,", "9990000026,19620417,,A,B,Male,,"
	for name, tt := range map[string]struct {
		rows string
		row  int
		want error
	}{
		"one number twice":      {a + "\n" + a + "\n", 3, pdstest.ErrDuplicate},
		"successor not there":   {a + "9990000034\n", 2, pdstest.ErrSurvivor},
		"successors in a ring":  {a + "9990000026\n" + b + "9990000018\n", 2, pdstest.ErrSurvivor},
		"its own successor too": {b + "\n" + a + "9990000018\n", 3, pdstest.ErrSurvivor},
	} {
		t.Run(name, func(t *testing.T) {
			people, err := pdstest.ReadPeople(strings.NewReader(header + tt.rows))
			if err != nil {
				t.Fatal(err)
			}
			_, err = pdstest.NewPopulation(people)
			var at *pdstest.ReadError
			if !errors.As(err, &at) || at.Row != tt.row || !errors.Is(err, tt.want) {
				t.Errorf("NewPopulation() error = %v; want row %d: %v", err, tt.row, tt.want)
			}
		})
	}
}

// The published file has a header of its own, one date spoilt by a spreadsheet, dates with
// hours, and real-looking numbers.
func TestReadPublishedPatients(t *testing.T) {
	dir := os.Getenv("SPINETRACE_SPEC_DIR")
	if dir == "" {
		t.Skip("SPINETRACE_SPEC_DIR is not set")
	}
	f, err := os.Open(filepath.Join(dir, "data", "smsp-test-patients", "open_test_data.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	people, err := pdstest.ReadPeople(f)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pdstest.NewPopulation(people)
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() != 689 || p.Invented() {
		t.Errorf("%d people, invented: %v; want 689, false", p.Len(), p.Invented())
	}
	spoilt := p.Current(pds.MustNHSNumber("9449303371"))
	if spoilt == nil || spoilt.Record.DeathTime != "201206" {
		t.Errorf("the spoilt date of death did not keep the digits that survived")
	}
}

func TestPeople(t *testing.T) {
	p := pdstest.People()
	if p.Len() < 64 || !p.Invented() {
		t.Errorf("%d people, all invented: %v", p.Len(), p.Invented())
	}
	kinds := make(map[string]int)
	for i := range p.Len() {
		person := p.At(i)
		kinds["sex "+person.Record.Sex.Code()]++
		kinds[fmt.Sprintf("birth date of %d digits", len(person.BirthTime))]++
		kinds[fmt.Sprintf("death time of %d digits", len(person.Record.DeathTime))]++
		kinds[fmt.Sprintf("restricted %v", person.Restricted)]++
		kinds[fmt.Sprintf("invalidated %v", person.Invalidated)]++
		kinds[fmt.Sprintf("superseded %v", !person.SupersededBy.IsZero())]++
		kinds[fmt.Sprintf("postcode %v", person.Record.Home.Postcode != "")]++
		kinds[fmt.Sprintf("former name %v, postcode %v", person.FormerFamily != "", person.FormerPostcode != "")]++
		kinds[fmt.Sprintf("telephone %v", person.Record.Mobile != "")]++
	}
	for _, kind := range []string{
		"sex 0", "sex 1", "sex 2", "sex 9",
		"birth date of 4 digits", "birth date of 6 digits", "birth date of 10 digits",
		"death time of 8 digits", "death time of 12 digits",
		"restricted true", "invalidated true", "superseded true", "postcode false",
		"death time of 4 digits", "death time of 6 digits", "former name true, postcode true",
		"former name true, postcode false", "telephone true",
	} {
		if kinds[kind] == 0 {
			t.Errorf("nobody of the kind %q", kind)
		}
	}
}

func FuzzReadPeople(f *testing.F) {
	f.Add(testdata.People)
	f.Add([]byte(header + "9990000018,196204,2.01206E+11,A,B,Male,S,9990000026\n"))
	f.Add([]byte("\ufeff" + header))
	f.Fuzz(func(t *testing.T, in []byte) {
		people, err := pdstest.ReadPeople(bytes.NewReader(in))
		if err != nil {
			return
		}
		for _, p := range people {
			if p.Record.NHSNumber.IsZero() || p.Record.BirthDate.IsZero() || p.Record.Sex == 0 {
				t.Fatal("a person without number, birth date or sex was accepted")
			}
		}
		_, _ = pdstest.NewPopulation(people) // may refuse, must not panic
	})
}
