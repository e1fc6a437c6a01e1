package store

import (
	"bytes"
	"context"
	"time"
)

// PatientKey names an entry of the index of patients: a local number, and who gives such
// numbers out.
type PatientKey struct {
	Authority string // assigning authority, CX-4.1 or else CX-4.2, in capitals; "" if the message did not say
	LocalID   string // CX-1
}

// Patient is an entry of the local index: what the newest message told of a patient, what the
// newest finished trace found, and where a merge took the entry. The index is derived from the
// journal and can be made anew from it.
//
// Each part is as of a moment of its own, and of two versions of an entry the newer of every
// part is kept ([Patient.Merge]). So the index does not depend on the order in which instances
// commit, and adding something twice adds it once.
type Patient struct {
	Key   PatientKey
	Told  Told
	Found Found
	Moved Moved
}

// Print is a digest of a patient's identity fields: the number as read, names, birth date, sex
// and postcode. Equal prints mean that nothing changed that a trace depends on.
type Print [16]byte

// Told is what the newest message says.
type Told struct {
	At        time.Time // when the sender recorded it: EVN-2, else MSH-7, else when it came; zero: no message has
	Exchange  ID        // the message; of two as of the same moment, the later
	NHSNumber string    // ten digits, valid; "" if it has none, or several
	Status    string    // of that number: "01" to "08" (table 0445 without NSTS); "" if it does not say
	Print     Print
	Doc       string // demographics in the writer's own form, JSON
}

// Found is what the newest finished trace found out. A technical end is none.
type Found struct {
	At        time.Time // when the trace ended; zero: none has
	Exchange  ID
	Print     Print // what was traced: if it is not Told's, the patient has changed since
	Outcome   Outcome
	NHSNumber string // "" unless one was found
	Status    string // decided for the patient: "01", "04" or "05"
}

// Moved says that a message took the entry away: a merge, a change of number, a deletion.
type Moved struct {
	At       time.Time // as for Told; zero: it never was
	Exchange ID
	Into     PatientKey // the surviving entry; zero: deleted
}

// Merge returns p with the parts of other that are newer.
func (p Patient) Merge(other Patient) Patient {
	if later(other.Told.At, other.Told.Exchange, p.Told.At, p.Told.Exchange) {
		p.Told = other.Told
	}
	if later(other.Found.At, other.Found.Exchange, p.Found.At, p.Found.Exchange) {
		p.Found = other.Found
	}
	if later(other.Moved.At, other.Moved.Exchange, p.Moved.At, p.Moved.Exchange) {
		p.Moved = other.Moved
	}
	return p
}

// later orders what is as of a moment; ids are UUIDv7 and break ties by arrival.
func later(at time.Time, id ID, than time.Time, thanID ID) bool {
	if c := at.Compare(than); c != 0 {
		return c > 0
	}
	return bytes.Compare(id[:], thanID[:]) > 0
}

// Gone tells whether the entry was merged away, renamed or deleted, and no message has told of
// the patient under this number since.
func (p Patient) Gone() bool {
	return !p.Moved.At.IsZero() && !later(p.Told.At, p.Told.Exchange, p.Moved.At, p.Moved.Exchange)
}

// Current returns the NHS number that is to be used for the patient and its status: what the
// trace found if nothing has changed since, else what the newest message says.
func (p Patient) Current() (nhsNumber, status string) {
	if !p.Found.At.IsZero() && p.Found.Print == p.Told.Print && p.Found.Status != "" {
		number := p.Found.NHSNumber
		if number == "" {
			number = p.Told.NHSNumber
		}
		return number, p.Found.Status
	}
	return p.Told.NHSNumber, p.Told.Status
}

// Index reads the local index of patients, and makes it anew. Entries are changed by
// [Commit.Patients] only.
type Index interface {
	// Patient returns the entry of a key, as it is on disk, whether it is [Patient.Gone] or not.
	Patient(ctx context.Context, key PatientKey) (p Patient, ok bool, err error)
	// Named returns the entries with a local number, whoever gave it out, at most limit, by
	// authority.
	Named(ctx context.Context, localID string, limit int) ([]Patient, error)
	// Holders returns the entries of which a message told, or a trace found, the NHS number, at
	// most limit, by key. Which of them hold it now is for [Patient.Gone] and [Patient.Current]
	// to say.
	Holders(ctx context.Context, nhsNumber string, limit int) ([]Patient, error)

	// Reindex makes the index anew from entries that were derived from the journal up to asOf:
	// each replaces what is on disk, but for parts that commits have changed since asOf, and
	// what is on disk, is not among them and was not changed since asOf is deleted. It works in
	// pages, while commits go on.
	Reindex(ctx context.Context, asOf time.Time, entries func(yield func(Patient) bool)) (kept, deleted int, err error)
}
