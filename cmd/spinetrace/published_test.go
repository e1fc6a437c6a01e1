package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"spinetrace/pds"
	"spinetrace/pds/pdsfhir"
	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
)

// The one published patient whose number was replaced, and who that is now. The file says the
// first in its notes and the second nowhere.
const publishedSuperseded, publishedSurvivor = "9449310424", "9449310416"

// publishedEnd is how a question about a published patient ends that does not find that very
// patient, and why.
type publishedEnd struct {
	outcome pds.Outcome
	number  string // that comes back
	why     string
}

// publishedByNumber are the rows that do not trace by number and birth date.
var publishedByNumber = map[string]publishedEnd{
	"9449310378":        {pds.Invalidated, "", "flag I: withdrawn"},
	"9449310718":        {pds.Invalidated, "", "flag I: withdrawn"},
	"9449310599":        {pds.Invalidated, "", "flag I: withdrawn"},
	"9449310408":        {pds.Invalidated, "", "flag I: withdrawn"},
	publishedSuperseded: {pds.Superseded, publishedSurvivor, "replaced"},
	"9462658110":        {pds.Refused, "", "birth date of year and month, which is never asked with"},
}

// publishedBySearch are the rows that do not trace by name, birth date, sex and postcode.
var publishedBySearch = map[string]publishedEnd{
	"9449310378":        {pds.NoMatch, "", "flag I: withdrawn records are not found"},
	"9449310718":        {pds.NoMatch, "", "flag I: withdrawn records are not found"},
	"9449310599":        {pds.NoMatch, "", "flag I: withdrawn records are not found"},
	"9449310408":        {pds.NoMatch, "", "flag I: withdrawn records are not found"},
	"9449310610":        {pds.NoMatch, "", "flag S: a postcode must not find where somebody is; without it the row traces"},
	"9449310475":        {pds.NoMatch, "", "flag S: a postcode must not find where somebody is; without it the row traces"},
	publishedSuperseded: {pds.Matched, publishedSurvivor, "replaced: the search finds who it is now"},
	"9449310726":        {pds.ManyMatches, "", "the same in everything as 9449310734"},
	"9449310734":        {pds.ManyMatches, "", "the same in everything as 9449310726"},
	"9462658110":        {pds.Refused, "", "birth date of year and month, which is never asked with"},
}

// publishedBriefly are rows of which the postcode, or given name and postcode, is left out.
var publishedBriefly = []struct {
	number string
	given  bool
	want   publishedEnd
}{
	{"9449310610", true, publishedEnd{pds.Matched, "9449310610", "flag S, without the postcode"}},
	{"9449310475", true, publishedEnd{pds.Matched, "9449310475", "flag S, without the postcode"}},
	{"9449310025", true, publishedEnd{pds.Matched, "9449310025", "DOUBLE, told apart by given name"}},
	{"9449310025", false, publishedEnd{pds.ManyMatches, "", "DOUBLE, by surname and birth date alone"}},
	{"9449310017", false, publishedEnd{pds.ManyMatches, "", "DOUBLE, by surname and birth date alone"}},
	{"9449310009", false, publishedEnd{pds.ManyMatches, "", "DUAL, by surname and birth date alone"}},
}

// TestPublishedPatients asks about every published test patient, by number and by
// demographics, through both back ends, and lists those that do not come back and why.
func TestPublishedPatients(t *testing.T) {
	people := publishedPatients(t)
	for name, open := range map[string]func(*testing.T, *pdstest.Population) pds.Tracer{"smsp": openSimulatedSMSP, "pds": openSimulatedPDS} {
		t.Run(name, func(t *testing.T) {
			tracer := open(t, people)
			var g errgroup.Group
			g.SetLimit(8)
			for i := range people.Len() {
				g.Go(func() error {
					checkPublished(t, tracer, people.At(i))
					return nil
				})
			}
			_ = g.Wait() // failures are the test's
			for _, b := range publishedBriefly {
				req := publishedSearch(people.Current(pds.MustNHSNumber(b.number)), pds.Number)
				req.Who.Postcode = ""
				if !b.given {
					req.Who.Given = ""
				}
				checkPublishedEnd(t, tracer, req, b.number, b.want)
			}
		})
	}
	listPublished(t, "by number", publishedByNumber)
	listPublished(t, "by demographics", publishedBySearch)
	t.Logf("the other rows of %d come back by number and by demographics, with both back ends", people.Len())
}

func listPublished(t *testing.T, how string, ends map[string]publishedEnd) {
	t.Helper()
	for number, end := range ends {
		t.Logf("%s, %s: %s %s (%s)", number, how, end.outcome, end.number, end.why)
	}
}

// publishedPatients reads the published file and says in memory who replaced whom.
func publishedPatients(t *testing.T) *pdstest.Population {
	t.Helper()
	dir := os.Getenv("SPINETRACE_SPEC_DIR")
	if dir == "" {
		t.Skip("SPINETRACE_SPEC_DIR is not set: the published patients are not at hand")
	}
	text, err := os.ReadFile(filepath.Join(dir, "data", "smsp-test-patients", "open_test_data.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		by := map[string]string{"NHS_NUMBER": "SUPERSEDED_BY", publishedSuperseded: publishedSurvivor}[row[1]]
		rows[i] = append(row, by)
	}
	var file bytes.Buffer
	if err := csv.NewWriter(&file).WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	list, err := pdstest.ReadPeople(&file)
	if err != nil {
		t.Fatal(err)
	}
	people, err := pdstest.NewPopulation(list)
	if err != nil {
		t.Fatal(err)
	}
	if people.Len() != 689 {
		t.Errorf("%d rows, want 689", people.Len())
	}
	return people
}

func openSimulatedSMSP(t *testing.T, people *pdstest.Population) pds.Tracer {
	return openSimulated(t, "smsp", smsptest.NewServer(t, people).URL)
}

func openSimulatedPDS(t *testing.T, people *pdstest.Population) pds.Tracer {
	return openSimulated(t, "pds", pdsfhirtest.NewServer(t, people).URL)
}

// openSimulated makes a client as the service does.
func openSimulated(t *testing.T, backend, address string) pds.Tracer {
	t.Helper()
	cfg, err := defaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ODS, cfg.SMSPURL, cfg.PDSURL, cfg.PDSTokenURL = "RXX", URL{u}, URL{u}, pdsfhir.NoTokens
	if err := cfg.BackendRate.UnmarshalText([]byte("0")); err != nil {
		t.Fatal(err)
	}
	cfg.BackendTimeout = patience
	tracer, err := backends[backend].open(&cfg, new(certificates))
	if err != nil {
		t.Fatal(err)
	}
	if idle, ok := tracer.(interface{ CloseIdleConnections() }); ok {
		t.Cleanup(idle.CloseIdleConnections)
	}
	return tracer
}

// publishedSearch is the question with everything that a row says of who somebody is.
func publishedSearch(p *pdstest.Person, want pds.Want) pds.Request {
	return pds.Request{Want: want, Who: pds.Demographics{
		Family: p.Record.Family, Given: first(p.Record.Given), BirthDate: p.Record.BirthDate, Sex: p.Record.Sex,
		Postcode: p.Record.Home.Postcode,
	}}
}

// checkPublished asks about one row in every way.
func checkPublished(t *testing.T, tracer pds.Tracer, p *pdstest.Person) {
	t.Helper()
	digits := p.Record.NHSNumber.Digits()
	found := publishedEnd{outcome: pds.Matched, number: digits}
	for want := pds.Verify; want <= pds.Details; want++ {
		req, ends := publishedSearch(p, want), publishedBySearch
		if want != pds.Number && want != pds.DetailsBySearch {
			req.NHSNumber, ends = p.Record.NHSNumber, publishedByNumber
		}
		end, other := ends[digits]
		if !other {
			end = found
		}
		checkPublishedEnd(t, tracer, req, digits, end)
	}
}

func checkPublishedEnd(t *testing.T, tracer pds.Tracer, req pds.Request, row string, want publishedEnd) {
	t.Helper()
	res, err := tracer.Trace(t.Context(), req)
	if err != nil {
		t.Errorf("%s, %s: %v", row, req.Want, err)
		return
	}
	got := fmt.Sprint(res.Outcome, " ", res.NHSNumber.Digits())
	if wanted := fmt.Sprint(want.outcome, " ", want.number); got != wanted {
		t.Errorf("%s, %s: %s (%s), want %s", row, req.Want, got, res.Reason, wanted)
	}
	if req.Want >= pds.DetailsByNumber && want.number != "" && (res.Patient == nil || res.Patient.Family != req.Who.Family) {
		t.Errorf("%s, %s: the details are not this patient's", row, req.Want)
	}
}
