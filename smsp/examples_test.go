package smsp

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// specDir is where the contract's own documents lie, "" when they are not at hand.
func specDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SPINETRACE_SPEC_DIR")
	if dir == "" {
		t.Skip("SPINETRACE_SPEC_DIR is not set")
	}
	return dir
}

type manifestRow struct{ file, kind, code, whole, payloadFile, payload, expected string }

func manifest(t *testing.T) (rows []manifestRow) {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(example(t, "MANIFEST.csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all[1:] {
		rows = append(rows, manifestRow{r[0], r[1], r[2], r[3], r[4], r[5], r[6]})
	}
	return rows
}

func TestExamplesAreTheContracts(t *testing.T) {
	dir := filepath.Join(specDir(t), "smsp-examples")
	files := []string{"MANIFEST.csv"}
	for _, row := range manifest(t) {
		files = append(files, row.file)
	}
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != example(t, name) {
			t.Errorf("%s differs from the copy in testdata", name)
		}
	}
}

// An expectation is what an example is the answer to, and how it is to be read.
type expectation struct {
	ask    pds.Request
	want   pds.Result
	err    *pds.Error
	status int // of the response; 0 is 200
}

func expectations() map[string]expectation {
	born := func(y, m, d int) pds.Demographics {
		return pds.Demographics{
			Family: "Quillfeather", Sex: pds.SexFemale,
			BirthDate: pds.Date{Year: y, Month: m, Day: d},
		}
	}
	ask := func(w pds.Want, n pds.NHSNumber, who pds.Demographics) pds.Request {
		return pds.Request{Want: w, NHSNumber: n, Who: who}
	}
	var none pds.NHSNumber
	verifying := marigoldVerify()
	searching := ask(pds.Number, none, born(1978, 2, 14))
	details := ask(pds.DetailsBySearch, none, born(1978, 2, 14))
	byCode := "response code"
	fault := func(class pds.Class, code string, retry bool, status int) expectation {
		return expectation{
			ask: verifying, status: status,
			err: &pds.Error{Class: class, Code: code, Retry: retry, Status: status},
		}
	}
	return map[string]expectation{
		"11": {ask: verifying, want: pds.Result{Outcome: pds.Matched, NHSNumber: marigold, Code: "SMSP-0000", Reason: byCode}},
		"12": {ask: verifying, want: pds.Result{Outcome: pds.NotVerified, Code: "DEMOG-0040", Reason: byCode}},
		"13": {ask: verifying, want: pds.Result{Outcome: pds.NotVerified, Code: "DEMOG-0040", Reason: byCode}},
		"14": {ask: verifying, want: pds.Result{Outcome: pds.NotVerified, Code: "SMSP-0000", Reason: "valid identifier is false"}},
		"15": {ask: verifying, want: pds.Result{Outcome: pds.Superseded, NHSNumber: rosalind, Code: "DEMOG-0017", Reason: byCode}},
		"16": {ask: verifying, want: pds.Result{Outcome: pds.Invalidated, Code: "DEMOG-0022", Reason: byCode}},
		"17": {ask: verifying, want: pds.Result{Outcome: pds.OldStyle, Code: "DEMOG-0042", Reason: byCode}},
		"18": {ask: verifying, want: pds.Result{Outcome: pds.Refused, Code: "SMSP-0001", Reason: byCode}},

		"21": {ask: searching, want: pds.Result{Outcome: pds.Matched, NHSNumber: marigold, Code: "SMSP-0000", Reason: byCode}},
		"22": {ask: searching, want: pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001", Reason: byCode}},
		"23": {ask: searching, want: pds.Result{Outcome: pds.ManyMatches, Code: "DEMOG-0007", Reason: byCode}},
		"24": {ask: searching, want: pds.Result{Outcome: pds.Superseded, NHSNumber: rosalind, Code: "DEMOG-0017", Reason: byCode}},
		"25": {ask: searching, want: pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001", Reason: byCode}},

		"31": {
			ask:  ask(pds.DetailsByNumber, pds.MustNHSNumber("9994103075"), born(1942, 6, 11)),
			want: pds.Result{Outcome: pds.Matched, NHSNumber: pds.MustNHSNumber("9994103075"), Code: "SMSP-0000", Reason: byCode, Patient: barnaby()},
		},
		"32": {
			ask: ask(pds.DetailsByNumber, pds.MustNHSNumber("9994105388"), born(1991, 3, 5)),
			want: pds.Result{
				Outcome: pds.Matched, NHSNumber: pds.MustNHSNumber("9994105388"), Code: "SMSP-0000", Reason: byCode,
				Patient: &pds.Patient{
					NHSNumber: pds.MustNHSNumber("9994105388"),
					Title:     "MS", Given: []string{"Isolde"}, Family: "Vantongeren",
					Sex: pds.SexFemale, BirthDate: pds.Date{Year: 1991, Month: 3, Day: 5},
					RestrictedPossible: true,
				},
			},
		},
		"33": {
			ask: ask(pds.DetailsBySearch, none, born(2005, 2, 3)),
			want: pds.Result{
				Outcome: pds.Matched, NHSNumber: pds.MustNHSNumber("9994106155"), Code: "SMSP-0000", Reason: byCode,
				Patient: &pds.Patient{
					NHSNumber: pds.MustNHSNumber("9994106155"),
					Given:     []string{"Tobias"}, Family: "Penhallow",
					Sex: pds.SexNotSpecified, BirthDate: pds.Date{Year: 2005, Month: 2},
				},
			},
		},
		"34": {
			ask: ask(pds.DetailsByNumber, marigold, born(1983, 9, 21)),
			want: pds.Result{
				Outcome: pds.Superseded, NHSNumber: rosalind, Code: "DEMOG-0017", Reason: byCode,
				Patient: &pds.Patient{
					NHSNumber: rosalind,
					Given:     []string{"Rosalind"}, Family: "Kettlewell",
					Sex: pds.SexFemale, BirthDate: pds.Date{Year: 1983, Month: 9, Day: 21},
					Home:         pds.Address{Lines: [5]string{"4 FICTION MEWS", "", "", "LEEDS"}, Postcode: "LS99 6WW"},
					PracticeCode: "Z99902",
				},
			},
		},
		"35": {ask: details, want: pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001", Reason: byCode}},
		"36": {ask: ask(pds.DetailsByNumber, marigold, born(1978, 2, 14)), want: pds.Result{Outcome: pds.Invalidated, Code: "DEMOG-0022", Reason: byCode}},
		"37": {
			ask: ask(pds.DetailsByNumber, marigold, born(1978, 2, 14)),
			want: pds.Result{
				Outcome: pds.Stale, NHSNumber: marigold, Code: "SMSP-0003", Reason: byCode,
				Patient: &pds.Patient{
					NHSNumber: marigold,
					Given:     []string{"Marigold"}, Family: "Quillfeather",
					Sex: pds.SexFemale, BirthDate: pds.Date{Year: 1978, Month: 2, Day: 14},
					RestrictedPossible: true,
				},
			},
		},
		"38": {ask: details, want: pds.Result{Outcome: pds.ManyMatches, Code: "DEMOG-0007", Reason: byCode}},
		"39": {
			ask: ask(pds.Details, marigold, born(1978, 2, 14)),
			want: pds.Result{
				Outcome: pds.Matched, NHSNumber: marigold, Code: "SMSP-0000", Reason: byCode,
				Patient: &pds.Patient{
					NHSNumber: marigold,
					Given:     []string{"Marigold"}, Family: "Quillfeather",
					Sex: pds.SexFemale, BirthDate: pds.Date{Year: 1978, Month: 2, Day: 14},
					Home: pds.Address{Lines: [5]string{"8 NOWHERE ROAD", "", "", "LEEDS"}, Postcode: "LS99 9ZZ"},
				},
			},
		},

		"41": fault(pds.InputInvalid, "1000", false, 500),
		"42": fault(pds.ProviderError, "2100", true, 500),
		"43": fault(pds.ProviderError, "2200", false, 500),
		"44": fault(pds.AccessDenied, "3000", false, 200),
		"45": fault(pds.ProviderError, "", true, 500),
		"46": fault(pds.InputInvalid, "1000", false, 200),

		// The client does not validate against a schema; these two break it in ways
		// that matter to a reader.
		"invalid/n11": {
			ask: ask(pds.DetailsByNumber, pds.MustNHSNumber("9994103075"), born(1942, 6, 11)),
			want: pds.Result{
				Outcome: pds.Matched, NHSNumber: pds.MustNHSNumber("9994103075"), Code: "SMSP-0000",
				Reason: byCode + "; address not of five lines",
				Patient: func() *pds.Patient {
					p := barnaby()
					p.Home.Lines = [5]string{}
					return p
				}(),
			},
		},
		"invalid/n12": {ask: verifying, err: &pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0000", Status: 200}},
	}
}

// barnaby is the patient of example 31, where everything is said.
func barnaby() *pds.Patient {
	return &pds.Patient{
		NHSNumber: pds.MustNHSNumber("9994103075"),
		Title:     "MR",
		Given:     []string{"Barnaby", "Thaddeus"}, Family: "Oxenholme-Tarn",
		Sex: pds.SexMale, BirthDate: pds.Date{Year: 1942, Month: 6, Day: 11},
		Deceased:     true,
		DeathTime:    "202411030415",
		Home:         pds.Address{Lines: [5]string{"FLAT 3", "12 MADEUP TERRACE", "", "LEEDS", "WEST YORKSHIRE"}, Postcode: "LS99 9ZZ"},
		Temporary:    pds.Address{Lines: [5]string{"c/o PRETEND COTTAGE", "1 INVENTED LANE", "", "YORK"}, Postcode: "YO99 1AA"},
		Postal:       pds.Address{Lines: [5]string{"PO BOX 404", "", "", "LEEDS"}, Postcode: "LS99 8YY"},
		Phone:        "01134960123",
		Mobile:       "07700900456",
		Email:        "b.oxenholme@example.org",
		PracticeCode: "Z99901",
		PracticeName: "MADEUP MEDICAL CENTRE",
	}
}

func TestReadsEveryExample(t *testing.T) {
	table := expectations()
	for _, row := range manifest(t) {
		if row.kind == "request" {
			continue
		}
		number, _, _ := strings.Cut(row.file, "-")
		t.Run(row.file, func(t *testing.T) {
			e, ok := table[number]
			if !ok {
				t.Fatal("no expectation")
			}
			body := example(t, row.file)
			c := newClient(t, says(max(e.status, 200), body))
			rec := &memo{}
			e.ask.Recorder = rec
			got, err := c.Trace(t.Context(), e.ask)
			a := rec.only(t)
			if e.err != nil {
				wantError(t, err, *e.err)
			} else if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, e.want, compareNumbers); diff != "" {
				t.Errorf("result (-got +want):\n%s", diff)
			}
			if string(a.Body) != body || a.NHSNumber != got.NHSNumber {
				t.Error("the recorded answer is not the one given")
			}
			if row.expected == "valid" && row.code != "" && a.Code != row.code {
				t.Errorf("recorded code %q, want %q", a.Code, row.code)
			}
		})
	}
}

// TestWritesEveryExample takes what varies from an example request and builds it anew:
// white space between elements apart, the bytes are the same.
func TestWritesEveryExample(t *testing.T) {
	for _, row := range manifest(t) {
		if row.kind != "request" || row.expected != "valid" {
			continue
		}
		t.Run(row.file, func(t *testing.T) {
			doc := etree.NewDocument()
			if err := doc.ReadFromString(example(t, row.file)); err != nil {
				t.Fatal(err)
			}
			c, req := likeExample(t, doc)
			if err := c.Check(); err != nil {
				t.Fatal(err)
			}
			if res, ok := c.check(tidy(req)); !ok {
				t.Fatalf("refused: %s", res.Reason)
			}
			doc.Unindent()
			want, err := doc.WriteToBytes()
			if err != nil {
				t.Fatal(err)
			}
			if got := c.question(tidy(req)).call.Body; !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// likeExample returns the client and the question that made an example.
func likeExample(t *testing.T, doc *etree.Document) (*Client, pds.Request) {
	t.Helper()
	get := func(path string) string {
		if e := doc.FindElement(path); e != nil {
			return e.Text()
		}
		return ""
	}
	at := func(path, key string) string {
		if e := doc.FindElement(path); e != nil {
			return e.SelectAttrValue(key, "")
		}
		return ""
	}
	created, err := time.Parse(time.RFC3339, get("//wsu:Created"))
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{
		get("//wsa:MessageID"),
		strings.TrimPrefix(at("//wsu:Timestamp", "wsu:Id"), "ts-"),
		at("//itk:header", "trackingid"),
		strings.TrimPrefix(at("//itk:payload", "id"), "uuid_"),
		at("//itk:payload/*/id", "root"),
	}
	c := &Client{
		Endpoint: get("//wsa:To"),
		ODS:      "X99",
		System:   "mllp-adapter",
		From:     get("//wsa:From/wsa:Address"),
		Rules:    pds.Rules{AllowWildcards: true, AllowPartialDOB: true},
		Now:      func() time.Time { return created },
		NewID: func() string {
			id := ids[0]
			ids = ids[1:]
			return id
		},
	}
	for _, id := range doc.FindElements("//itk:auditIdentity/itk:id") {
		c.AuditIDs = append(c.AuditIDs, AuditID{id.SelectAttrValue("type", ""), id.SelectAttrValue("uri", "")})
	}
	service := strings.TrimSuffix(strings.TrimPrefix(get("//wsa:Action"), "urn:nhs-itk:services:201005:"), "-v1-0")
	var req pds.Request
	for w := range operations {
		if operations[w].name == service {
			req.Want = pds.Want(w)
		}
	}
	if n := at("//Person.NHSNumber/value", "extension"); n != "" {
		req.NHSNumber = pds.MustNHSNumber(n)
	}
	req.Who.BirthDate, err = pds.ParseDate(at("//Person.DateOfBirth/value", "value"))
	if err != nil {
		t.Fatal(err)
	}
	if g := at("//Person.Gender/value", "code"); g != "" {
		req.Who.Sex = pds.Sex(g[0])
	}
	req.Who.LocalID = strings.TrimPrefix(at("//Person.LocalIdentifier/value", "extension"), "X99:")
	req.Who.Given, req.Who.Family = get("//given"), get("//family")
	req.Who.Postcode = get("//postalCode")
	return c, req
}
