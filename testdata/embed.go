// Package testdata holds the invented people that the simulators, the demo and the tests
// share, and the messages that the demo sends about them. Nobody in it exists: see
// README.md.
package testdata

import "embed"

// People is people.csv: the columns of the published SMSP open test data and some of ours
// behind them, one invented person a row, NHS numbers of the 999 range only. Package
// pds/pdstest reads it.
//
//go:embed people.csv
var People []byte

// Messages holds hl7/*.hl7: HL7 v2 messages about the People as a sender's system would
// write them, without MLLP's frame, segments ended by CR. Their names sort in the order in
// which the demo sends them.
//
//go:embed hl7/*.hl7
var Messages embed.FS
