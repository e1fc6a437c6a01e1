package smsp

import (
	"regexp"
	"strings"

	"spinetrace/pds"
)

// An ending is what a response code means: an outcome, or the class of a technical end.
type ending struct {
	outcome pds.Outcome
	class   pds.Class
	retry   bool
}

// endings is the table of section 8.
var endings = map[string]ending{
	"SMSP-0000":  {outcome: pds.Matched},
	"SMSP-0001":  {outcome: pds.Refused},
	"SMSP-0002":  {class: pds.ResponseInvalid, retry: true},
	"SMSP-0003":  {outcome: pds.Stale},
	"SMSP-0004":  {class: pds.SpineUnavailable, retry: true},
	"SMSP-0005":  {class: pds.AccessDenied},
	"SMSP-9999":  {class: pds.ProviderError, retry: true},
	"DEMOG-0001": {outcome: pds.NoMatch},
	"DEMOG-0007": {outcome: pds.ManyMatches},
	"DEMOG-0017": {outcome: pds.Superseded},
	"DEMOG-0022": {outcome: pds.Invalidated},
	"DEMOG-0040": {outcome: pds.NotVerified},
	"DEMOG-0042": {outcome: pds.OldStyle},
	"DEMOG-9999": {class: pds.SpineError, retry: true},
}

// endingOf returns what a code means; one that no list has is never a success.
func endingOf(code string) ending {
	if e, ok := endings[code]; ok {
		return e
	}
	return ending{class: pds.UnknownCode}
}

// success tells whether the outcome says who the patient is.
func success(o pds.Outcome) bool {
	return o == pds.Matched || o == pds.Superseded || o == pds.Stale
}

// maxCode is as much of an unknown code as is recorded, in bytes.
const maxCode = 256

// whole returns a code for the audit as it came, cut to a reasonable length.
func whole(code string) string {
	if len(code) <= maxCode {
		return code
	}
	return strings.ToValidUTF8(code[:maxCode], "")
}

var codeShape = regexp.MustCompile(`^([A-Za-z]{1,8}-)?[0-9]{1,6}$`)

// presentable returns a code that a provider sent if it has the shape of one, else "":
// codes are printed in errors, and a provider may have put anything there.
func presentable(code string) string {
	if codeShape.MatchString(code) {
		return code
	}
	return ""
}
