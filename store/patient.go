package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode/utf8"
)

// PatientKey names an entry of the index of patients: a local number, and who gives such
// numbers out.
type PatientKey struct {
	Authority string // assigning authority, CX-4.1 or else CX-4.2, in capitals; "" if the message did not say
	LocalID   string // CX-1
}

// Compare orders keys by local number, then by authority, byte by byte.
func (k PatientKey) Compare(other PatientKey) int {
	return cmp.Or(strings.Compare(k.LocalID, other.LocalID), strings.Compare(k.Authority, other.Authority))
}

// Fit returns the key as stores keep it: both texts are fit for a search column (see [Text]),
// and keys that differ still do.
func (k PatientKey) Fit() PatientKey { return PatientKey{distinct(k.Authority), distinct(k.LocalID)} }

// distinct is Text for what must not become equal to anything else by being cut or cleaned:
// such a text is led by its digest.
func distinct(s string) string {
	if Text(s) == s {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return Text(fmt.Sprintf("%x:%s", sum[:16], s))
}

// Patient is an entry of the local index: what the newest message told of a patient, what the
// newest finished trace found, and where a merge took the entry. The index is derived from the
// journal and can be made anew from it.
//
// Each part is as of a moment of its own, and of two versions of an entry the newer of every
// part is kept ([Patient.Merge]). So the index does not depend on the order in which instances
// commit, and adding something twice adds it once. A part is as of its At to the microsecond;
// it is not set if At is zero.
type Patient struct {
	Key   PatientKey
	Told  Told
	Found Found
	Moved Moved

	// Flagged tells that an open [Item] is about the entry. Stores set it when an entry is read,
	// and ignore it otherwise.
	Flagged bool
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
	Doc       string // demographics in the writer's own form, JSON; at most 64 KiB. Empty to a login that may not read it
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

// MaxDoc bounds [Told.Doc], in bytes.
const MaxDoc = 64 << 10

// Fit returns p as stores keep it: with a key that fits ([PatientKey.Fit]), and times in UTC
// and whole microseconds.
func (p Patient) Fit() Patient {
	p.Key, p.Moved.Into = p.Key.Fit(), p.Moved.Into.Fit()
	for _, at := range []*time.Time{&p.Told.At, &p.Found.At, &p.Moved.At} {
		*at = fitTime(*at)
	}
	return p
}

// Check says what no store can keep of p, in an error that wraps [ErrRejected]: a key without a
// local number, no part that is set, a part that is not as of a moment (in the years 1 to 9999)
// and an exchange, or a content that is not what the part's fields are documented to hold.
func (p Patient) Check() error {
	p = p.Fit()
	known := p.Told != (Told{}) || p.Found != (Found{}) || p.Moved != (Moved{})
	return firstBroken("patient", []rule{
		{p.Key.LocalID != "", "no local number"},
		{known, "nothing is told of it"},
		{p.Told == (Told{}) || dated(p.Told.At, p.Told.Exchange), "told: no time or no exchange"},
		{isNumber(p.Told.NHSNumber), "told: not an NHS number"},
		{isStatus(p.Told.Status), "told: unknown status"},
		{len(p.Told.Doc) <= MaxDoc, "told: too large a document"},
		{utf8.ValidString(p.Told.Doc) && strings.IndexByte(p.Told.Doc, 0) < 0, "told: the document is not text"},
		{p.Found == (Found{}) || dated(p.Found.At, p.Found.Exchange), "found: no time or no exchange"},
		{p.Found == (Found{}) || outcomes[p.Found.Outcome] != "", "found: unknown outcome"},
		{isNumber(p.Found.NHSNumber), "found: not an NHS number"},
		{isStatus(p.Found.Status), "found: unknown status"},
		{p.Moved == (Moved{}) || dated(p.Moved.At, p.Moved.Exchange), "moved: no time or no exchange"},
		{p.Moved.Into == (PatientKey{}) || p.Moved.Into.LocalID != "", "moved: into no local number"},
	})
}

// dated tells whether a part has what orders it.
func dated(at time.Time, id ID) bool { return isTime(at) && id != ID{} }

// isTime tells a time that databases can hold.
func isTime(at time.Time) bool { return !at.IsZero() && at.Year() >= 1 && at.Year() <= 9999 }

// isNumber tells whether s has the form of an NHS number, or is none.
func isNumber(s string) bool {
	return s == "" || len(s) == 10 && strings.Trim(s, "0123456789") == ""
}

// isStatus tells whether s is a status of an NHS number, or none.
func isStatus(s string) bool { return s == "" || len(s) == 2 && "01" <= s && s <= "08" }

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

	// MergedInto returns the entries that were last moved into a local number, whoever gave it out, at most
	// limit, by key.
	MergedInto(ctx context.Context, localID string, limit int) ([]Patient, error)

	// Entries returns the entries whose keys come after one, in the order of their keys, at most
	// limit: a page of all.
	Entries(ctx context.Context, after PatientKey, limit int) ([]Patient, error)

	// Reindex makes the index anew from entries that were derived from the journal up to asOf,
	// which come in any order, and are merged if they come for a key more than once. Each
	// replaces what is on disk; but an entry that was changed since asOf keeps what is newer of
	// it. What is on disk, is not among the entries and was not changed since asOf is deleted.
	// What was changed up to [ReindexSlack] before asOf counts as changed since.
	//
	// It works in pages, while commits go on, and can be repeated after an error. It returns
	// how many entries there are in the end, and how many were deleted. Errors are those of
	// [Patient.Check] and [ErrUnavailable], or other faults of the database, wrapped.
	Reindex(ctx context.Context, asOf time.Time, entries iter.Seq[Patient]) (kept, deleted int, err error)
}

// ReindexSlack is by how much the clocks of instances that share an index may differ, and how
// long a commit may take, for [Index.Reindex] not to lose what it changes.
const ReindexSlack = time.Minute
