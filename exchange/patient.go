package exchange

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// person is what messages told of a patient, as the index keeps it ([store.Told.Doc]).
type person struct {
	Family       string   `json:"family,omitempty"`
	Given        string   `json:"given,omitempty"`
	Born         string   `json:"born,omitempty"` // YYYY[MM[DD]]
	Sex          string   `json:"sex,omitempty"`  // code of the mini services
	Postcode     string   `json:"postcode,omitempty"`
	Address      []string `json:"address,omitempty"`
	Practice     string   `json:"practice,omitempty"` // ODS code
	PracticeName string   `json:"practice_name,omitempty"`
	Raw          []string `json:"raw,omitempty"` // digests of what an update replaces, see rawDigests
}

func readPerson(doc string) person {
	var p person
	_ = json.Unmarshal([]byte(doc), &p) // what cannot be read is not known
	return p
}

func (p person) doc() string {
	for _, field := range []*string{&p.Family, &p.Given, &p.Practice, &p.PracticeName} {
		*field = store.Text(*field)
	}
	b, _ := json.Marshal(p) // strings only: cannot fail
	return string(b)
}

// who is the person as the asker of a question.
func (p person) who(localID string) pds.Demographics {
	born, _ := pds.ParseDate(p.Born)
	d := pds.Demographics{Family: tame(p.Family), Given: tame(p.Given), BirthDate: born, Postcode: tame(p.Postcode), LocalID: localID}
	if p.Sex != "" {
		d.Sex = pds.Sex(p.Sex[0])
	}
	return d
}

// tame leaves out what holds a wildcard: nobody has asked for one.
func tame(s string) string {
	if strings.ContainsAny(s, wildcards) {
		return ""
	}
	return s
}

// print is the digest of the identity fields (product.md 4.6 w).
func (p person) print(nhsNumber string) store.Print {
	fields := []string{nhsNumber, strings.ToUpper(p.Family), strings.ToUpper(p.Given), p.Born, p.Sex, p.Postcode}
	sum := sha256.Sum256([]byte(strings.Join(fields, "\x00")))
	return store.Print(sum[:16])
}

// A subject is the patient whom an ADT is about: what the index knew, and what it learns. Only
// the first PID segment tells of a patient. Those behind it, in merges, links and swaps, are read
// for their numbers alone: the patients whom they name are told of by messages of their own.
type subject struct {
	keys   []store.PatientKey // every local number of PID-3; the first is the one we answer for
	before store.Patient      // the entry of the first key that has one; zero if none has
	told   store.Told         // what the message says, where it is silent what the entry said
	moves  []pair
	gone   bool // the message deletes the patient

	ids   identifiers // of PID
	read  bool        // ids are those of a message
	doubt bool        // an open item says that the number is not to be relied on
}

// subject reads whom the message is about, and what it says of that patient. It has no keys if
// the message names no local number.
func (h *Handler) subject(m *hl7v2.Message, event string, known *recall) subject {
	ids := h.identifiers(m)
	s := subject{ids: ids, read: true}
	if known.index == nil {
		return s
	}
	if s.keys = h.localKeys(m.Repetitions(pathIdentifiers)); len(s.keys) == 0 {
		return s
	}
	s.moves, s.gone = h.pairs(m, event), movers[event] == deletes
	s.before = s.entry(known, event)
	last := s.before.Told
	if s.before.Gone() { // what was told of a number before it was taken away is over
		last = store.Told{}
	}
	before := readPerson(last.Doc)
	p := h.person(m, before)
	if h.Updates || h.Forwards {
		p.Raw = h.rawDigests(m, before.Raw)
	}
	s.told = store.Told{At: h.recorded(m, known.arrived), Exchange: known.exchange, Doc: p.doc()}
	s.told.NHSNumber, s.told.Status = ids.told(last)
	// "Present and verified" is said of a number that is there, not of one that another message told.
	if status := h.status(m); status != "" && (status != "01" || len(ids.nhs) > 0) {
		s.told.Status = status
	}
	s.told.Print = p.print(s.told.NHSNumber)
	s.doubt = known.inDoubt(s.before, s.number())
	return s
}

// number is the NHS number that the message has, or, if it is not read from one, that the index
// has of the patient; ten digits, "" if there is none.
func (s subject) number() string {
	if !s.read {
		n, _ := s.before.Current()
		return n
	}
	n, _ := s.ids.number()
	return n.Digits()
}

// say returns the words for MSA-3: while the patient's number is in doubt, nothing else is said.
func (s subject) say(text string) string {
	if s.doubt {
		return numberInDoubt
	}
	return text
}

// entry finds what the index knows of the subject: the entry of the first number that it has,
// or that of the number which a rename replaces.
func (s subject) entry(known *recall, event string) store.Patient {
	keys := s.keys
	if movers[event] == renames && len(s.moves) > 0 {
		keys = append(slices.Clone(keys), s.moves[0].from)
	}
	for _, key := range keys {
		if p, ok := known.patient(key); ok {
			return p
		}
	}
	return store.Patient{}
}

// key is the number that the patient is listed by; zero if there is none.
func (s subject) key() store.PatientKey {
	if len(s.keys) == 0 {
		return store.PatientKey{}
	}
	return s.keys[0]
}

// older tells whether a newer message has told of the patient before, or taken the number away. What
// takes it away in the same second is newer if it came later.
func (s subject) older() bool {
	if s.before.Gone() && s.before.Told.Exchange == s.told.Exchange {
		return true // planned again
	}
	return s.told.At.Before(s.before.Told.At) || s.told.At.Before(s.before.Moved.At)
}

// changed tells whether the identity fields are other than when the patient was last traced, or,
// if that was not here, than what the last message told; false if there is nothing to compare.
// What was told before a message that is planned again is lost: it is not planned again unless it
// had changed.
func (s subject) changed() bool {
	switch {
	case !s.before.Found.At.IsZero():
		return s.told.Print != s.before.Found.Print
	case s.before.Told.At.IsZero():
		return false
	}
	return s.told.Print != s.before.Told.Print || s.told.Exchange == s.before.Told.Exchange
}

// stuck tells whether we said more than a day ago that a trace is in progress, as a trust's own table
// of results may have us do.
func (s subject) stuck(known *recall) bool {
	return s.before.Found.Status == "06" && known.arrived.Sub(s.before.Found.At) > 24*time.Hour
}

// entries are what the index learns from the message.
func (s subject) entries() []store.Patient {
	var all []store.Patient
	for _, key := range s.keys {
		if !s.gone {
			// What was found is there already, unless the number is new.
			all = append(all, store.Patient{Key: key, Told: s.told, Found: s.before.Found})
		}
	}
	for _, p := range s.moves {
		all = append(all, store.Patient{Key: p.from, Moved: store.Moved{At: s.told.At, Exchange: s.told.Exchange, Into: p.into}})
	}
	return all
}

// found is what the index learns from a finished trace of the subject.
func (s subject) found(f store.Found) []store.Patient {
	f.Print = s.told.Print
	if f.Outcome == store.Verified && f.NHSNumber != "" && f.NHSNumber != s.told.NHSNumber {
		// A query confirmed a number that had been found: for those who told of the patient
		// without it, it still is one that was found.
		f.Outcome = store.Superseded
		if s.told.NHSNumber == "" {
			f.Outcome = store.Traced
		}
	}
	var all []store.Patient
	for _, key := range s.keys {
		all = append(all, store.Patient{Key: key, Found: f})
	}
	return all
}

// told returns the NHS number and status to go by. PID-3 without any NHS number says nothing
// about it, as many messages about moves do; a null one says that there is none.
func (ids identifiers) told(before store.Told) (nhsNumber, status string) {
	n, one := ids.number()
	switch {
	case one && n.Digits() == before.NHSNumber, len(ids.nhs) == 0:
		return before.NHSNumber, before.Status
	case one:
		return n.Digits(), ""
	}
	return "", ""
}

// person reads PID and PD1. A field that is not valued leaves what was told before; null
// deletes it (spec/hl7v2.md 2.4).
func (h *Handler) person(m *hl7v2.Message, before person) person {
	p := before
	if valued(m, pathNames) {
		p.Family, p.Given = name(m)
	}
	if m.Truncated(pathNames) || h.unidentified(m, p.Family) {
		p.Family, p.Given = "", "" // no name to ask by
	}
	if valued(m, pathBirthDate.Field()) {
		born, _ := h.birthDate(m.Date(pathBirthDate))
		p.Born = born.Digits()
	}
	if valued(m, pathSex.Field()) {
		p.Sex = parseSex(m.Get(pathSex)).Code()
	}
	if valued(m, pathAddresses) {
		p.Postcode, p.Address = postcode(m), addressLines(m)
	}
	if valued(m, pathPractice) {
		p.PracticeName, p.Practice = m.Get(pathPracticeName), m.Get(pathPracticeCode)
	}
	return p
}

// replaced are the fields that an update sets as a whole.
var replaced = []hl7v2.Path{pathIdentifiers, pathNames, pathBirthDate.Field(), pathSex.Field(), pathReliability}

// rawDigests are those of the fields that an update replaces; a field that the message leaves out stays
// as it was. The last one is of all that an update of profile copy holds.
func (h *Handler) rawDigests(m *hl7v2.Message, before []string) []string {
	digests := make([]string, len(replaced), len(replaced)+1)
	copy(digests, before)
	for i, path := range replaced {
		if raw := m.Raw(path); raw != "" {
			digests[i] = shortDigest(raw)
		}
	}
	if h.UpdateProfile != UpdateCopy {
		return digests
	}
	var all strings.Builder
	for s := range m.Segments() {
		switch s.Name() {
		case "MSH", "EVN", "PV1", "PV2": // of the message and the visit, not of the patient
		default:
			all.WriteString(s.Raw() + "\r")
		}
	}
	return append(digests, shortDigest(all.String()))
}

func shortDigest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// basis is the digest of what a result rests on, and of what the update that tells it replaces: the
// update of a patient who has another by now is out of date.
func basis(told store.Told) store.Print {
	sum := sha256.Sum256([]byte(string(told.Print[:]) + strings.Join(readPerson(told.Doc).Raw, "\x00")))
	return store.Print(sum[:16])
}

// valued tells whether a field has a value, be it null.
func valued(m *hl7v2.Message, field hl7v2.Path) bool {
	return slices.ContainsFunc(m.Repetitions(field), func(r hl7v2.Repetition) bool { return !r.IsEmpty() })
}

var (
	pathPractice     = hl7v2.MustPath("PD1-3")
	pathPracticeName = hl7v2.MustPath("PD1-3.1")
	pathPracticeCode = hl7v2.MustPath("PD1-3.3")
	pathRecorded     = hl7v2.MustPath("EVN-2.1")
	pathSent         = hl7v2.MustPath("MSH-7.1")
)

// addressLines returns the lines of the home address, without the empty ones.
func addressLines(m *hl7v2.Message) []string {
	x, ok := prefer(m.Repetitions(pathAddresses), 7, addressTypes)
	if !ok {
		return nil
	}
	lines := []string{store.Text(x.Sub(1, 1)), store.Text(x.Component(2)), store.Text(x.Component(3)), store.Text(x.Component(4))}
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

// recorded returns when the sender wrote down what the message says: EVN-2, else MSH-7, else
// when it came. A clock that is ahead must not make all later messages look old.
func (h *Handler) recorded(m *hl7v2.Message, arrived time.Time) time.Time {
	for _, path := range []hl7v2.Path{pathRecorded, pathSent} {
		s := m.Get(path)
		t, err := hl7v2.ParseTime(s, h.Location)
		if err != nil {
			continue
		}
		if t = lastMoment(t, s); t.After(arrived) {
			break
		}
		return t.UTC()
	}
	return arrived.UTC().Truncate(time.Microsecond)
}

// lastMoment returns the end of the span that a time of HL7 names: 20250601 is any time of
// that day, and not older than what was recorded on its morning.
func lastMoment(t time.Time, s string) time.Time {
	end := t
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	switch {
	case digits == 4 && len(s) == len("2025-06-01"):
		digits = 8
	case digits == 4 && len(s) > len("2025-06-01"):
		return t // it has the time, too
	}
	switch digits {
	case 4:
		end = t.AddDate(1, 0, 0)
	case 6:
		end = t.AddDate(0, 1, 0)
	case 8:
		end = t.AddDate(0, 0, 1)
	case 10:
		end = t.Add(time.Hour)
	case 12:
		end = t.Add(time.Minute)
	default:
		return t
	}
	return end.Add(-time.Microsecond)
}
