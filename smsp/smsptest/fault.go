package smsptest

import (
	"time"

	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
)

// Fault is one row of misbehaviour.
type Fault = simulator.Fault

// Certificates are what the two sides of mutual TLS need.
type Certificates = simulator.Certificates

// NewCertificates makes certificates that are valid for an hour.
func NewCertificates() (*Certificates, error) { return simulator.NewCertificates(time.Hour) }

// Acting returns the rows that act out a trouble of the conformance suite; none for a
// trouble that a mini service cannot have.
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
		pdstest.BusyTone:  "503",
		pdstest.Throttle:  "429:7",
		pdstest.Expiry:    "401",
		pdstest.WrongDoor: "404",
		pdstest.Denial:    "fault:3000",
		pdstest.Hiccup:    "fault:2100",
		pdstest.Breakdown: "fault:2200",
		pdstest.Rejection: "code:SMSP-0001",
		pdstest.LocalCopy: "code:SMSP-0003",
		pdstest.Gibberish: "code:QUUX-0001",
	}[trouble]
	if do == "" {
		return nil
	}
	return []Fault{{Do: do}}
}
