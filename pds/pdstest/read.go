package pdstest

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"spinetrace/pds"
)

// Faults of a population file. A [ReadError] says where.
var (
	ErrColumn    = errors.New("unknown, missing or repeated column")
	ErrMissing   = errors.New("value missing")
	ErrGender    = errors.New("not Male, Female, Not known or Indeterminate")
	ErrFlag      = errors.New("not S or I")
	ErrDuplicate = errors.New("number held by an earlier row")
	ErrSurvivor  = errors.New("successor not in the file, or in a circle")
)

// ReadError says where a population file is at fault: the row as a text editor counts
// lines (the header is 1) and the column's name. It never holds the value.
type ReadError struct {
	Row    int
	Column string
	Err    error
}

// Error names row, column and rule.
func (e *ReadError) Error() string {
	return fmt.Sprintf("pdstest: people: row %d, column %s: %v", e.Row, e.Column, e.Err)
}

// Unwrap returns the rule that was broken.
func (e *ReadError) Unwrap() error { return e.Err }

// columns are those of the published open test data (smsp.md section 11) and those of ours
// behind it. The value says whether a file must have the column.
var columns = map[string]bool{
	"Test ref": false, "NHS_NUMBER": true, "DATE_OF_BIRTH": true, "DATE_OF_DEATH": false,
	"FAMILY_NAME": true, "GIVEN_NAME": true, "OTHER_GIVEN_NAME": false, "TITLE": false,
	"GENDER": true, "ADDRESS_LINE_1": false, "ADDRESS_LINE_2": false,
	"ADDRESS_LINE_3": false, "ADDRESS_LINE_4": false, "ADDRESS_LINE_5": false,
	"PAF_KEY": false, "SENSITIVE_FLAG": false, "PRIMARY_CARE_CODE": false,
	"REF_ID": false, "POST_CODE": false, "Notes": false, "SUPERSEDED_BY": false,
	"FORMER_FAMILY_NAME": false, "FORMER_POST_CODE": false,
	"PHONE": false, "MOBILE": false, "EMAIL": false,
}

var genders = map[string]pds.Sex{
	"Male": pds.SexMale, "Female": pds.SexFemale,
	"Not known": pds.SexNotKnown, "Indeterminate": pds.SexNotSpecified,
}

// ReadPeople reads a population file: CSV in UTF-8 with a header, the columns of the
// published open test data in any order, and of ours SUPERSEDED_BY, FORMER_FAMILY_NAME,
// FORMER_POST_CODE, PHONE, MOBILE and EMAIL. The columns for number, birth date, names and
// gender are required, unknown ones refused. Errors are [*ReadError] or those of
// encoding/csv.
//
// Dates are YYYY, YYYYMM or YYYYMMDD, with hours and minutes if held. A date of death
// that a spreadsheet turned into scientific notation, as in one published row, keeps the
// digits that survived.
func ReadPeople(r io.Reader) ([]Person, error) {
	rows := csv.NewReader(r)
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("pdstest: people: header: %w", err)
	}
	at, err := index(header)
	if err != nil {
		return nil, err
	}
	var people []Person
	for {
		fields, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return people, nil
		}
		if err != nil {
			return nil, fmt.Errorf("pdstest: people: %w", err)
		}
		line, _ := rows.FieldPos(0)
		row := row{line: line, fields: fields, at: at}
		person := row.person()
		if row.err != nil {
			return nil, row.err
		}
		people = append(people, person)
	}
}

func index(header []string) (map[string]int, error) {
	at := make(map[string]int, len(header))
	for i, name := range header {
		name = strings.TrimPrefix(name, "\ufeff") // spreadsheets write a byte order mark
		_, known := columns[name]
		if _, repeated := at[name]; repeated || !known {
			return nil, &ReadError{1, fmt.Sprint(i + 1), ErrColumn}
		}
		at[name] = i
	}
	for name, required := range columns {
		if _, ok := at[name]; required && !ok {
			return nil, &ReadError{1, name, ErrColumn}
		}
	}
	return at, nil
}

// row reads the fields of one line; the first fault sticks.
type row struct {
	line   int
	fields []string
	at     map[string]int
	err    error
}

func (r *row) fail(column string, err error) {
	if r.err == nil {
		r.err = &ReadError{r.line, column, err}
	}
}

func (r *row) text(column string) string {
	if i, ok := r.at[column]; ok {
		return strings.TrimSpace(r.fields[i])
	}
	return ""
}

func (r *row) required(column string) string {
	s := r.text(column)
	if s == "" {
		r.fail(column, ErrMissing)
	}
	return s
}

func (r *row) number(column string) pds.NHSNumber {
	n, err := pds.ParseNHSNumber(r.text(column))
	if err != nil {
		r.fail(column, err)
	}
	return n
}

func (r *row) person() Person {
	p := Person{
		BirthTime: r.time("DATE_OF_BIRTH", r.required("DATE_OF_BIRTH")),
		Record: pds.Patient{
			NHSNumber:    r.number("NHS_NUMBER"),
			Title:        r.text("TITLE"),
			Given:        r.given(),
			Family:       r.required("FAMILY_NAME"),
			Sex:          r.sex(),
			DeathTime:    r.time("DATE_OF_DEATH", unspoil(r.text("DATE_OF_DEATH"))),
			Home:         r.home(),
			PracticeCode: r.text("PRIMARY_CARE_CODE"),
			Phone:        r.text("PHONE"),
			Mobile:       r.text("MOBILE"),
			Email:        r.text("EMAIL"),
		},
		FormerFamily:   r.text("FORMER_FAMILY_NAME"),
		FormerPostcode: r.text("FORMER_POST_CODE"),
	}
	p.Record.Deceased = p.Record.DeathTime != ""
	if r.err == nil {
		// Cannot fail: time has just read the same digits.
		p.Record.BirthDate, _ = pds.ParseDate(p.BirthTime[:min(8, len(p.BirthTime))])
	}
	if r.text("SUPERSEDED_BY") != "" {
		p.SupersededBy = r.number("SUPERSEDED_BY")
	}
	switch r.text("SENSITIVE_FLAG") {
	case "":
	case "S":
		p.Restricted = true
	case "I":
		p.Invalidated = true
	default:
		r.fail("SENSITIVE_FLAG", ErrFlag)
	}
	return p
}

func (r *row) given() []string {
	given := []string{r.required("GIVEN_NAME")}
	if other := r.text("OTHER_GIVEN_NAME"); other != "" {
		given = append(given, other)
	}
	return given
}

func (r *row) sex() pds.Sex {
	sex, ok := genders[r.required("GENDER")]
	if !ok {
		r.fail("GENDER", ErrGender)
	}
	return sex
}

func (r *row) home() pds.Address {
	return pds.Address{
		Lines: [5]string{
			r.text("ADDRESS_LINE_1"), r.text("ADDRESS_LINE_2"), r.text("ADDRESS_LINE_3"),
			r.text("ADDRESS_LINE_4"), r.text("ADDRESS_LINE_5"),
		},
		Postcode: r.text("POST_CODE"),
	}
}

// time checks a date with an optional time of day, "" being none.
func (r *row) time(column, s string) string {
	if s == "" {
		return ""
	}
	_, err := pds.ParseDate(s[:min(8, len(s))])
	clock := s[min(8, len(s)):]
	if err != nil || len(clock)%2 != 0 || len(clock) > 6 || strings.Trim(clock, "0123456789") != "" {
		r.fail(column, pds.ErrDate)
	}
	return s
}

// unspoil turns 2.01206E+11 into 201206, the digits that the spreadsheet left.
func unspoil(s string) string {
	mantissa, _, spoilt := strings.Cut(s, "E+")
	if !spoilt {
		return s
	}
	return strings.Replace(mantissa, ".", "", 1)
}
