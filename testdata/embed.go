// Package testdata holds the invented people that the simulators, the demo and the tests
// share. Nobody in it exists: see README.md.
package testdata

import _ "embed" // for the files below

// People is people.csv: the columns of the published SMSP open test data and
// SUPERSEDED_BY, one invented person a row, NHS numbers of the 999 range only. Package
// pds/pdstest reads it.
//
//go:embed people.csv
var People []byte
