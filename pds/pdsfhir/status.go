package pdsfhir

import (
	"errors"
	"net/http"
	"regexp"
	"time"

	"spinetrace/pds"
	"spinetrace/pds/pdshttp"
)

// A meaning is what an answer of the API comes to: an outcome, or the class of a technical
// end.
type meaning struct {
	code    string // as a mini service says it (section 9.5)
	outcome pds.Outcome
	class   pds.Class
	retry   bool
}

// said is a row's key: the HTTP status, or its hundreds, and the code of the
// OperationOutcome.
type said struct {
	status int
	code   string
}

// What stands in the place of a code in the tables.
const (
	anyCode   = ""        // whatever the code, if there is one
	otherCode = "*"       // a code that the table does not have
	noASID    = "NO_ASID" // MISSING_VALUE because nobody attached an ASID to the application
)

// meanings is the table of sections 7 and 9.5. A code that is not in it, where a 400 should
// have one that is, comes from something that is not this API.
var meanings = map[said]meaning{
	{200, "TOO_MANY_MATCHES"}: {code: "DEMOG-0007", outcome: pds.ManyMatches},
	{400, "TOO_MANY_MATCHES"}: {code: "DEMOG-0007", outcome: pds.ManyMatches}, // an older sandbox

	{400, "INVALID_RESOURCE_ID"}:   {code: "DEMOG-0042", outcome: pds.OldStyle},
	{400, "UNSUPPORTED_SERVICE"}:   {code: "SMSP-0001", outcome: pds.Refused},
	{400, "MISSING_VALUE"}:         {code: "SMSP-0001", outcome: pds.Refused},
	{400, "INVALID_VALUE"}:         {code: "SMSP-0001", outcome: pds.Refused},
	{400, "INVALID_SEARCH_DATA"}:   {code: "SMSP-0001", outcome: pds.Refused},
	{400, "ADDITIONAL_PROPERTIES"}: {code: "SMSP-0001", outcome: pds.Refused},
	{400, noASID}:                  {code: "SMSP-0005", class: pds.AccessDenied},
	{400, otherCode}:               {code: "SMSP-0001", class: pds.UnknownCode},

	{401, anyCode}:         {code: "SMSP-0005", class: pds.AccessDenied},
	{403, anyCode}:         {code: "SMSP-0005", class: pds.AccessDenied},
	{403, "INVALID_VALUE"}: {code: "SMSP-0001", outcome: pds.Refused}, // asked for more than one result

	{404, "RESOURCE_NOT_FOUND"}:   {code: "DEMOG-0001", outcome: pds.NoMatch},
	{404, "INVALIDATED_RESOURCE"}: {code: "DEMOG-0022", outcome: pds.Invalidated},
	{404, anyCode}:                {code: "SMSP-9999", class: pds.AccessDenied}, // a wrong URL is not "not found"

	{408, anyCode}: {code: "SMSP-0004", class: pds.SpineUnavailable, retry: true},
	{429, anyCode}: {code: "SMSP-0004", class: pds.Busy, retry: true},
	{500, anyCode}: {code: "DEMOG-9999", class: pds.SpineError, retry: true},
	{502, anyCode}: {code: "SMSP-0004", class: pds.SpineUnavailable, retry: true},
	{503, anyCode}: {code: "SMSP-0004", class: pds.Busy, retry: true},
	{504, anyCode}: {code: "SMSP-0004", class: pds.SpineUnavailable, retry: true},

	{2, anyCode}: {code: "SMSP-0002", class: pds.ResponseInvalid},
	{3, anyCode}: {code: "SMSP-9999", class: pds.InputInvalid}, // never followed
	{4, anyCode}: {code: "SMSP-0001", class: pds.InputInvalid},
	{5, anyCode}: {code: "SMSP-9999", class: pds.ProviderError, retry: true},
}

// tokenMeanings is the same for the token endpoint (section 2), whose bodies do not matter.
var tokenMeanings = map[said]meaning{
	{408, anyCode}: {code: "SMSP-0004", class: pds.SpineUnavailable, retry: true},
	{429, anyCode}: {code: "SMSP-0004", class: pds.Busy, retry: true},
	{502, anyCode}: {code: "SMSP-0004", class: pds.SpineUnavailable, retry: true},
	{503, anyCode}: {code: "SMSP-0004", class: pds.Busy, retry: true},
	{504, anyCode}: {code: "SMSP-0004", class: pds.SpineUnavailable, retry: true},

	{2, anyCode}: {code: "SMSP-0002", class: pds.ResponseInvalid},
	{3, anyCode}: {code: "SMSP-9999", class: pds.InputInvalid},
	{4, anyCode}: {code: "SMSP-0005", class: pds.AccessDenied},
	{5, anyCode}: {code: "SMSP-9999", class: pds.ProviderError, retry: true},
}

// meaningOf looks a status and a code up, from the particular to the general.
func meaningOf(table map[said]meaning, status int, code string) meaning {
	keys := []said{{status, code}, {status, otherCode}, {status, anyCode}, {status / 100, anyCode}}
	if code == "" {
		keys = keys[2:]
	}
	for _, key := range keys {
		if m, ok := table[key]; ok {
			return m
		}
	}
	return meaning{code: "SMSP-0002", class: pds.ResponseInvalid}
}

// A verdict is how a call, or a question, ends.
type verdict struct {
	code   string
	reason string // which rule decided
	result pds.Result
	err    error
}

// verdict turns a meaning into what is reported. The reason also becomes the cause of an
// error.
func (m meaning) verdict(status int, reason string, h http.Header, now time.Time) verdict {
	v := verdict{code: m.code, reason: reason}
	if m.class == 0 {
		v.result = pds.Result{Outcome: m.outcome, Code: m.code}
		return v
	}
	fault := &pds.Error{Class: m.class, Code: m.code, Status: status, Retry: m.retry, Err: errors.New(reason)}
	if m.retry {
		fault.RetryAfter = pdshttp.RetryAfter(h, now)
	}
	v.err = fault
	return v
}

// negative is an outcome that says nothing of a patient.
func negative(o pds.Outcome, code, reason string) verdict {
	return verdict{code: code, reason: reason, result: pds.Result{Outcome: o, Code: code}}
}

// invalid is an answer with status 200 that cannot be read or cannot be true. Asking again
// would not change it.
func invalid(reason string) verdict {
	return meaningOf(meanings, 200, anyCode).verdict(200, reason, nil, time.Time{})
}

var codeShape = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)

// presentable returns a code that came in a body if it has the shape of one, else "": codes
// are printed, and anything may stand there.
func presentable(code string) string {
	if len(code) <= 40 && codeShape.MatchString(code) {
		return code
	}
	return ""
}
