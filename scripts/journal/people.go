package main

import (
	"fmt"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
)

// numbers are those of the rehearsed patient: the current one, and the one it has superseded.
var numbers = func() (n struct{ current, former string }) {
	two := inventNumbers(2)
	n.current, n.former = two[0], two[1]
	return n
}()

// mostNumbers is how many NHS numbers begin with 999, about.
const mostNumbers = 900_000

// inventNumbers makes the first n of the NHS numbers that begin with 999, which are given to nobody.
func inventNumbers(n int) []string {
	made := make([]string, 0, n)
	for i := 0; len(made) < n; i++ {
		for check := range 10 {
			if number, err := pds.ParseNHSNumber(fmt.Sprintf("999%06d%d", i, check)); err == nil {
				made = append(made, number.Digits())
			}
		}
	}
	return made
}

// population is the rehearsed patient, whose former number leads to the current one.
func population() (*pdstest.Population, error) {
	current, err := pds.ParseNHSNumber(numbers.current)
	if err != nil {
		return nil, err
	}
	former, err := pds.ParseNHSNumber(numbers.former)
	if err != nil {
		return nil, err
	}
	record := pds.Patient{
		NHSNumber: current, Family: wordFamily, Given: []string{"TESTER"}, Sex: pds.SexFemale,
		BirthDate: pds.Date{Year: 1901, Month: 2, Day: 3},
		Home:      pds.Address{Lines: [5]string{"", "1 MADEUP TERRACE", "", "LEEDS", ""}, Postcode: "LS99 1AA"},
	}
	person := pdstest.Person{Record: record, BirthTime: wordBorn}
	old := person
	old.Record.NHSNumber, old.SupersededBy = former, current
	return pdstest.NewPopulation([]pdstest.Person{person, old})
}
