package smsp

import (
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"spinetrace/pds"
)

// readPatient maps the details of section 7.3. What is absent, nil or blank stays empty.
func (a *answer) readPatient(e *etree.Element) *pds.Patient {
	person := child(e, nsHL7, "patientPerson")
	practice := child(person, nsHL7, "gPPractice")
	addrs, telecoms := children(e, nsHL7, "addr"), children(e, nsHL7, "telecom")

	p := &pds.Patient{
		NHSNumber:          a.result.NHSNumber,
		RestrictedPossible: len(addrs) == 0 && len(telecoms) == 0 && practice == nil,
	}
	a.readName(p, child(e, nsHL7, "name"))
	a.readAddresses(p, addrs)
	readTelecoms(p, telecoms)
	a.readPerson(p, person)
	organisation := child(practice, nsHL7, "locationOrganization")
	if id := child(organisation, nsHL7, "id"); attr(id, "root") == oidPractice {
		p.PracticeCode = attr(id, "extension")
	}
	p.PracticeName = text(child(organisation, nsHL7, "name"))
	return p
}

func (a *answer) readName(p *pds.Patient, name *etree.Element) {
	p.Title = collapse(text(child(name, nsHL7, "prefix")))
	p.Family = collapse(text(child(name, nsHL7, "family")))
	for _, g := range children(name, nsHL7, "given") {
		if given := collapse(text(g)); given != "" {
			p.Given = append(p.Given, given)
		}
	}
	if p.NameText = bareText(name); p.NameText != "" {
		a.note("name not in parts")
	}
}

// bareText returns the text between the parts of an element of mixed content.
func bareText(e *etree.Element) string {
	if e == nil {
		return ""
	}
	var words []string
	for _, t := range e.Child {
		if c, ok := t.(*etree.CharData); ok {
			words = append(words, strings.Fields(c.Data)...)
		}
	}
	return strings.Join(words, " ")
}

// readAddresses sorts addresses by use. One without a use is the usual address only if
// it is the sole one.
func (a *answer) readAddresses(p *pds.Patient, addrs []*etree.Element) {
	for _, e := range addrs {
		uses := strings.Fields(attr(e, "use"))
		if len(uses) == 0 && len(addrs) == 1 {
			uses = []string{"H"}
		}
		addr := a.readAddress(e)
		for use, field := range map[string]*pds.Address{"H": &p.Home, "TMP": &p.Temporary, "PST": &p.Postal} {
			if slices.Contains(uses, use) && field.IsZero() {
				*field = addr
			}
		}
	}
}

// readAddress keeps the five lines in their positions. Of any other number of lines the
// positions mean nothing, so only the postcode is kept.
func (a *answer) readAddress(e *etree.Element) (addr pds.Address) {
	addr.Postcode = collapse(text(child(e, nsHL7, "postalCode")))
	i := 0
	for c := range e.ChildElementsSeq() {
		if !is(c, nsHL7, "streetAddressLine") {
			continue
		}
		if i < len(addr.Lines) && !isNil(c) {
			addr.Lines[i] = collapse(text(c))
		}
		i++
	}
	if i != 0 && i != len(addr.Lines) {
		a.note("address not of five lines")
		addr.Lines = [5]string{}
	}
	return addr
}

// readTelecoms takes the first of each kind that is not blank. The use is a list.
func readTelecoms(p *pds.Patient, telecoms []*etree.Element) {
	for _, e := range telecoms {
		scheme, number, _ := strings.Cut(attr(e, "value"), ":")
		number = strings.TrimSpace(number)
		uses := strings.Fields(attr(e, "use"))
		mobile := slices.Contains(uses, "MC")
		home := slices.Contains(uses, "H") || slices.Contains(uses, "HP") || len(uses) == 0
		switch scheme = strings.ToLower(scheme); {
		case scheme == "mailto":
			first(&p.Email, number)
		case scheme == "tel" && mobile:
			first(&p.Mobile, number)
		case scheme == "tel" && home:
			first(&p.Phone, number)
		}
	}
}

func first(field *string, v string) {
	if *field == "" {
		*field = v
	}
}

func (a *answer) readPerson(p *pds.Patient, person *etree.Element) {
	switch code := attr(child(person, nsHL7, "administrativeGenderCode"), "code"); code {
	case "0", "1", "2", "9":
		p.Sex = pds.Sex(code[0])
	case "":
	default:
		a.note("gender code not known")
	}
	p.BirthDate, _ = readDate(attr(child(person, nsHL7, "birthTime"), "value")) // checked before
	a.readDeath(p, child(person, nsHL7, "deceasedTime"))
}

// readDeath takes a time of death that is there for a death, even if nobody can read it. A
// blank one says nothing.
func (a *answer) readDeath(p *pds.Patient, e *etree.Element) {
	death := attr(e, "value")
	switch {
	case e == nil:
	case death == "":
		a.note("death time blank")
	case !timestamp(death):
		p.Deceased = true
		a.note("death time not a time")
	default:
		p.Deceased, p.DeathTime = true, death
	}
}

// timeLayouts are the forms of an HL7 time from a year to a second, by their lengths.
var timeLayouts = map[int]string{
	4: "2006", 6: "200601", 8: "20060102", 10: "2006010215", 12: "200601021504", 14: "20060102150405",
}

func timestamp(s string) bool {
	_, err := time.Parse(timeLayouts[len(s)], s)
	return err == nil && s != ""
}

// readDate reads a birth time of any precision. What follows the day is not looked at:
// published test data have hours there, and more.
func readDate(s string) (pds.Date, bool) {
	if len(s) > 8 {
		if strings.Trim(s[8:], "0123456789.+-") != "" {
			return pds.Date{}, false
		}
		s = s[:8]
	}
	d, err := pds.ParseDate(s)
	return d, err == nil
}
