package pdstest

import (
	"bytes"
	"strings"

	"spinetrace/pds"
	"spinetrace/testdata"
)

// The response codes that a population's answers have (smsp.md section 8).
const (
	codeSuccess     = "SMSP-0000"
	codeNoMatch     = "DEMOG-0001"
	codeMultiple    = "DEMOG-0007"
	codeSuperseded  = "DEMOG-0017"
	codeInvalidated = "DEMOG-0022"
	codeNotVerified = "DEMOG-0040"
)

// Population is a set of national records that can be asked. It never changes, and is
// safe for concurrent use.
type Population struct {
	entries  []entry
	byNumber map[pds.NHSNumber]*entry
	byFamily map[string][]*entry // by normalised surname, former ones too
}

// Finding is the answer to a question.
type Finding struct {
	Code   string  // of smsp.md section 8
	Person *Person // who was found, for SMSP-0000 and DEMOG-0017 (the survivor); else nil
	Reason string  // which rule decided, without patient data
}

// People returns the project's own invented population (testdata/people.csv).
func People() *Population {
	people, err := ReadPeople(bytes.NewReader(testdata.People))
	if err != nil {
		panic(err) // the file is part of the program
	}
	p, err := NewPopulation(people)
	if err != nil {
		panic(err)
	}
	return p
}

// NewPopulation makes a population of people. Two with one number, and a successor who is
// missing or who leads back, are [*ReadError]s; rows are counted as in a file.
func NewPopulation(people []Person) (*Population, error) {
	p := &Population{
		entries:  make([]entry, len(people)),
		byNumber: make(map[pds.NHSNumber]*entry, len(people)),
		byFamily: make(map[string][]*entry, len(people)),
	}
	for i := range people {
		e := &p.entries[i]
		*e = newEntry(people[i])
		if p.byNumber[e.Record.NHSNumber] != nil {
			return nil, &ReadError{i + 2, "NHS_NUMBER", ErrDuplicate}
		}
		p.byNumber[e.Record.NHSNumber] = e
		for _, family := range e.families {
			p.byFamily[family] = append(p.byFamily[family], e)
		}
	}
	for i := range p.entries {
		if p.survivor(&p.entries[i]) == nil {
			return nil, &ReadError{i + 2, "SUPERSEDED_BY", ErrSurvivor}
		}
	}
	return p, nil
}

// Len returns how many records there are.
func (p *Population) Len() int { return len(p.entries) }

// At returns the i-th record, counted from 0.
func (p *Population) At(i int) *Person { return &p.entries[i].Person }

// Invented tells whether every number lies in the 999 range, which is never issued. A
// population for which it is false must not be served beyond this machine.
func (p *Population) Invented() bool {
	for i := range p.entries {
		if !strings.HasPrefix(p.entries[i].Record.NHSNumber.Digits(), "999") {
			return false
		}
	}
	return true
}

// Current returns the record that a number leads to, successors followed, or nil.
func (p *Population) Current(n pds.NHSNumber) *Person {
	if e := p.survivor(p.byNumber[n]); e != nil {
		return &e.Person
	}
	return nil
}

// Stranger returns somebody born on another day than asked, or nil. Misbehaving services
// answer with one.
func (p *Population) Stranger(asked pds.Date) *Person {
	for i := range p.entries {
		e := &p.entries[i]
		if e.SupersededBy.IsZero() && !e.Invalidated && !e.Record.BirthDate.Agrees(asked) {
			return &e.Person
		}
	}
	return nil
}

// survivor follows successors; nil when one is missing or the way is a circle.
func (p *Population) survivor(e *entry) *entry {
	for range p.entries {
		if e == nil || e.SupersededBy.IsZero() {
			return e
		}
		e = p.byNumber[e.SupersededBy]
	}
	return nil
}

// Ask answers one question as the operation named by want does. For [pds.Details] a
// number that is present decides on the route. Input rules are not applied here; "*" in a
// family name, given name or postcode stands for any letters in a search.
func (p *Population) Ask(want pds.Want, number pds.NHSNumber, who pds.Demographics) Finding {
	switch {
	case want == pds.Verify || want == pds.DetailsByNumber:
		return p.Verify(number, pds.Demographics{
			BirthDate: who.BirthDate, Family: who.Family, Given: who.Given,
		})
	case want == pds.Details && !number.IsZero():
		return p.Verify(number, who)
	}
	return p.Search(who)
}

// Verify cross-checks what is known of a patient with the record that the number leads to
// (pds-fhir.md section 9.2); what who leaves out is not compared. The order of the tests
// is the document's: a superseded record that does not agree is not verified.
func (p *Population) Verify(number pds.NHSNumber, who pds.Demographics) Finding {
	asked := p.byNumber[number]
	if asked == nil {
		return Finding{Code: codeNoMatch, Reason: "number not held"}
	}
	held := p.survivor(asked)
	if held.Invalidated {
		return Finding{Code: codeInvalidated, Reason: "number withdrawn"}
	}
	if field := held.contradicts(who); field != "" {
		return Finding{Code: codeNotVerified, Reason: field + " differs"}
	}
	if held != asked {
		return Finding{Code: codeSuperseded, Person: &held.Person, Reason: "number replaced"}
	}
	return Finding{Code: codeSuccess, Person: &held.Person, Reason: "all that was sent agrees"}
}

// Search finds the one record that agrees with everything who has (pds-fhir.md sections
// 9.3 and 9.4, smsp.md section 11). Superseded and invalidated records are never found,
// restricted ones only without a postcode. A former family name or postcode finds its owner.
func (p *Population) Search(who pds.Demographics) Finding {
	q := Query{
		Family: who.Family, Postcode: who.Postcode, Sex: who.Sex, History: true,
		Born: Span{From: who.BirthDate, To: who.BirthDate},
	}
	for word := range strings.FieldsSeq(who.Given) {
		q.Given = []string{word}
		break
	}
	switch hits := p.Find(q); len(hits) {
	case 0:
		return Finding{Code: codeNoMatch, Reason: "no record agrees"}
	case 1:
		return Finding{Code: codeSuccess, Person: hits[0].Person, Reason: "one record agrees"}
	}
	return Finding{Code: codeMultiple, Reason: "more than one record agrees"}
}
