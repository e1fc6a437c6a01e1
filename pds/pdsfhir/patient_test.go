package pdsfhir

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// details asks for a record that agrees and returns what is told of it.
func details(t *testing.T, record object) (pds.Patient, string) {
	t.Helper()
	c := newClient(t, &api{reads: []reply{record.reply()}})
	res, err := c.Trace(t.Context(), asking(pds.DetailsByNumber))
	if err != nil || res.Outcome != pds.Matched {
		t.Fatalf("got %v, %q, %v", res.Outcome, res.Reason, err)
	}
	return *res.Patient, res.Reason
}

// TestEveryFieldIsMapped goes through section 9.6.
func TestEveryFieldIsMapped(t *testing.T) {
	in := func(start, end string) object {
		p := object{"start": start, "end": end}
		if end == "" {
			delete(p, "end")
		}
		return p
	}
	got, reason := details(t, person(object{
		"deceasedDateTime": "2025-01-31T23:30:00+00:00",
		"extension": []object{
			{"url": "https://fhir.nhs.uk/StructureDefinition/Something", "valueMystery": object{"x": 1}},
			{"url": urlDeathStatus, "extension": []object{
				{"url": "systemEffectiveDate", "valueDateTime": "2025-02-01T00:00:00+00:00"},
				{"url": "deathNotificationStatus", "valueCodeableConcept": object{"coding": []object{{"code": "2"}}}},
			}},
		},
		"address": []object{
			{"use": "home", "line": []any{"9 Former Street"}, "postalCode": "LS99 1AA", "period": in("2001-01-01", "2010-12-31")},
			{"use": "home", "line": []any{nil, "8 Nowhere Road", "", "Leeds", nil}, "_line": []any{object{"extension": []object{}}, nil}, "postalCode": "LS99 9ZZ", "period": in("2011-01-01", "")},
			{"use": "temp", "line": []string{"1 Invented Lane"}, "postalCode": "YO99 1AA", "period": in("2025-01-01", "2025-03-04")},
			{"use": "temp", "line": []string{"2 Invented Lane"}, "postalCode": "YO99 1AB", "period": in("2025-02-01", "2025-03")},
			{"use": "temp", "line": []string{"3 Invented Lane"}, "postalCode": "YO99 1AC", "period": in("2025-03-05", "")},
			{"use": "billing", "line": []string{"PO Box 404"}, "postalCode": "LS99 8YY"},
			{"use": "work", "line": []string{"4 Office Road"}},
		},
		"telecom": []object{
			{"system": "phone", "use": "home", "value": "01134960000", "period": in("2001-01-01", "2010-12-31")},
			{"system": "phone", "use": "home", "value": "01134960123", "period": in("2011-01-01", "")},
			{"system": "phone", "use": "work", "value": "01134960999"},
			{"system": "phone", "use": "mobile", "value": " 07700900456 "},
			{"system": "email", "use": "home", "value": "m.quillfeather@example.org"},
			{"system": "other", "use": "home", "value": "01134960777", "extension": []object{}},
		},
		"generalPractitioner":  []object{{"type": "Organization", "identifier": object{"value": "Z99901", "period": in("2020-01-01", "2021-12-31")}}},
		"contact":              []object{{"telecom": []object{{"system": "phone", "value": "01134960555"}}}},
		"multipleBirthInteger": 1,
		"photo":                nil,
	}))
	want := pds.Patient{
		NHSNumber: marigold,
		Title:     "MS", Given: []string{"Marigold", "Anne"}, Family: "Quillfeather-Ash",
		Sex: pds.SexFemale, BirthDate: pds.Date{Year: 1978, Month: 2, Day: 14},
		Deceased: true, DeathTime: "202501312330",
		Home:         pds.Address{Lines: [5]string{"8 Nowhere Road", "Leeds"}, Postcode: "LS99 9ZZ"},
		Temporary:    pds.Address{Lines: [5]string{"2 Invented Lane"}, Postcode: "YO99 1AB"},
		Postal:       pds.Address{Lines: [5]string{"PO Box 404"}, Postcode: "LS99 8YY"},
		Phone:        "01134960123",
		Mobile:       "07700900456",
		Email:        "m.quillfeather@example.org",
		PracticeCode: "Z99901",
	}
	if diff := gocmp.Diff(got, want, compareNumbers); diff != "" {
		t.Errorf("patient (-got +want):\n%s", diff)
	}
	if strings.Contains(reason, "Quill") || strings.Contains(reason, "1978") {
		t.Error("the reason tells of the patient")
	}
}

func TestWhatIsMissingStaysEmpty(t *testing.T) {
	got, reason := details(t, object{
		"resourceType": "Patient", "id": marigold.Digits(), "birthDate": "1978-02-14",
		"name": []object{{"use": "nickname", "given": []string{"Marigold"}, "family": "Quillfeather-Ash"}},
	})
	want := pds.Patient{NHSNumber: marigold, BirthDate: pds.Date{Year: 1978, Month: 2, Day: 14}, RestrictedPossible: true}
	if diff := gocmp.Diff(got, want, compareNumbers); diff != "" {
		t.Errorf("patient (-got +want):\n%s", diff)
	}
	if !strings.HasSuffix(reason, "; record does not say whether it is restricted") {
		t.Errorf("reason %q", reason)
	}
}

func TestDeaths(t *testing.T) {
	status := func(code string) object {
		return object{"extension": []object{{"url": urlDeathStatus, "extension": []object{
			{"url": "deathNotificationStatus", "valueCodeableConcept": object{"coding": []object{{"code": code}}}},
		}}}}
	}
	at := func(v any) object { return object{"deceasedDateTime": v} }
	for name, tt := range map[string]struct {
		changes []object
		dead    bool
		time    string
		note    string
	}{
		"alive":                     {nil, false, "", ""},
		"midnight, which is filler": {[]object{at("2010-10-22T00:00:00+00:00")}, true, "20101022", ""},
		"midnight in summer time":   {[]object{at("2010-07-22T00:00:00+01:00")}, true, "20100722", ""},
		"to the second":             {[]object{at("2010-10-22T10:11:12+00:00")}, true, "20101022101112", ""},
		"never shifted":             {[]object{at("2010-07-22T00:30:00+01:00")}, true, "201007220030", ""},
		"of Greenwich":              {[]object{at("2010-10-22T10:11:00Z")}, true, "201010221011", ""},
		"without a zone":            {[]object{at("2010-10-22T10:11:12")}, true, "20101022101112", ""},
		"a day":                     {[]object{at("2010-10-22")}, true, "20101022", ""},
		"a month":                   {[]object{at("2010-10")}, true, "201010", ""},
		"a year":                    {[]object{at("2010")}, true, "2010", ""},
		"before 1970":               {[]object{at("1969-12-31")}, true, "19691231", ""},
		"no date":                   {[]object{at("22/10/2010")}, true, "", "time of death cannot be read"},
		"no day of the calendar":    {[]object{at("2010-02-30")}, true, "", "time of death cannot be read"},
		"a zone of nowhere":         {[]object{at("2010-10-22T10:00:00+15:00")}, true, "", "time of death cannot be read"},
		"year nought":               {[]object{at("0000")}, true, "", "time of death cannot be read"},
		"a number":                  {[]object{at(2010)}, true, "", "time of death cannot be read"},
		"without a time":            {[]object{{"deceasedBoolean": true}}, true, "", "time of death cannot be read"},
		"said to be alive":          {[]object{{"deceasedBoolean": false}}, false, "", ""},
		"both":                      {[]object{at("2010"), {"deceasedBoolean": false}}, true, "2010", ""},
		"informal":                  {[]object{at("2010"), status("1")}, true, "2010", ""},
		"withdrawn":                 {[]object{at("2010-10-22"), status("U")}, false, "", "death withdrawn"},
	} {
		t.Run(name, func(t *testing.T) {
			p, reason := details(t, person(tt.changes...))
			if p.Deceased != tt.dead || p.DeathTime != tt.time {
				t.Errorf("got %v, %q; want %v, %q", p.Deceased, p.DeathTime, tt.dead, tt.time)
			}
			if !strings.HasSuffix(reason, tt.note) {
				t.Errorf("reason %q, want it to end with %q", reason, tt.note)
			}
		})
	}
}

func TestRestrictedIsPossible(t *testing.T) {
	for code, want := range map[string]bool{"U": false, "R": true, "V": true, "N": true} {
		p, _ := details(t, person(object{"meta": object{"security": []object{{"code": code}}}}))
		if p.RestrictedPossible != want {
			t.Errorf("%s: %v", code, p.RestrictedPossible)
		}
	}
}

func TestAnEndedHomeAddressIsBetterThanNone(t *testing.T) {
	p, _ := details(t, person(object{"address": []object{
		{"use": "home", "postalCode": "LS99 1AA", "period": object{"start": "2001-01-01", "end": "2003-12-31"}},
		{"use": "home", "postalCode": "LS99 1AB", "period": object{"start": "2004-01-01", "end": "2008"}},
		{"use": "temp", "postalCode": "LS99 1AC", "period": object{"end": "2008-12-31"}},
	}}))
	if p.Home.Postcode != "LS99 1AB" || !p.Temporary.IsZero() {
		t.Errorf("home %q, temporary %q", p.Home.Postcode, p.Temporary.Postcode)
	}
}
