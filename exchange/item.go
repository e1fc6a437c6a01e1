package exchange

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// ItemDoc is what a clerk needs to know to work on an item (audit-requirements.md, FLGINV-10.1.2),
// as far as the message and the index say it. It is the JSON of [store.Item.Doc].
type ItemDoc struct {
	LocalIDs    []string `json:"local_ids,omitempty"`       // AUTHORITY^NUMBER
	OtherIDs    []string `json:"other_local_ids,omitempty"` // records that have the same NHS number
	NHSNumber   string   `json:"nhs_number,omitempty"`      // ten digits, as the local record has it
	Invalid     bool     `json:"nhs_number_invalid,omitempty"`
	NewNumber   string   `json:"nhs_number_found,omitempty"` // ten digits, as Spine has it
	Numbers     []string `json:"nhs_numbers,omitempty"`      // those that the message has, if it has several
	Name        string   `json:"name,omitempty"`             // FAMILY, Given
	OtherNames  []string `json:"other_names,omitempty"`
	BirthDate   string   `json:"birth_date,omitempty"` // YYYY-MM-DD, or its beginning
	Sex         string   `json:"sex,omitempty"`        // M, F, A or U
	Address     string   `json:"address,omitempty"`
	Postcode    string   `json:"postcode,omitempty"`
	Differences []string `json:"differences,omitempty"` // field: ours | Spine's
	Sender      string   `json:"sender,omitempty"`      // APPLICATION^FACILITY
	ControlID   string   `json:"control_id,omitempty"`  // of the message, or of the letter
	Destination string   `json:"destination,omitempty"` // of a letter
	Letter      int64    `json:"letter,omitempty"`      // its position in the outbox
	Reason      string   `json:"reason,omitempty"`
}

// JSON returns the document as it is stored.
func (d ItemDoc) JSON() string {
	b, _ := json.Marshal(d) // strings only: cannot fail
	return strings.ReplaceAll(string(b), `\u0000`, "")
}

// ReadItemDoc reads a stored document; what cannot be read is not known.
func ReadItemDoc(doc string) ItemDoc {
	var d ItemDoc
	_ = json.Unmarshal([]byte(doc), &d)
	return d
}

// Notify says which destinations are told of the items of each kind.
type Notify map[store.ItemKind][]string

// items are what a person has to look at because of a reply. What was found before raises nothing
// again: a person may have dealt with it. Nor does a query about nobody who is known here.
func (x *exchange) items(r reply, known *recall) []store.Item {
	stranger := x.plan.query && len(x.plan.subject.keys) == 0
	if x.h.Backlog == nil || stranger || r.status != "" && !r.fresh {
		return nil
	}
	var all []store.Item
	if kind := x.h.Results.of(r.says).item; kind != 0 {
		all = append(all, x.item(kind, r, known))
	}
	if len(r.differences) > 0 {
		all = append(all, x.item(store.Discrepancy, r, known))
	}
	return all
}

// item says what is the matter with the exchange's patient.
func (x *exchange) item(kind store.ItemKind, r reply, known *recall) store.Item {
	s := x.plan.subject
	i := store.Item{
		Kind: kind, Subject: x.subject(), Patient: s.key(), Exchange: x.id,
		NHSNumber: s.number(), Notify: x.h.Notify[kind],
	}
	d := x.itemDoc(r)
	switch kind {
	case store.SharedNumber:
		i.NHSNumber = r.named.Digits()
		for _, p := range s.others(known, r.named) {
			d.OtherIDs = append(d.OtherIDs, idText(p.Key))
		}
	case store.ReplacedNumber, store.InvalidNumber:
		d.Invalid = true
	case store.Discrepancy:
		d.Differences = r.differences
	case store.Conflict:
		for _, n := range s.ids.valid {
			d.Numbers = append(d.Numbers, n.Digits())
		}
	default:
	}
	i.Doc = d.JSON()
	return i
}

// subject names whom the exchange's items are about: the record, or, if the message names none, whoever
// its fields describe.
func (x *exchange) subject() string {
	s := x.plan.subject
	if len(s.keys) > 0 {
		return idText(s.key())
	}
	if x.m == nil {
		return x.id.String()
	}
	return fmt.Sprintf("%x", x.h.tells(x.m, s.ids).mark(""))
}

// itemDoc tells of the patient in the words of the message, or of the index if that knows more.
func (x *exchange) itemDoc(r reply) ItemDoc {
	s := x.plan.subject
	p := readPerson(s.told.Doc)
	d := ItemDoc{
		NHSNumber: s.number(), NewNumber: r.named.Digits(), Reason: store.Text(r.reason),
		Sender: store.Text(x.facts.Application + "^" + x.facts.Facility), ControlID: store.Text(x.facts.ControlID),
	}
	for _, key := range s.keys {
		d.LocalIDs = append(d.LocalIDs, idText(key))
	}
	if x.m != nil && !x.plan.query {
		p = x.h.person(x.m, p)
		d.OtherNames = otherNames(x.m, fullName(p.Family, p.Given))
		if d.Sender == "^" { // made anew from the journal
			d.Sender = store.Text(x.m.Raw(pathApplication) + "^" + x.m.Raw(pathFacility))
			d.ControlID = store.Text(x.m.Raw(pathControlID))
		}
	}
	d.Name, d.BirthDate, d.Sex = fullName(p.Family, p.Given), dashed(p.Born), sexLetter(p.Sex)
	d.Address, d.Postcode = strings.Join(p.Address, ", "), p.Postcode
	return d
}

// otherNames are the names of PID-5 and PID-9 beside the usual one.
func otherNames(m *hl7v2.Message, usual string) []string {
	var all []string
	for _, path := range []hl7v2.Path{pathNames, pathAlias} {
		for _, x := range m.Repetitions(path) {
			name := fullName(x.Joined(1), x.Joined(2))
			if name != "" && name != usual && !slices.Contains(all, name) && len(all) < mostKeys {
				all = append(all, name)
			}
		}
	}
	return all
}

var pathAlias = hl7v2.MustPath("PID-9")

func fullName(family, given string) string {
	family, given = store.Text(family), store.Text(given)
	if family == "" || given == "" {
		return family + given
	}
	return family + ", " + given
}

// dashed writes YYYYMMDD as people read it.
func dashed(digits string) string {
	d, err := pds.ParseDate(digits)
	if err != nil {
		return digits
	}
	parts := []string{digits[:4]}
	if d.Month > 0 {
		parts = append(parts, digits[4:6])
	}
	if d.Full() {
		parts = append(parts, digits[6:8])
	}
	return strings.Join(parts, "-")
}

func sexLetter(code string) string {
	if code == "" {
		return ""
	}
	return sexLetters[pds.Sex(code[0])]
}

// idText is a local number as people read it.
func idText(key store.PatientKey) string { return key.Authority + "^" + key.LocalID }

// numberInDoubt is what every reply about a patient says while a number of that patient is with
// the back office (FLGINV-7.4).
const numberInDoubt = "NHS number not valid; with back office; use data with care"

// inDoubt tells whether an open item says that the number of an entry is not to be relied on. A
// number that was replaced is in doubt for those only who still have it.
func (k *recall) inDoubt(entry store.Patient, number string) bool {
	if !entry.Flagged {
		return false
	}
	return slices.ContainsFunc(k.items(entry.Key), func(i store.Item) bool {
		switch i.Kind {
		case store.InvalidNumber, store.SharedNumber:
			return true
		case store.ReplacedNumber:
			return number == "" || number == i.NHSNumber
		default:
			return false
		}
	})
}

// differences lists the fields in which the national record says otherwise than the local one
// (MSCA-DQ-06). What one of them does not say is no difference.
func (p person) differences(record *pds.Patient) []string {
	if record == nil {
		return nil
	}
	given := ""
	if len(record.Given) > 0 {
		given = record.Given[0]
	}
	var all []string
	for _, f := range []struct{ name, ours, theirs string }{
		{"family name", p.Family, record.Family},
		{"given name", firstWord(p.Given), firstWord(given)},
		{"birth date", dashed(p.Born), dashed(record.BirthDate.Digits())},
		{"sex", sexLetter(p.Sex), sexLetters[record.Sex]},
		{"address", p.addressBeside(record.Home), addressText(record.Home)},
		{"postcode", p.Postcode, record.Home.Postcode},
	} {
		if ours, theirs := bare(f.ours), bare(f.theirs); ours != "" && theirs != "" && ours != theirs {
			all = append(all, f.name+": "+f.ours+" | "+f.theirs)
		}
	}
	return all
}

// addressBeside is the address, unless one of the two only says more than the other: a county, a town.
func (p person) addressBeside(theirs pds.Address) string {
	ours := strings.Join(p.Address, ", ")
	if a, b := bare(ours), bare(addressText(theirs)); strings.Contains(a, b) || strings.Contains(b, a) {
		return ""
	}
	return ours
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return word
}

func addressText(a pds.Address) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(a.Lines[:]), func(s string) bool { return s == "" }), ", ")
}

// bare is a value without what people write differently: case, spaces, punctuation.
func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r > 0x7F {
			return r
		}
		return -1
	}, strings.ToUpper(s))
}

// fieldsOf are the names of the fields that differ.
func fieldsOf(differences []string) string {
	var names []string
	for _, d := range differences {
		name, _, _ := strings.Cut(d, ":")
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
