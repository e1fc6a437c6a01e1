package pdsfhir

import (
	"errors"
	"regexp"
	"slices"
	"time"

	cpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/codes_go_proto"
	dpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/datatypes_go_proto"
	ppb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/patient_go_proto"

	"spinetrace/pds"
)

const (
	systemNHSNumber = "https://fhir.nhs.uk/Id/nhs-number"
	urlDeathStatus  = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DeathNotificationStatus"
)

// A record is what a body says of one patient, as far as it is compared. The rest is read
// when it is asked for.
type record struct {
	number    pds.NHSNumber
	version   string
	security  string // U, R, V or REDACTED; "" when missing
	born      pds.Date
	sex       pds.Sex
	names     []name
	addressed bool     // there are addresses
	postcodes []string // of all of them, squeezed

	resource *ppb.Patient
}

// restricted tells whether the record is known to be.
func (r *record) restricted() bool { return r.security == "R" || r.security == "V" }

var (
	errID         = errors.New("id is not an NHS number")
	errIdentifier = errors.New("identifier differs from id")

	// genders are the codes of the mini services in FHIR (section 9.6).
	genders = map[pds.Sex]string{
		pds.SexMale: "male", pds.SexFemale: "female", pds.SexNotSpecified: "other", pds.SexNotKnown: "unknown",
	}
	sexes = map[cpb.AdministrativeGenderCode_Value]pds.Sex{
		cpb.AdministrativeGenderCode_MALE:    pds.SexMale,
		cpb.AdministrativeGenderCode_FEMALE:  pds.SexFemale,
		cpb.AdministrativeGenderCode_OTHER:   pds.SexNotSpecified,
		cpb.AdministrativeGenderCode_UNKNOWN: pds.SexNotKnown,
	}

	versionShape = regexp.MustCompile(`^[0-9]{1,9}$`)
)

// readRecord reads who the body is about, and refuses one that does not say.
func readRecord(p *ppb.Patient) (*record, error) {
	number, err := whose(p)
	if err != nil {
		return nil, err
	}
	r := &record{
		number:    number,
		sex:       sexes[p.GetGender().GetValue()],
		born:      readDate(p.GetBirthDate()),
		addressed: len(p.GetAddress()) > 0,
		resource:  p,
	}
	if v := p.GetMeta().GetVersionId().GetValue(); versionShape.MatchString(v) {
		r.version = v
	}
	if s := p.GetMeta().GetSecurity(); len(s) > 0 {
		r.security = s[0].GetCode().GetValue()
	}
	for _, n := range p.GetName() {
		r.names = append(r.names, readName(n))
	}
	for _, a := range p.GetAddress() {
		r.postcodes = append(r.postcodes, squeeze(a.GetPostalCode().GetValue()))
	}
	return r, nil
}

func whose(p *ppb.Patient) (pds.NHSNumber, error) {
	id := p.GetId().GetValue()
	number, err := pds.ParseNHSNumber(id)
	if err != nil || number.Digits() != id {
		return pds.NHSNumber{}, errID
	}
	for _, i := range p.GetIdentifier() {
		if s := i.GetSystem().GetValue(); (s == "" || s == systemNHSNumber) && i.GetValue().GetValue() != id {
			return pds.NHSNumber{}, errIdentifier
		}
	}
	return number, nil
}

func readName(n *dpb.HumanName) name {
	use := n.GetUse().GetValue()
	return name{
		current: use != cpb.NameUseCode_OLD && use != cpb.NameUseCode_MAIDEN,
		family:  collapse(n.GetFamily().GetValue()),
		given:   texts(n.GetGiven()),
	}
}

func texts(list []*dpb.String) []string {
	var all []string
	for _, s := range list {
		if t := collapse(s.GetValue()); t != "" {
			all = append(all, t)
		}
	}
	return all
}

// readDate returns a date in the precision in which it is held.
func readDate(d *dpb.Date) pds.Date {
	if d == nil {
		return pds.Date{}
	}
	t := time.UnixMicro(d.GetValueUs()).UTC() // the zone that the unmarshaller was given
	switch d.GetPrecision() {
	case dpb.Date_DAY:
		return pds.Date{Year: t.Year(), Month: int(t.Month()), Day: t.Day()}
	case dpb.Date_MONTH:
		return pds.Date{Year: t.Year(), Month: int(t.Month())}
	default:
		return pds.Date{Year: t.Year()}
	}
}

// patient maps the record onto what is reported (section 9.6), as of today. What is absent
// stays empty: there is never a name of the practice. Notes are for the audit.
func (r *record) patient(today time.Time) (_ *pds.Patient, notes []string) {
	p := &pds.Patient{
		NHSNumber:          r.number,
		Sex:                r.sex,
		BirthDate:          r.born,
		RestrictedPossible: r.security != "U",
	}
	if r.security == "" {
		notes = append(notes, "record does not say whether it is restricted")
	}
	r.name(p)
	notes = append(notes, r.death(p)...)
	r.addresses(p, today)
	r.telecoms(p, today)
	if practices := r.resource.GetGeneralPractitioner(); len(practices) > 0 {
		p.PracticeCode = practices[0].GetIdentifier().GetValue().GetValue()
	}
	return p, notes
}

// name takes the usual name, whose period may have ended.
func (r *record) name(p *pds.Patient) {
	for _, n := range r.resource.GetName() {
		if n.GetUse().GetValue() != cpb.NameUseCode_USUAL {
			continue
		}
		p.Family = collapse(n.GetFamily().GetValue())
		p.Given = texts(n.GetGiven())
		if prefixes := texts(n.GetPrefix()); len(prefixes) > 0 {
			p.Title = prefixes[0]
		}
		return
	}
}

// death reads the time of death, unless the notification of it was withdrawn.
func (r *record) death(p *pds.Patient) (notes []string) {
	deceased := r.resource.GetDeceased()
	p.Deceased = deceased.GetDateTime() != nil || deceased.GetBoolean().GetValue()
	if r.deathStatus() == "U" {
		p.Deceased = false
		return []string{"death withdrawn"}
	}
	if at := deceased.GetDateTime(); at != nil {
		p.DeathTime = digits(at)
	} else if p.Deceased {
		notes = append(notes, "time of death cannot be read")
	}
	return notes
}

// deathStatus returns 1 (informal), 2 (formal), U (withdrawn) or "".
func (r *record) deathStatus() string {
	for _, e := range r.resource.GetExtension() {
		if e.GetUrl().GetValue() != urlDeathStatus {
			continue
		}
		for _, inner := range e.GetExtension() {
			codings := inner.GetValue().GetCodeableConcept().GetCoding()
			if inner.GetUrl().GetValue() == "deathNotificationStatus" && len(codings) > 0 {
				return codings[0].GetCode().GetValue()
			}
		}
	}
	return ""
}

// digits returns YYYY[MM[DD[HHMM[SS]]]] as it was written, in whatever zone. PDS fills what
// it does not know of the time with zeros; they are left out.
func digits(d *dpb.DateTime) string {
	t := written(d)
	switch d.GetPrecision() {
	case dpb.DateTime_YEAR:
		return t.Format("2006")
	case dpb.DateTime_MONTH:
		return t.Format("200601")
	default: // the clock of a day is at midnight
	}
	switch hour, minute, second := t.Clock(); {
	case second != 0:
		return t.Format("20060102150405")
	case hour != 0 || minute != 0:
		return t.Format("200601021504")
	}
	return t.Format("20060102")
}

// written returns the time on the clock of its own zone, which is UTC or an offset.
func written(d *dpb.DateTime) time.Time {
	t := time.UnixMicro(d.GetValueUs()).UTC()
	if zone, err := time.Parse("-07:00", d.GetTimezone()); err == nil {
		return t.In(zone.Location())
	}
	return t
}

// addresses takes the home address, and those of the other uses that are in force. Blank
// lines are missing from FHIR, so their positions mean nothing.
func (r *record) addresses(p *pds.Patient, today time.Time) {
	use := func(u cpb.AddressUseCode_Value) func(*dpb.Address) bool {
		return func(a *dpb.Address) bool { return a.GetUse().GetValue() == u }
	}
	all := r.resource.GetAddress()
	home, _ := latest(all, today, use(cpb.AddressUseCode_HOME))
	p.Home = readAddress(home)
	if a, inForce := latest(all, today, use(cpb.AddressUseCode_TEMP)); inForce {
		p.Temporary = readAddress(a)
	}
	if a, inForce := latest(all, today, use(cpb.AddressUseCode_BILLING)); inForce {
		p.Postal = readAddress(a)
	}
}

func readAddress(a *dpb.Address) (addr pds.Address) {
	copy(addr.Lines[:], texts(a.GetLine()))
	addr.Postcode = collapse(a.GetPostalCode().GetValue())
	return addr
}

func (r *record) telecoms(p *pds.Patient, today time.Time) {
	take := func(s cpb.ContactPointSystemCode_Value, uses ...cpb.ContactPointUseCode_Value) string {
		c, _ := latest(r.resource.GetTelecom(), today, func(c *dpb.ContactPoint) bool {
			return c.GetSystem().GetValue() == s &&
				(len(uses) == 0 || slices.Contains(uses, c.GetUse().GetValue()))
		})
		return collapse(c.GetValue().GetValue())
	}
	p.Phone = take(cpb.ContactPointSystemCode_PHONE, cpb.ContactPointUseCode_HOME)
	p.Mobile = take(cpb.ContactPointSystemCode_PHONE, cpb.ContactPointUseCode_MOBILE)
	p.Email = take(cpb.ContactPointSystemCode_EMAIL)
}

// latest returns the entry in force today that began last, with true; if none is in force,
// the one that began last.
func latest[E interface {
	comparable
	GetPeriod() *dpb.Period
}](all []E, today time.Time, fits func(E) bool) (best E, inForce bool) {
	var none E
	for _, e := range all {
		if !fits(e) {
			continue
		}
		now := covers(e.GetPeriod(), today)
		later := start(e.GetPeriod()).After(start(best.GetPeriod()))
		if best == none || now && !inForce || now == inForce && later {
			best, inForce = e, now
		}
	}
	return best, inForce
}

// covers tells whether a period holds a day. Either end may be open.
func covers(p *dpb.Period, today time.Time) bool {
	day := today.Format(time.DateOnly)
	begins, ends := p.GetStart(), p.GetEnd()
	return (begins == nil || written(begins).Format(time.DateOnly) <= day) &&
		(ends == nil || lastDay(ends) >= day)
}

// lastDay returns the last day of an end, which may be a month or a year.
func lastDay(d *dpb.DateTime) string {
	t := written(d)
	switch d.GetPrecision() {
	case dpb.DateTime_YEAR:
		t = t.AddDate(1, 0, -1)
	case dpb.DateTime_MONTH:
		t = t.AddDate(0, 1, -1)
	default: // it has a day
	}
	return t.Format(time.DateOnly)
}

func start(p *dpb.Period) time.Time {
	if p.GetStart() == nil {
		return time.Time{}
	}
	return written(p.GetStart())
}
