package pdstest

import (
	"slices"

	"spinetrace/pds"
)

// Person is one national record.
type Person struct {
	Record       pds.Patient   // everything that is held, restricted or not
	BirthTime    string        // as held: YYYY[MM[DD[HH[MM]]]]; Record.BirthDate is its date
	Restricted   bool          // S-flagged: address, telecom and practice are withheld
	Invalidated  bool          // I-flagged: the number was withdrawn
	SupersededBy pds.NHSNumber // the number that replaced this one; zero if none did

	FormerFamily   string // a family name that was given up; "" if none is held
	FormerPostcode string // of an address that was left; "" if none is held
}

// Disclosed returns what a service tells of the person: the record, without address,
// telecom and practice if it is restricted (smsp.md section 11).
// RestrictedPossible is set as an asker must conclude from what is missing.
func (p *Person) Disclosed() pds.Patient {
	d := p.Record
	d.Given = slices.Clone(d.Given)
	if p.Restricted {
		d.Home, d.Temporary, d.Postal = pds.Address{}, pds.Address{}, pds.Address{}
		d.Phone, d.Mobile, d.Email = "", "", ""
		d.PracticeCode, d.PracticeName = "", ""
	}
	d.RestrictedPossible = d.Home.IsZero() && d.Temporary.IsZero() && d.Postal.IsZero() &&
		d.Phone+d.Mobile+d.Email+d.PracticeCode+d.PracticeName == ""
	return d
}
