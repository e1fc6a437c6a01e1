package pdsfhirtest

import (
	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
)

// Acting returns the rows that act out a trouble of the conformance suite, for the API
// itself and not the token endpoint; none for a trouble that the API cannot have.
func Acting(trouble pdstest.Trouble) []Fault {
	do := map[pdstest.Trouble]string{
		pdstest.Silence:   "hang",
		pdstest.Drop:      "reset",
		pdstest.Cut:       "cut",
		pdstest.Truncated: "truncated",
		pdstest.Garbage:   "garbage",
		pdstest.WebPage:   "html",
		pdstest.Flood:     "flood",
		pdstest.Bomb:      "bomb",
		pdstest.Hollow:    "hollow",
		pdstest.Stranger:  "stranger",
		pdstest.BusyTone:  "429",
		pdstest.Throttle:  "429:7",
		pdstest.Expiry:    "401",
		pdstest.WrongDoor: "404",
		pdstest.Denial:    "403",
		pdstest.Hiccup:    "code:UNKNOWN_ERROR",
		pdstest.Rejection: "code:INVALID_VALUE",
		pdstest.Gibberish: "code:UNHEARD_OF",
	}[trouble]
	if do == "" {
		return nil
	}
	return []Fault{{Operation: simulator.Read, Do: do}, {Operation: simulator.Search, Do: do}}
}
