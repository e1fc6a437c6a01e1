package exchange

import (
	"bytes"
	_ "embed" // the table of results
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"spinetrace/pds"
	"spinetrace/store"
)

// Results say what the outcome of a trace means for a patient's record (spec/hl7v2.md 4.6), whom
// it concerns, and the words for it in MSA-3 (product.md 4.6 d). The zero value is the table of
// [DefaultResults].
type Results struct{ rows map[string]result }

// result is one row of the table. Its key is what MSA-3 says unless the row has other words.
type result struct {
	status string // the new NHS number status, "01" to "08"; "" leaves it as it was
	number numberRule
	item   store.ItemKind // 0: no person has to look at it
	words  string         // "": those of the key
}

// numberRule is what becomes of the NHS number that the message has.
type numberRule uint8

const (
	numberKept    numberRule = iota // it stays as it was received
	numberFound                     // the one that was found takes its place
	numberOmitted                   // an update leaves it out
	numberNulled                    // an update sets it to null
)

var numberRules = map[string]numberRule{
	"": numberKept, "kept": numberKept, "found": numberFound, "omitted": numberOmitted, "nulled": numberNulled,
}

//go:embed results.csv
var defaultTable []byte

var defaultResults = func() Results {
	r := Results{rows: make(map[string]result)}
	if err := r.read(defaultTable, nil); err != nil {
		panic(err)
	}
	return r
}()

// DefaultResults returns the table that holds unless a trust says otherwise.
func DefaultResults() Results { return Results{rows: maps.Clone(defaultResults.rows)} }

// DefaultResultsTable returns that table as text, in the form that ParseResults reads.
func DefaultResultsTable() string { return string(defaultTable) }

// ParseResults reads the rows that a trust has for some of the default ones. The text is CSV with
// the columns result, status, number, item, words; result names the row by its default words. A
// row replaces the default one as a whole. The error joins all faults, each with its line.
func ParseResults(text []byte) (Results, error) {
	r := DefaultResults()
	err := r.read(text, defaultResults.rows)
	return r, err
}

// ReferSuperseded returns the table with every superseded number left to a person: it is not
// replaced, and its status says so.
func (r Results) ReferSuperseded() Results {
	r = Results{rows: maps.Clone(r.orDefault().rows)}
	row := r.rows[textOf[store.Superseded]]
	row.status, row.number, row.item = "05", numberKept, store.ReplacedNumber
	r.rows[textOf[store.Superseded]] = row
	return r
}

func (r Results) orDefault() Results {
	if r.rows == nil {
		return defaultResults
	}
	return r
}

// of returns the row of what MSA-3 says by default; the zero row if there is none.
func (r Results) of(text string) result { return r.orDefault().rows[text] }

// say returns the trust's words for a default text of MSA-3.
func (r Results) say(text string) string {
	if words := r.of(text).words; words != "" {
		return words
	}
	return text
}

var resultColumns = []string{"result", "status", "number", "item", "words"}

// read puts the rows of a table into r. Each must be one of known, if that is not nil.
func (r Results) read(text []byte, known map[string]result) error {
	table := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	table.FieldsPerRecord = len(resultColumns)
	head, err := table.Read()
	if err != nil || !slices.Equal(head, resultColumns) {
		return errors.New("exchange: results: line 1: the columns are not " + strings.Join(resultColumns, ", "))
	}
	read := make(map[string]bool)
	var faults []error
	for {
		fields, err := table.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			faults = append(faults, err)
			break
		}
		line, _ := table.FieldPos(0)
		key := strings.TrimSpace(fields[0])
		switch _, ok := known[key]; {
		case known != nil && !ok:
			err = fmt.Errorf("there is no result %.80q", key)
		case read[key]:
			err = errors.New("the result came before")
		default:
			err = r.add(key, fields[1:])
		}
		if words := r.rows[key].words; err == nil && words != key {
			if _, taken := known[words]; taken {
				err = errors.New("the words are those of another result")
			}
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", line, err))
		}
		read[key] = true
	}
	if len(faults) > 0 {
		return fmt.Errorf("exchange: results: %w", errors.Join(faults...))
	}
	return nil
}

// add reads one row.
func (r Results) add(key string, fields []string) error {
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	row := result{status: strings.TrimPrefix(strings.ToUpper(fields[0]), statusPrefix), words: fields[3]}
	rule, ok := numberRules[fields[1]]
	if !ok {
		return errors.New("number is not one of kept, found, omitted, nulled")
	}
	row.number = rule
	if row.item, ok = store.ParseItemKind(fields[2]); !ok && fields[2] != "" {
		return errors.New("item is not a kind of item")
	}
	r.rows[key] = row
	return row.check(key)
}

// findings are the results that may make a number "present and verified" (product.md 4.6 a).
var findings = []store.Outcome{store.Verified, store.Traced, store.Superseded}

// check holds a row to what no trust may change: only a finding verifies a number, and a number
// that is put in place of another is verified.
func (row result) check(key string) error {
	outcome := outcomeNamed(key)
	switch {
	case outcome == 0 && (row.status != "" || row.number != numberKept):
		return errors.New("nothing is decided by this result: status and number must be empty")
	case outcome != 0 && statusOf(row.status) != row.status, outcome != 0 && row.status == "":
		return errors.New("status is not one of 01 to 08")
	case (row.status == "01") != (row.number == numberFound):
		return errors.New("status 01 and number found go together")
	case row.number == numberFound && !slices.Contains(findings, outcome):
		return errors.New("no number can be found by this result")
	case len(row.words) > 80 || strings.Trim(row.words, printable) != "":
		return errors.New("words are longer than 80 characters, or not ASCII")
	}
	return nil
}

// printable are the characters of ASCII that can be seen, and the space.
var printable = func() string {
	var b []byte
	for c := byte(' '); c <= '~'; c++ {
		b = append(b, c)
	}
	return string(b)
}()

// outcomeNamed returns the outcome of a row that decides something; 0 for others.
func outcomeNamed(key string) store.Outcome {
	for o, text := range textOf {
		if text == key {
			return o
		}
	}
	return 0
}

// textOf is what MSA-3 says of the outcomes that decide something, unless a trust has other words.
var textOf = map[store.Outcome]string{
	store.Verified:      "Verified",
	store.Traced:        "Traced",
	store.Superseded:    "NHS number superseded; tell the patient",
	store.NoMatch:       "No match",
	store.ManyMatches:   "Multiple matches",
	store.Invalidated:   "NHS number invalidated",
	store.NotVerified:   "Not verified",
	store.OldStyle:      "Old style number",
	store.HeldElsewhere: heldByAnother,
}

// decision is what an outcome means for a patient's record. The zero value decides nothing.
type decision struct {
	outcome store.Outcome
	status  string // the new NHS number status: NSTS01, …
	number  numberRule
}

// verified tells whether the decision makes a number the patient's.
func (d decision) verified() bool { return d.number == numberFound && d.status != "" }

// decision looks up what the table has for an outcome.
func (r Results) decision(o store.Outcome) decision {
	row := r.of(textOf[o])
	return decision{o, statusPrefix + row.status, row.number}
}

// decided are the outcomes in the journal of the answers that decide something.
var decided = map[pds.Outcome]store.Outcome{
	pds.Matched:     store.Traced,
	pds.Superseded:  store.Superseded,
	pds.NoMatch:     store.NoMatch,
	pds.ManyMatches: store.ManyMatches,
	pds.Invalidated: store.Invalidated,
	pds.NotVerified: store.NotVerified,
	pds.OldStyle:    store.OldStyle,
}

// outcomeOf is how a trace ended; a number that was asked about and confirmed is "verified".
func outcomeOf(want pds.Want, res pds.Result) store.Outcome {
	switch o := decided[res.Outcome]; {
	case o == store.Traced && (want == pds.Verify || want == pds.DetailsByNumber):
		return store.Verified
	case o != 0:
		return o
	case res.Outcome == pds.Stale:
		return store.Stale
	}
	return store.Refused
}

// decide says what an answer means for the subject, if it decides anything. A number that another
// local record holds is never written over the one that this record has.
func (h *Handler) decide(s subject, known *recall, want pds.Want, res pds.Result) (d decision, ok bool) {
	switch o := outcomeOf(want, res); {
	case textOf[o] == "":
		return decision{}, false
	case slices.Contains(findings, o) && s.heldElsewhere(known, res.NHSNumber):
		return h.Results.decision(store.HeldElsewhere), true
	default:
		return h.Results.decision(o), true
	}
}

// foundBy is the number that a decision goes with.
func foundBy(d decision, res pds.Result) pds.NHSNumber {
	if d.verified() {
		return res.NHSNumber
	}
	return pds.NHSNumber{}
}
