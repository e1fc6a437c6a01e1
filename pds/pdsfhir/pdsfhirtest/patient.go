package pdsfhirtest

import (
	"strconv"
	"strings"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
)

// The resources are written by hand for this package alone, so that no mistake of a FHIR
// library can hide in both ends of a test. Members are in the order of the alphabet, as some
// of the API's own answers have them: resourceType is not the first.
type patient struct {
	Address              []address      `json:"address,omitempty"`
	BirthDate            string         `json:"birthDate,omitempty"`
	DeceasedDateTime     string         `json:"deceasedDateTime,omitempty"`
	Extension            []extension    `json:"extension,omitempty"`
	Gender               string         `json:"gender,omitempty"`
	GeneralPractitioner  []reference    `json:"generalPractitioner,omitempty"`
	ID                   string         `json:"id,omitempty"`
	Identifier           []identifier   `json:"identifier,omitempty"`
	ManagingOrganization *reference     `json:"managingOrganization,omitempty"`
	Meta                 meta           `json:"meta"`
	MultipleBirthInteger int            `json:"multipleBirthInteger,omitempty"`
	Name                 []humanName    `json:"name,omitempty"`
	ResourceType         string         `json:"resourceType"`
	Telecom              []contactPoint `json:"telecom,omitempty"`
	Simulated            note           `json:"x-simulated"` // no member of FHIR
}

type note struct {
	By   string   `json:"by"`
	Tags []string `json:"tags"`
}

var notSpine = note{By: "spinetrace", Tags: []string{"NOT SPINE", "invented"}}

type address struct {
	Extension  []extension `json:"extension,omitempty"`
	ID         string      `json:"id"`
	Line       []*string   `json:"line,omitempty"`
	LineExtra  []*element  `json:"_line,omitempty"`
	Period     *period     `json:"period,omitempty"`
	PostalCode string      `json:"postalCode,omitempty"`
	Text       string      `json:"text,omitempty"`
	Use        string      `json:"use"`
}

// element stands beside a primitive value and says why there is none.
type element struct {
	Extension []extension `json:"extension"`
}

type period struct {
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
}

type extension struct {
	Extension            []extension `json:"extension,omitempty"`
	URL                  string      `json:"url"`
	ValueCode            string      `json:"valueCode,omitempty"`
	ValueCodeableConcept *concept    `json:"valueCodeableConcept,omitempty"`
	ValueCoding          *coding     `json:"valueCoding,omitempty"`
	ValueDateTime        string      `json:"valueDateTime,omitempty"`
	ValuePeriod          *period     `json:"valuePeriod,omitempty"`
	ValueReference       *reference  `json:"valueReference,omitempty"`
	ValueString          string      `json:"valueString,omitempty"`
}

type concept struct {
	Coding []coding `json:"coding"`
}

type coding struct {
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
	System  string `json:"system,omitempty"`
	Version string `json:"version,omitempty"`
}

type reference struct {
	ID         string     `json:"id,omitempty"`
	Identifier identifier `json:"identifier"`
	Type       string     `json:"type,omitempty"`
}

type identifier struct {
	Extension []extension `json:"extension,omitempty"`
	Period    *period     `json:"period,omitempty"`
	System    string      `json:"system"`
	Value     string      `json:"value"`
}

type meta struct {
	Security  []coding `json:"security,omitempty"`
	VersionID string   `json:"versionId,omitempty"`
}

type humanName struct {
	Family string   `json:"family,omitempty"`
	Given  []string `json:"given,omitempty"`
	ID     string   `json:"id"`
	Note   string   `json:"x-note,omitempty"` // no member of FHIR
	Period *period  `json:"period,omitempty"`
	Prefix []string `json:"prefix,omitempty"`
	Use    string   `json:"use"`
}

type contactPoint struct {
	Extension []extension `json:"extension,omitempty"`
	ID        string      `json:"id"`
	Period    *period     `json:"period,omitempty"`
	System    string      `json:"system"`
	Use       string      `json:"use,omitempty"`
	Value     string      `json:"value"`
}

const (
	ukCore      = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-"
	ukCodes     = "https://fhir.hl7.org.uk/CodeSystem/UKCore-"
	systemNHS   = "https://fhir.nhs.uk/Id/nhs-number"
	systemODS   = "https://fhir.nhs.uk/Id/ods-organization-code"
	systemLevel = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
)

var (
	lapsed = &period{Start: "2019-02-01", End: "2021-01-31"}
	since  = &period{Start: "2009-02-01"}
)

// hollow is a patient about whom nothing is said, not even who it is.
func hollow() *patient {
	return &patient{ResourceType: "Patient", Meta: meta{VersionID: "1"}, Simulated: notSpine}
}

// retrieved is the whole of what the API tells of a person, as GET Patient/{id} has it.
func (s *Server) retrieved(person *pdstest.Person) *patient {
	p := s.listed(person)
	p.Name = append(former(person), p.Name...)
	p.Extension = append(p.Extension, oddities(person)...)
	if !person.Restricted && odd(person, 2) && len(p.Address) > 0 {
		p.Address = append([]address{{
			ID: "T1", Use: "temp", Period: lapsed, Text: "Student Accommodation",
			Line: lines("99 BYGONE HALL", "NOWHERE"), PostalCode: "LS99 0ZZ",
		}}, p.Address...)
		p.Telecom = append(p.Telecom, contactPoint{
			ID: "OC1", System: "other", Value: "0113 496 0999", Use: "home", Period: lapsed,
			Extension: []extension{{
				URL:         ukCore + "OtherContactSystem",
				ValueCoding: &coding{System: ukCodes + "OtherContactSystem", Code: "textphone", Display: "Minicom (Textphone)"},
			}},
		})
	}
	return p
}

// listed is the part of a record that a search hit has (pds-fhir.md section 5).
func (s *Server) listed(person *pdstest.Person) *patient {
	d := person.Disclosed()
	p := &patient{
		ResourceType: "Patient",
		ID:           d.NHSNumber.Digits(),
		Identifier:   []identifier{verified(d.NHSNumber)},
		Meta:         meta{VersionID: version(person), Security: []coding{security(person)}},
		Name:         []humanName{usual(person)},
		Gender:       genderOf(d.Sex),
		BirthDate:    dashed(d.BirthDate.Digits()),
		Address:      homes(person, d.Home),
		Telecom:      telecoms(d),
		Simulated:    notSpine,
	}
	if odd(person, 3) {
		p.MultipleBirthInteger = 1
	}
	if d.PracticeCode != "" {
		p.GeneralPractitioner = []reference{{
			ID: "G1", Type: "Organization",
			Identifier: identifier{System: systemODS, Value: d.PracticeCode, Period: since},
		}}
	}
	p.setDeath(person, d)
	return p
}

// odd picks some people, always the same, for something that not all records have.
func odd(p *pdstest.Person, n int) bool {
	sum := 0
	for _, digit := range p.Record.NHSNumber.Digits() {
		sum += int(digit - '0')
	}
	return sum%n == 0
}

func version(p *pdstest.Person) string {
	last := p.Record.NHSNumber.Digits()[8:]
	n, _ := strconv.Atoi(last) // two digits
	return strconv.Itoa(n%9 + 1)
}

func security(p *pdstest.Person) coding {
	if p.Restricted {
		return coding{System: systemLevel, Code: "R", Display: "restricted"}
	}
	return coding{System: systemLevel, Code: "U", Display: "unrestricted"}
}

func verified(n pds.NHSNumber) identifier {
	return identifier{System: systemNHS, Value: n.Digits(), Extension: []extension{{
		URL: ukCore + "NHSNumberVerificationStatus",
		ValueCodeableConcept: &concept{[]coding{{
			System: ukCodes + "NHSNumberVerificationStatus", Version: "1.0.0",
			Code: "01", Display: "Number present and verified",
		}}},
	}}}
}

// usual is the present name; that its period has ended means nothing.
func usual(p *pdstest.Person) humanName {
	name := humanName{
		ID: "N1", Use: "usual", Family: p.Record.Family, Given: p.Record.Given,
		Note: "usual as in use, not as in custom", Period: since,
	}
	if p.Record.Title != "" {
		name.Prefix = []string{p.Record.Title}
	}
	if odd(p, 2) {
		name.Period = lapsed
	}
	return name
}

// former is the name before the present one.
func former(p *pdstest.Person) []humanName {
	if p.FormerFamily == "" {
		return nil
	}
	use := "old"
	if p.Record.Sex == pds.SexFemale {
		use = "maiden"
	}
	return []humanName{{
		ID: "N0", Use: use, Family: p.FormerFamily, Given: p.Record.Given, Period: &period{End: "2009-01-31"},
	}}
}

var genderNames = map[pds.Sex]string{
	pds.SexMale: "male", pds.SexFemale: "female", pds.SexNotSpecified: "other", pds.SexNotKnown: "unknown",
}

func genderOf(sex pds.Sex) string { return genderNames[sex] }

// homes is the home address without its blank lines; where one was there is sometimes a
// null that says so.
func homes(p *pdstest.Person, home pds.Address) []address {
	if home.IsZero() {
		return nil
	}
	a := address{ID: "A1", Use: "home", Period: since, PostalCode: home.Postcode}
	for _, line := range home.Lines {
		switch {
		case line != "":
			a.Line, a.LineExtra = append(a.Line, &line), append(a.LineExtra, nil)
		case odd(p, 3):
			a.Line, a.LineExtra = append(a.Line, nil), append(a.LineExtra, &element{[]extension{{
				URL: "http://hl7.org/fhir/StructureDefinition/data-absent-reason", ValueCode: "unknown",
			}}})
		}
	}
	if !odd(p, 3) {
		a.LineExtra = nil
	}
	a.Extension = []extension{{URL: ukCore + "AddressKey", Extension: []extension{
		{URL: "type", ValueCoding: &coding{System: ukCodes + "AddressKeyType", Code: "PAF"}},
		{URL: "value", ValueString: "12345678"},
	}}}
	return []address{a}
}

func lines(text ...string) []*string {
	var all []*string
	for _, line := range text {
		all = append(all, &line)
	}
	return all
}

func telecoms(d pds.Patient) []contactPoint {
	var all []contactPoint
	point := func(id, system, use, value string) {
		if value != "" {
			all = append(all, contactPoint{ID: id, System: system, Use: use, Value: value, Period: since})
		}
	}
	point("C1", "phone", "mobile", d.Mobile)
	point("C2", "phone", "home", d.Phone)
	point("C3", "email", "home", d.Email)
	return all
}

// setDeath adds the date of death and its status. Of some people who live a death was
// announced and withdrawn; the date is still there.
func (p *patient) setDeath(person *pdstest.Person, d pds.Patient) {
	status := coding{Code: "2", Display: "Formal - death notice received from Registrar of Deaths"}
	switch {
	case d.Deceased:
		p.DeceasedDateTime = dateTime(d.DeathTime)
	case odd(person, 7):
		status = coding{Code: "U", Display: "Removed"}
		p.DeceasedDateTime = "2020-02-20T00:00:00+00:00"
	default:
		return
	}
	status.System, status.Version = ukCodes+"DeathNotificationStatus", "1.0.0"
	p.Extension = append(p.Extension, extension{URL: ukCore + "DeathNotificationStatus", Extension: []extension{
		{URL: "deathNotificationStatus", ValueCodeableConcept: &concept{[]coding{status}}},
		{URL: "systemEffectiveDate", ValueDateTime: "2020-02-21T00:00:00+00:00"},
	}})
}

// oddities are extensions of a whole record that nobody here asks for.
func oddities(p *pdstest.Person) []extension {
	all := []extension{{URL: "https://example.org/StructureDefinition/Extension-Unheard-Of", ValueString: "invented"}}
	if !p.Restricted {
		all = append(all, extension{
			URL:            ukCore + "NominatedPharmacy",
			ValueReference: &reference{Identifier: identifier{System: systemODS, Value: "Z9P01"}},
		})
	}
	if p.Record.Deceased {
		all = append(all, extension{
			URL: "https://fhir.nhs.uk/StructureDefinition/Extension-PDS-RemovalFromRegistration",
			Extension: []extension{
				{URL: "removalFromRegistrationCode", ValueCodeableConcept: &concept{[]coding{{
					System: "https://fhir.nhs.uk/CodeSystem/PDS-RemovalReasonExitCode", Code: "DEA", Display: "Death",
				}}}},
				{URL: "effectiveTime", ValuePeriod: &period{Start: "2020-01-01T00:00:00+00:00"}},
			},
		})
	}
	return all
}

// dashed writes YYYY[MM[DD]] with hyphens.
func dashed(digits string) string {
	var parts []string
	for _, n := range []int{4, 2, 2} {
		if len(digits) < n || n == 0 {
			break
		}
		parts, digits = append(parts, digits[:n]), digits[n:]
	}
	return strings.Join(parts, "-")
}

// dateTime writes YYYY[MM[DD[HH[MM[SS]]]]]. A day comes with midnight, as PDS has it.
func dateTime(digits string) string {
	date, clock := dashed(digits[:min(8, len(digits))]), digits[min(8, len(digits)):]
	if len(digits) < 8 {
		return date
	}
	clock += "000000"[len(clock):]
	return date + "T" + clock[:2] + ":" + clock[2:4] + ":" + clock[4:] + "+00:00"
}
