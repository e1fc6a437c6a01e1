package pdsfhir

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// changing returns a change of a question.
func changing(change func(*pds.Demographics)) func(*pds.Request) {
	return func(r *pds.Request) { change(&r.Who) }
}

func otherNumber(r *pds.Request) { r.NHSNumber = survivor }
func withNumber(r *pds.Request)  { r.NHSNumber = marigold }

// TestCrossCheck goes through the rows of section 9.2.
func TestCrossCheck(t *testing.T) {
	with := func(key string, v any) object { return person(object{key: v}) }
	for name, tt := range map[string]struct {
		set    func(*Client)
		want   pds.Want // default Verify
		change func(*pds.Request)
		record object
		end    pds.Outcome
		code   string
		reason string // how it begins
	}{
		"all agrees":                       {record: person(), end: pds.Matched, code: "SMSP-0000", reason: "number and birth date agree; name agrees; record version 4"},
		"no name sent":                     {record: person(), change: changing(func(d *pds.Demographics) { d.Family, d.Given = "", "" }), end: pds.Matched, code: "SMSP-0000", reason: "number and birth date agree; no name sent"},
		"a name of hyphens only":           {record: person(), change: changing(func(d *pds.Demographics) { d.Family, d.Given = "--", "'" }), end: pds.Matched, code: "SMSP-0000", reason: "number and birth date agree; no name sent"},
		"redacted":                         {record: with("meta", object{"security": []object{{"code": "REDACTED"}}}), end: pds.Invalidated, code: "DEMOG-0022", reason: "record is redacted"},
		"no birth date":                    {record: with("birthDate", nil), end: pds.NotVerified, code: "DEMOG-0040", reason: "birth date missing in the record"},
		"another birth date":               {record: with("birthDate", "1978-02-15"), end: pds.NotVerified, code: "DEMOG-0040", reason: "birth date differs"},
		"a birth year, held":               {record: with("birthDate", "1978"), end: pds.NotVerified, code: "DEMOG-0040", reason: "birth date held in part"},
		"a birth month, accepted":          {record: with("birthDate", "1978-02"), set: func(c *Client) { c.AcceptPartialDOB = true }, end: pds.Matched, code: "SMSP-0000", reason: "number and birth date agree; name agrees; birth date held in part"},
		"another birth month":              {record: with("birthDate", "1978-03"), set: func(c *Client) { c.AcceptPartialDOB = true }, end: pds.NotVerified, code: "DEMOG-0040", reason: "birth date differs"},
		"another family name":              {record: person(), change: changing(func(d *pds.Demographics) { d.Family = "Ash" }), end: pds.NotVerified, code: "DEMOG-0040", reason: "family name differs"},
		"part of the family name":          {record: person(), set: func(c *Client) { c.FamilyPart = true }, change: changing(func(d *pds.Demographics) { d.Family = "ash" }), end: pds.Matched, code: "SMSP-0000"},
		"a maiden name":                    {record: person(), change: changing(func(d *pds.Demographics) { d.Family = "O’TARNBECK" }), end: pds.Matched, code: "SMSP-0000", reason: "number and birth date agree; name agrees with a former name"},
		"given name of another":            {record: person(), change: changing(func(d *pds.Demographics) { d.Family, d.Given = "O'Tarnbeck", "Anne" }), end: pds.NotVerified, code: "DEMOG-0040", reason: "given name differs"},
		"no name held":                     {record: with("name", nil), end: pds.NotVerified, code: "DEMOG-0040", reason: "family name differs"},
		"only a given name sent":           {record: person(), change: changing(func(d *pds.Demographics) { d.Family = "" }), end: pds.Matched, code: "SMSP-0000"},
		"an initial":                       {record: person(), change: changing(func(d *pds.Demographics) { d.Given = "M" }), end: pds.NotVerified, code: "DEMOG-0040", reason: "given name differs"},
		"an initial, allowed":              {record: person(), set: func(c *Client) { c.GivenInitial = true }, change: changing(func(d *pds.Demographics) { d.Given = "M" }), end: pds.Matched, code: "SMSP-0000"},
		"sex is not for verify":            {record: with("gender", "male"), end: pds.Matched, code: "SMSP-0000"},
		"opposite sex":                     {want: pds.Details, change: withNumber, record: with("gender", "male"), end: pds.NotVerified, code: "DEMOG-0040", reason: "sex differs"},
		"sex not specified":                {want: pds.Details, change: withNumber, record: with("gender", "other"), end: pds.Matched, code: "SMSP-0000"},
		"no sex held":                      {want: pds.Details, change: withNumber, record: with("gender", nil), end: pds.Matched, code: "SMSP-0000"},
		"postcode by number only":          {want: pds.DetailsByNumber, change: changing(func(d *pds.Demographics) { d.Postcode = "LS99 1AA" }), record: person(), end: pds.Matched, code: "SMSP-0000"},
		"another postcode":                 {want: pds.Details, change: func(r *pds.Request) { withNumber(r); r.Who.Postcode = "LS99 1AA" }, record: person(), end: pds.NotVerified, code: "DEMOG-0040", reason: "postcode differs"},
		"postcode of no address":           {want: pds.Details, change: func(r *pds.Request) { withNumber(r); r.Who.Postcode = "LS99 1AA" }, record: with("address", nil), end: pds.Matched, code: "SMSP-0000"},
		"postcode, restricted":             {want: pds.Details, change: func(r *pds.Request) { withNumber(r); r.Who.Postcode = "LS99 1AA" }, record: with("meta", object{"security": []object{{"code": "V"}}}), end: pds.Matched, code: "SMSP-0000"},
		"postcode written closely":         {want: pds.Details, change: func(r *pds.Request) { withNumber(r); r.Who.Postcode = "ls999zz" }, record: person(), end: pds.Matched, code: "SMSP-0000"},
		"another number":                   {change: otherNumber, record: person(), end: pds.Superseded, code: "DEMOG-0017", reason: "number and birth date agree; name agrees; record version 4; number differs from the one asked about"},
		"another number, and not verified": {change: func(r *pds.Request) { otherNumber(r); r.Who.Family = "Ash" }, record: person(), end: pds.NotVerified, code: "DEMOG-0040", reason: "family name differs; record version 4; number differs"},
		"a name cut":                       {change: changing(func(d *pds.Demographics) { d.Family = strings.Repeat("Quill", 8) }), record: with("name", []object{{"use": "usual", "family": strings.Repeat("Quill", 7), "given": []string{"Marigold"}}}), end: pds.Matched, code: "SMSP-0000", reason: "number and birth date agree; name agrees; family name cut to 35 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{reads: []reply{tt.record.reply()}}
			c := newClient(t, a)
			if tt.set != nil {
				tt.set(c)
			}
			rec := &memo{}
			req := asking(max(tt.want, pds.Verify))
			if tt.change != nil {
				tt.change(&req)
			}
			req.Recorder = rec
			res, err := c.Trace(t.Context(), req)
			if err != nil || res.Outcome != tt.end || res.Code != tt.code || !strings.HasPrefix(res.Reason, tt.reason) {
				t.Fatalf("got %v, %s, %q, %v; want %v, %s, %q…", res.Outcome, res.Code, res.Reason, err, tt.end, tt.code, tt.reason)
			}
			success := tt.end == pds.Matched || tt.end == pds.Superseded
			if res.NHSNumber.IsZero() == success || (res.Patient != nil) != (success && tt.want != 0) {
				t.Errorf("number given: %v, details given: %v", !res.NHSNumber.IsZero(), res.Patient != nil)
			}
			if last := rec.last(t); last.NHSNumber != marigold || last.Code != tt.code || last.Reason != res.Reason {
				t.Errorf("recorded code %q, reason %q, or not the number that came", last.Code, last.Reason)
			}
		})
	}
}

func TestANumberThatIsNoneIsNoAnswer(t *testing.T) {
	for name, record := range map[string]object{
		"missing":            person(object{"id": nil}),
		"check digit":        person(object{"id": "9990000019"}),
		"with spaces":        person(object{"id": "999 000 0018"}),
		"identifier differs": person(object{"identifier": []object{{"system": systemNHSNumber, "value": survivor.Digits()}}}),
		"one of two differs": person(object{"identifier": []object{{"system": systemNHSNumber, "value": marigold.Digits()}, {"value": survivor.Digits()}}}),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, &api{reads: []reply{record.reply()}})
			_, err := c.Trace(t.Context(), asking(pds.Verify))
			wantError(t, err, pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002", Status: 200})
		})
	}
}

// A hit is found by a name that it has no more; the search result does not say so.
func TestFormerNamesAreReadFromTheRecord(t *testing.T) {
	hit := person(object{"name": []object{{"use": "usual", "given": []string{"Marigold"}, "family": "Quillfeather-Ash"}}})
	for name, tt := range map[string]struct {
		family string
		record object
		end    pds.Outcome
		reason string
	}{
		"maiden name":      {"O'Tarnbeck", person(), pds.Matched, "found by search; name agrees with a former name; score 1; record version 4"},
		"nobody's name":    {"Fictley", person(), pds.NoMatch, "hit rejected: family name differs; score 1; record version 4"},
		"born another day": {"O'Tarnbeck", person(object{"birthDate": "1978-02-15"}), pds.NoMatch, "hit rejected: birth date differs; score 1; record version 4"},
		"became redacted":  {"O'Tarnbeck", person(object{"meta": object{"security": []object{{"code": "REDACTED"}}}}), pds.NoMatch, "hit rejected: record is redacted; score 1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{searches: []reply{found(hit).reply()}, reads: []reply{tt.record.reply()}}
			rec := &memo{}
			req := asking(pds.Number, changing(func(d *pds.Demographics) { d.Family = tt.family }))
			req.Recorder = rec
			res, err := newClient(t, a).Trace(t.Context(), req)
			if err != nil || res.Outcome != tt.end || res.Reason != tt.reason {
				t.Errorf("got %v, %q, %v; want %v, %q", res.Outcome, res.Reason, err, tt.end, tt.reason)
			}
			if res.Patient != nil {
				t.Error("details that nobody asked for")
			}
			if len(rec.calls) != 2 || !rec.calls[0].NHSNumber.IsZero() || rec.calls[1].NHSNumber != marigold || rec.answers[0].NHSNumber != marigold {
				t.Errorf("%d calls recorded, or not whom they were about", len(rec.calls))
			}
			if got := rec.answers[0].Reason; got != "one found by search; family name differs; its record is read; record version 4" {
				t.Errorf("first answer recorded as %q", got)
			}
		})
	}
}

// TestPostCheck goes through section 9.4 for a hit whose names agree.
func TestPostCheck(t *testing.T) {
	with := func(key string, v any) object { return found(person(object{key: v})) }
	scored := func(score any) object {
		b := found(person())
		b["entry"] = []object{{"search": object{"score": score}, "resource": person()}}
		return b
	}
	for name, tt := range map[string]struct {
		set    func(*Client)
		change func(*pds.Request)
		hits   object
		end    pds.Outcome
		code   string
		reason string
	}{
		"agrees":             {hits: found(person()), end: pds.Matched, code: "SMSP-0000", reason: "found by search; name agrees; score 1; record version 4"},
		"none":               {hits: found(), end: pds.NoMatch, code: "DEMOG-0001", reason: "nobody found by search"},
		"two":                {hits: found(person(), person()), end: pds.ManyMatches, code: "DEMOG-0007", reason: "several found by search"},
		"told of several":    {hits: outcome("TOO_MANY_MATCHES"), end: pds.ManyMatches, code: "DEMOG-0007", reason: "TOO_MANY_MATCHES"},
		"no birth date":      {hits: with("birthDate", nil), end: pds.NoMatch, code: "DEMOG-0001", reason: "hit rejected: birth date missing in the record; score 1; record version 4"},
		"birth date in part": {hits: with("birthDate", "1978-02"), end: pds.NoMatch, code: "DEMOG-0001", reason: "hit rejected: birth date differs; score 1; record version 4"},
		"another birth date": {hits: with("birthDate", "1979-02-14"), end: pds.NoMatch, code: "DEMOG-0001", reason: "hit rejected: birth date differs; score 1; record version 4"},
		"inside a range": {
			set:    func(c *Client) { c.Rules.AllowPartialDOB = true },
			change: changing(func(d *pds.Demographics) { d.BirthDate.Day = 0 }),
			hits:   found(person()), end: pds.Matched, code: "SMSP-0000", reason: "found by search; name agrees; score 1; record version 4",
		},
		"outside a range": {
			set:    func(c *Client) { c.Rules.AllowPartialDOB = true },
			change: changing(func(d *pds.Demographics) { d.BirthDate.Day, d.BirthDate.Month = 0, 3 }),
			hits:   found(person()), end: pds.NoMatch, code: "DEMOG-0001", reason: "hit rejected: birth date differs; score 1; record version 4",
		},
		"opposite sex":            {hits: with("gender", "male"), end: pds.NoMatch, code: "DEMOG-0001", reason: "hit rejected: sex differs; score 1; record version 4"},
		"opposite sex, a warning": {set: func(c *Client) { c.GenderCheck = GenderWarn }, hits: with("gender", "male"), end: pds.Matched, code: "SMSP-0000", reason: "found by search; name agrees; sex differs; score 1; record version 4"},
		"sex unknown":             {hits: with("gender", "unknown"), end: pds.Matched, code: "SMSP-0000", reason: "found by search; name agrees; score 1; record version 4"},
		"score enough":            {hits: scored(0.85), end: pds.Matched, code: "SMSP-0000", reason: "found by search; name agrees; score 0.85; record version 4"},
		"score too low":           {hits: scored(0.8499), end: pds.NoMatch, code: "DEMOG-0001", reason: "hit rejected: score too low; score 0.8499; record version 4"},
		"score too low for us":    {set: func(c *Client) { c.MinScore = 0.95 }, hits: scored(0.93), end: pds.NoMatch, code: "DEMOG-0001", reason: "hit rejected: score too low; score 0.93; record version 4"},
		"no score":                {hits: scored(nil), end: pds.NoMatch, code: "DEMOG-0001", reason: "hit rejected: no score; record version 4"},
		"any score will do":       {set: func(c *Client) { c.MinScore = -1 }, hits: scored(nil), end: pds.Matched, code: "SMSP-0000", reason: "found by search; name agrees; record version 4"},
		"a score beyond reason":   {hits: scored(1e300), end: pds.NoMatch, code: "DEMOG-0001", reason: "hit rejected: no score; record version 4"},
		"wildcards": {
			set:    func(c *Client) { c.Rules.AllowWildcards = true },
			change: changing(func(d *pds.Demographics) { d.Family, d.Given = "Quill*", "Mar*" }),
			hits:   found(person()), end: pds.Matched, code: "SMSP-0000", reason: "found by search; name agrees; score 1; record version 4",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{searches: []reply{tt.hits.reply()}, reads: []reply{person().reply()}}
			c := newClient(t, a)
			if tt.set != nil {
				tt.set(c)
			}
			req := asking(pds.Number)
			if tt.change != nil {
				tt.change(&req)
			}
			res, err := c.Trace(t.Context(), req)
			if err != nil || res.Outcome != tt.end || res.Code != tt.code || res.Reason != tt.reason {
				t.Errorf("got %v, %s, %q, %v; want %v, %s, %q", res.Outcome, res.Code, res.Reason, err, tt.end, tt.code, tt.reason)
			}
			if _, reads := a.queries(); reads > 0 {
				t.Error("a record was read for nothing")
			}
		})
	}
}

func TestSearchResultsThatCannotBe(t *testing.T) {
	altered := func(key string, v any) object {
		b := found(person())
		if b[key] = v; v == nil {
			delete(b, key)
		}
		return b
	}
	for name, b := range map[string]object{
		"no total":          altered("total", nil),
		"total of none":     altered("total", 0),
		"total without one": altered("entry", nil),
		"another type":      altered("type", "history"),
		"no type":           altered("type", nil),
		"not a patient":     found(object{"resourceType": "RelatedPerson", "id": "507B7621"}),
		"nothing found":     found(object{}),
		"one patient":       person(),
		"no code":           {"resourceType": "OperationOutcome"},
		"a code of ours":    outcome("NO ASID"),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, &api{searches: []reply{b.reply()}})
			_, err := c.Trace(t.Context(), asking(pds.Number))
			wantError(t, err, pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002", Status: 200})
		})
	}
}

func TestSearches(t *testing.T) {
	plain := "family=Quillfeather-Ash&given=Marigold&birthdate=eq1978-02-14"
	postcode := changing(func(d *pds.Demographics) { d.Postcode = "LS99 9ZZ" })
	secret := person(object{"meta": object{"versionId": "4", "security": []object{{"code": "R"}}}, "address": nil})
	loosely := person(object{"name": []object{{"use": "usual", "given": []string{"Marigolde"}, "family": "Quilfether"}, {"use": "old", "given": []string{"Marigold"}, "family": "Quillfeather-Ash"}}})
	restricted := func(c *Client) { c.RestrictedSearch = true }
	fuzzy := func(c *Client) { c.FuzzyFallback = true }
	none := found().reply()
	for name, tt := range map[string]struct {
		set      func(*Client)
		change   func(*pds.Request)
		searches []reply
		record   object
		queries  []string
		reads    int
		end      pds.Outcome
		reason   string
	}{
		"plain": {
			searches: []reply{none}, end: pds.NoMatch, reason: "nobody found by search",
			queries: []string{plain + "&_history=true"},
		},
		"with a postcode": {
			change: postcode, searches: []reply{none}, end: pds.NoMatch, reason: "nobody found by search",
			queries: []string{plain + "&address-postalcode=LS99%209ZZ&_history=true"},
		},
		"restricted": {
			set: restricted, change: postcode, searches: []reply{none, found(secret).reply()}, end: pds.Matched,
			reason:  "found by search without postcode; name agrees; score 1; record version 4",
			queries: []string{plain + "&address-postalcode=LS99%209ZZ&_history=true", plain + "&_history=true"},
		},
		"not restricted, elsewhere": {
			set: restricted, change: postcode, searches: []reply{none, found(person()).reply()}, end: pds.NoMatch,
			reason:  "hit rejected: postcode differs; score 1; record version 4",
			queries: []string{plain + "&address-postalcode=LS99%209ZZ&_history=true", plain + "&_history=true"},
		},
		"restricted, but no given name": {
			set: restricted, change: func(r *pds.Request) { postcode(r); r.Who.Given = "" }, searches: []reply{none}, end: pds.NoMatch,
			reason:  "nobody found by search",
			queries: []string{"family=Quillfeather-Ash&birthdate=eq1978-02-14&address-postalcode=LS99%209ZZ&_history=true"},
		},
		"fuzzy, explained by a former name": {
			set: fuzzy, searches: []reply{none, found(loosely).reply()}, record: loosely, reads: 0, end: pds.Matched,
			reason:  "found by fuzzy search; name agrees with a former name; score 1",
			queries: []string{plain + "&_history=true", plain + "&_fuzzy-match=true"},
		},
		"fuzzy, of another name": {
			set: func(c *Client) { c.FuzzyFallback, c.FamilyPart = true, true }, searches: []reply{none, found(person()).reply()},
			change: changing(func(d *pds.Demographics) { d.Family = "Ash" }), record: person(), reads: 1, end: pds.NoMatch,
			reason:  "hit rejected: family name differs; score 1; record version 4",
			queries: []string{"family=Ash&given=Marigold&birthdate=eq1978-02-14&_history=true", "family=Ash&given=Marigold&birthdate=eq1978-02-14&_fuzzy-match=true"},
		},
		"fuzzy, with what else is allowed": {
			set: fuzzy, change: func(r *pds.Request) { postcode(r); r.Who.Given = "" }, searches: []reply{none, none}, end: pds.NoMatch,
			reason: "nobody found by fuzzy search",
			queries: []string{
				"family=Quillfeather-Ash&birthdate=eq1978-02-14&address-postalcode=LS99%209ZZ&_history=true",
				"family=Quillfeather-Ash&birthdate=eq1978-02-14&gender=female&address-postalcode=LS99%209ZZ&_fuzzy-match=true",
			},
		},
		"fuzzy, with too little": {
			set: fuzzy, change: changing(func(d *pds.Demographics) { d.Given = "" }), searches: []reply{none}, end: pds.NoMatch,
			reason:  "nobody found by search",
			queries: []string{"family=Quillfeather-Ash&birthdate=eq1978-02-14&_history=true"},
		},
		"all three": {
			set: func(c *Client) { c.RestrictedSearch, c.FuzzyFallback = true, true }, change: postcode, searches: []reply{none}, end: pds.NoMatch,
			reason: "nobody found by fuzzy search",
			queries: []string{
				plain + "&address-postalcode=LS99%209ZZ&_history=true", plain + "&_history=true",
				plain + "&address-postalcode=LS99%209ZZ&_fuzzy-match=true",
			},
		},
		"a wildcard": {
			set:    func(c *Client) { c.Rules.AllowWildcards, c.FuzzyFallback = true, true },
			change: changing(func(d *pds.Demographics) { d.Family = "Quill*" }), searches: []reply{none}, end: pds.NoMatch,
			reason:  "nobody found by search",
			queries: []string{"family=Quill%2A&given=Marigold&birthdate=eq1978-02-14&_history=true"},
		},
		"a month of birth": {
			set:    func(c *Client) { c.Rules.AllowPartialDOB = true },
			change: changing(func(d *pds.Demographics) { d.BirthDate.Day = 0 }), searches: []reply{none}, end: pds.NoMatch,
			reason:  "nobody found by search",
			queries: []string{"family=Quillfeather-Ash&given=Marigold&birthdate=ge1978-02-01&birthdate=le1978-02-28&_history=true"},
		},
		"a year of birth": {
			set:    func(c *Client) { c.Rules.AllowPartialDOB = true },
			change: changing(func(d *pds.Demographics) { d.BirthDate.Day, d.BirthDate.Month = 0, 0 }), searches: []reply{none}, end: pds.NoMatch,
			reason:  "nobody found by search",
			queries: []string{"family=Quillfeather-Ash&given=Marigold&birthdate=ge1978-01-01&birthdate=le1978-12-31&_history=true"},
		},
		"characters that mean something": {
			change: changing(func(d *pds.Demographics) { d.Family, d.Given = "O'Rourke & Núñez+", "  Mary  Ann " }), searches: []reply{none}, end: pds.NoMatch,
			reason:  "nobody found by search",
			queries: []string{"family=O%27Rourke%20%26%20N%C3%BA%C3%B1ez%2B&given=Mary%20Ann&birthdate=eq1978-02-14&_history=true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{searches: tt.searches, reads: []reply{tt.record.reply()}}
			c := newClient(t, a)
			if tt.set != nil {
				tt.set(c)
			}
			req := asking(pds.Number)
			if tt.change != nil {
				tt.change(&req)
			}
			rec := &memo{}
			req.Recorder = rec
			res, err := c.Trace(t.Context(), req)
			if err != nil || res.Outcome != tt.end || !strings.HasPrefix(res.Reason, tt.reason) {
				t.Errorf("got %v, %q, %v; want %v, %q", res.Outcome, res.Reason, err, tt.end, tt.reason)
			}
			queries, reads := a.queries()
			if diff := gocmp.Diff(queries, tt.queries); diff != "" || reads != tt.reads {
				t.Errorf("%d reads, want %d; queries (-got +want):\n%s", reads, tt.reads, diff)
			}
			ids := make(map[string]bool)
			for _, call := range rec.calls {
				ids[call.MessageID] = true
			}
			if len(ids) != len(rec.calls) {
				t.Error("two of the calls have one id")
			}
		})
	}
}

func TestDetailsBySearchReadTheRecordAlways(t *testing.T) {
	for name, tt := range map[string]struct {
		read   reply
		end    pds.Outcome
		number pds.NHSNumber
		reason string
	}{
		"the same":    {person().reply(), pds.Matched, marigold, "found by search; name agrees; score 1; record version 4"},
		"another id":  {person(object{"id": survivor.Digits(), "identifier": nil}).reply(), pds.Matched, survivor, "found by search; name agrees; score 1; record version 4; number differs from the hit's"},
		"a stranger":  {person(object{"birthDate": "1960-01-01"}).reply(), pds.NoMatch, pds.NHSNumber{}, "hit rejected: birth date differs; score 1; record version 4"},
		"gone":        {reply{status: 404, body: outcome("RESOURCE_NOT_FOUND").String()}, pds.NoMatch, pds.NHSNumber{}, "hit rejected: record of the hit: RESOURCE_NOT_FOUND; score 1"},
		"invalidated": {reply{status: 404, body: outcome("INVALIDATED_RESOURCE").String()}, pds.NoMatch, pds.NHSNumber{}, "hit rejected: record of the hit: INVALIDATED_RESOURCE; score 1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{searches: []reply{found(person()).reply()}, reads: []reply{tt.read}}
			for _, want := range []pds.Want{pds.DetailsBySearch, pds.Details} {
				res, err := newClient(t, a).Trace(t.Context(), asking(want))
				if err != nil || res.Outcome != tt.end || res.NHSNumber != tt.number || res.Reason != tt.reason {
					t.Errorf("%v: got %v, %q, %v; want %v, %q", want, res.Outcome, res.Reason, err, tt.end, tt.reason)
				}
				if (res.Patient != nil) != (tt.end == pds.Matched) {
					t.Errorf("%v: details given: %v", want, res.Patient != nil)
				}
			}
		})
	}
}

func TestWhatIsRefusedHereIsNotAsked(t *testing.T) {
	for reason, req := range map[string]pds.Request{
		"birth date missing":                 asking(pds.Verify, changing(func(d *pds.Demographics) { d.BirthDate = pds.Date{} })),
		"sex":                                asking(pds.Number, changing(func(d *pds.Demographics) { d.Sex = 'X' })),
		"family name has control characters": asking(pds.Number, changing(func(d *pds.Demographics) { d.Family = "Quill\x00" })),
		"given name has control characters":  asking(pds.Verify, changing(func(d *pds.Demographics) { d.Given = "\xff" })),
		"family name has no letters":         asking(pds.DetailsBySearch, changing(func(d *pds.Demographics) { d.Family = "- '" })),
	} {
		t.Run(reason, func(t *testing.T) {
			rec := &memo{}
			req.Recorder = rec
			res, err := newClient(t, http.NotFoundHandler()).Trace(t.Context(), req)
			if err != nil || res.Outcome != pds.Refused || res.Code != "SMSP-0001" || res.Reason != "local check: "+reason || len(rec.calls) > 0 {
				t.Errorf("got %v, %s, %q, %v after %d calls", res.Outcome, res.Code, res.Reason, err, len(rec.calls))
			}
		})
	}
}

// The second call of a question is not made if it cannot be written down.
func TestEveryCallIsAnnounced(t *testing.T) {
	a := &api{searches: []reply{found(person()).reply()}, reads: []reply{person().reply()}}
	full := errors.New("disk full")
	rec := &tearing{after: 1, err: full}
	req := asking(pds.DetailsBySearch)
	req.Recorder = rec
	_, err := newClient(t, a).Trace(t.Context(), req)
	if !errors.Is(err, full) || pds.ClassOf(err) != pds.Unrecorded || pds.Retryable(err) {
		t.Errorf("got %v", err)
	}
	if queries, reads := a.queries(); len(queries) != 1 || reads != 0 || len(rec.answers) != 1 {
		t.Errorf("%d searches, %d reads, %d answers noted; want 1, 0, 1", len(queries), reads, len(rec.answers))
	}
}

func TestOrderOfSearchesIsFixed(t *testing.T) {
	c := &Client{RestrictedSearch: true, FuzzyFallback: true}
	req := asking(pds.Number, changing(func(d *pds.Demographics) { d.Postcode = "LS99 9ZZ" }))
	var steps []string
	for _, s := range (&trace{Client: c, req: req}).searches() {
		steps = append(steps, s.step)
	}
	if want := []string{"search", "search without postcode", "fuzzy search"}; !slices.Equal(steps, want) {
		t.Errorf("got %q, want %q", steps, want)
	}
}
