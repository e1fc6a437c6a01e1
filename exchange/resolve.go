package exchange

import (
	"slices"

	"spinetrace/pds"
	"spinetrace/store"
)

// A question that lacks what Spine needs is completed from the index of patients: a local
// number means nothing to Spine, and no question goes there without a birth date
// (spec/hl7v2.md 5.1).

// complete fills the fields that the question leaves empty. What the asker said stays. It
// reports whether the index knows whom a local number means; without one there is nothing to
// know.
func (q *query) complete(req *pds.Request) (known bool, bad *fault) {
	if q.known.index == nil || answerable(*req) {
		return true, nil
	}
	entry, alone, bad := q.entry(*req)
	if bad != nil || entry.Key.LocalID == "" {
		return q.local.LocalID == "", bad
	}
	if !bears(entry, req.NHSNumber) {
		return false, nil // nobody here has both numbers
	}
	fill(req, entry)
	var own pds.Request
	if fill(&own, entry); alone && *req == own {
		// Nothing was said beyond what the entry says: the answer is about the entry.
		q.subject = subject{keys: []store.PatientKey{entry.Key}, before: entry, told: entry.Told}
	}
	return true, nil
}

// answerable tells whether a question has what one of the operations needs.
func answerable(req pds.Request) bool {
	who := req.Who
	return !who.BirthDate.IsZero() && (!req.NHSNumber.IsZero() || who.Family != "" && who.Sex != 0)
}

// fill takes from an entry what a question leaves empty.
func fill(req *pds.Request, entry store.Patient) {
	p := readPerson(entry.Told.Doc).who(entry.Key.LocalID)
	if n, _ := entry.Current(); req.NHSNumber.IsZero() {
		req.NHSNumber, _ = pds.ParseNHSNumber(n) // the zero value if the entry has none
	}
	if req.Who.BirthDate.IsZero() {
		req.Who.BirthDate = p.BirthDate
	}
	if req.Who.Family == "" && req.Who.Given == "" {
		req.Who.Family, req.Who.Given = p.Family, p.Given
	}
	if req.Who.Sex == 0 {
		req.Who.Sex = p.Sex
	}
	if req.Who.Postcode == "" {
		req.Who.Postcode = p.Postcode
	}
	req.Who.LocalID = p.LocalID
}

// bears tells whether an NHS number may be an entry's: it is now, it was before it was replaced,
// or nothing is known of either.
func bears(entry store.Patient, asked pds.NHSNumber) bool {
	n, _ := entry.Current()
	return asked.IsZero() || n == "" || n == asked.Digits() || entry.Told.NHSNumber == asked.Digits()
}

// entry finds the entry that a question is about, the zero one if there is none: by local
// number, else by NHS number. Of several entries with one NHS number, it is one that is verified
// if there is one; alone is false then, because the question is not about that one.
func (q *query) entry(req pds.Request) (entry store.Patient, alone bool, bad *fault) {
	if q.local.LocalID != "" {
		entry, _, bad = q.byLocal(q.local)
		return entry, true, bad
	}
	if req.NHSNumber.IsZero() {
		return store.Patient{}, false, nil
	}
	holders := q.known.holders(req.NHSNumber.Digits())
	if len(holders) == 0 {
		holders = q.known.bearers(req.NHSNumber.Digits())
	}
	if len(holders) == 0 || !alike(holders) {
		return store.Patient{}, false, nil
	}
	best := max(0, slices.IndexFunc(holders, func(p store.Patient) bool {
		_, status := p.Current()
		return status == "01"
	}))
	return holders[best], len(holders) == 1, nil
}

// alike tells whether entries that hold one NHS number agree about the patient's birth date.
func alike(all []store.Patient) bool {
	born := readPerson(all[0].Told.Doc).Born
	return !slices.ContainsFunc(all, func(p store.Patient) bool { return readPerson(p.Told.Doc).Born != born })
}

// byLocal finds the entry of a local number, merges followed. Without an authority the number
// must be one trust's only.
func (q *query) byLocal(key store.PatientKey) (store.Patient, bool, *fault) {
	if key.Authority != "" {
		if _, said := q.known.patient(key); !said && q.onlyOurs(key) {
			key.Authority = ""
		}
		p, ok := q.known.current(key)
		return p, ok, nil
	}
	var found []store.Patient
	for _, named := range q.known.named(key.LocalID) {
		if p, ok := q.known.current(named.Key); ok {
			found = append(found, p)
		}
	}
	found = slices.CompactFunc(found, func(a, b store.Patient) bool { return a.Key == b.Key })
	switch len(found) {
	case 0:
		return store.Patient{}, false, nil
	case 1:
		return found[0], true, nil
	}
	return store.Patient{}, false, &fault{noDomain, &q.where}
}

// onlyOurs tells whether a number is of the only domain that the trust has: feeds that leave the
// authority out mean no other.
func (q *query) onlyOurs(key store.PatientKey) bool {
	if len(q.h.Domains) != 1 {
		return false
	}
	d := q.h.Domains[0]
	return key.Authority == q.h.authority(d.Namespace, d.OID)
}

// mostMerges bounds how many merges are followed: a circle ends.
const mostMerges = 8

// current finds the entry that a key leads to now.
func (k *recall) current(key store.PatientKey) (store.Patient, bool) {
	for range mostMerges {
		p, ok := k.patient(key)
		if !ok || !p.Gone() {
			return p, ok
		}
		if key = p.Moved.Into; key == (store.PatientKey{}) {
			break
		}
	}
	return store.Patient{}, false
}

// domains are the ones whose identifiers an asker wants; none means all.
type domains struct {
	nhs   bool
	local []string // authorities as the index has them
}

func (d domains) all() bool         { return !d.nhs && len(d.local) == 0 }
func (d domains) wantsNumber() bool { return d.all() || d.nhs }
func (d domains) wantsLocal(key store.PatientKey) bool {
	return d.all() || slices.Contains(d.local, key.Authority)
}

// locals returns the wanted local numbers of the patient who has an NHS number: those of the
// entry that was asked about, and of the entries for which the number is verified.
func (q *query) locals(n pds.NHSNumber) []store.PatientKey {
	keys := slices.Clone(q.subject.keys)
	for _, p := range q.known.holders(n.Digits()) {
		if _, status := p.Current(); status == "01" && !slices.Contains(keys, p.Key) {
			keys = append(keys, p.Key)
		}
	}
	return slices.DeleteFunc(keys, func(key store.PatientKey) bool { return !q.wanted.wantsLocal(key) })
}
