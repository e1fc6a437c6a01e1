package exchange

import (
	"cmp"
	"slices"

	"spinetrace/hl7v2"
	"spinetrace/store"
)

// A mover is what an ADT event does to the entries of the numbers it names, beside telling of
// a patient (spec/hl7v2.md 4.1).
type mover uint8

const (
	merges  mover = iota + 1 // MRG-1 is the number that dies, PID-3 the one that stays
	renames                  // MRG-1 is the number as it was, PID-3 as it is
	deletes                  // PID-3 is the number that goes
)

var movers = map[string]mover{
	"A18": merges, "A34": merges, "A36": merges, "A40": merges,
	"A46": renames, "A47": renames,
	"A29": deletes,
}

// pair is a number that goes and the one that takes its place.
type pair struct{ from, into store.PatientKey }

// pairs returns what an event moves, one for each number that goes.
func (h *Handler) pairs(m *hl7v2.Message, event string) []pair {
	switch movers[event] {
	case merges, renames:
		return h.mergePairs(m)
	case deletes:
		var all []pair
		for _, key := range h.localKeys(m.Repetitions(pathIdentifiers)) {
			all = append(all, pair{from: key})
		}
		return all
	}
	return nil
}

// mergePairs reads each PID with the MRG behind it.
func (h *Handler) mergePairs(m *hl7v2.Message) []pair {
	var all []pair
	var stays []store.PatientKey
	for s := range m.Segments() {
		switch s.Name() {
		case "PID":
			stays = h.localKeys(s.Field(3))
		case "MRG":
			for _, cx := range s.Field(1) {
				p, ok := h.mergePair(cx, stays)
				if ok && !slices.Contains(all, p) {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// mergePair reads one number of MRG-1. Its authority and type are often left out: then they
// are those of the number that stays.
func (h *Handler) mergePair(cx hl7v2.Repetition, stays []store.PatientKey) (pair, bool) {
	from := h.keyOf(cx)
	other := h.NHSNumbers.match(cx) || cx.Component(5) != "" && !h.LocalID.match(cx) // a visit's, an account's
	if len(stays) == 0 || from.LocalID == "" || other {
		return pair{}, false
	}
	into := stays[max(0, slices.IndexFunc(stays, func(key store.PatientKey) bool { return key.Authority == from.Authority }))]
	from.Authority = cmp.Or(from.Authority, into.Authority)
	return pair{from, into}, !slices.Contains(stays, from)
}

// localKeys returns the index's keys of the trust's own numbers among identifiers.
func (h *Handler) localKeys(reps []hl7v2.Repetition) []store.PatientKey {
	var keys []store.PatientKey
	for _, cx := range reps {
		if key := h.keyOf(cx); key.LocalID != "" && h.isLocal(cx) && !slices.Contains(keys, key) && len(keys) < mostKeys {
			keys = append(keys, key)
		}
	}
	return keys
}

// mostKeys bounds how many numbers of one message are indexed.
const mostKeys = 8

// isLocal tells whether a CX is one of the trust's own numbers.
func (h *Handler) isLocal(cx hl7v2.Repetition) bool {
	return h.LocalID.match(cx) && !h.NHSNumbers.match(cx)
}
