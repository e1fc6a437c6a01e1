package pdsfhirtest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"spinetrace/pds/pdstest/simulator"
)

const mediaFHIR = "application/fhir+json; charset=utf-8"

// problem is a row of pds-fhir.md section 7.
type problem struct {
	status      int
	code        string // of details
	issue       string // issue.code
	display     string
	diagnostics string // what is wrong, as the API says it: it repeats what was asked
}

// problems are the rows by code, with the status that comes first where there are two.
// NO_ASID is no code of the API but one that it writes as another.
var problems = map[string]problem{
	"TOO_MANY_MATCHES":       {200, "", "multiple-matches", "Too Many Matches", ""},
	"INVALID_RESOURCE_ID":    {400, "", "value", "Resource Id is invalid", ""},
	"UNSUPPORTED_SERVICE":    {400, "", "processing", "Unsupported Service", ""},
	"MISSING_VALUE":          {400, "", "required", "Required value is missing", ""},
	"INVALID_VALUE":          {400, "", "value", "Provided value is invalid", ""},
	"INVALID_SEARCH_DATA":    {400, "", "value", "Search data is invalid", ""},
	"ADDITIONAL_PROPERTIES":  {400, "", "invariant", "Additional properties are not allowed", ""},
	"ACCESS_DENIED":          {401, "", "forbidden", "Access Denied - Unauthorised", ""},
	"INVALID_METHOD":         {403, "", "forbidden", "Cannot use this method in this access mode", ""},
	"RESOURCE_NOT_FOUND":     {404, "", "not-found", "Resource not found", ""},
	"INVALIDATED_RESOURCE":   {404, "", "processing", "Resource that has been marked as invalid was requested", ""},
	"UNABLE_TO_CALL_SERVICE": {408, "", "timeout", "Unable to call service", ""},
	"TOO_MANY_REQUESTS":      {429, "", "value", "Too Many Requests", ""},
	"NO_ASID":                {400, "MISSING_VALUE", "required", "Required value is missing", "No ASID was found for the application"},
	"UNKNOWN_ERROR":          {500, "", "unknown", "Unknown error", ""},
	"SERVICE_UNAVAILABLE":    {503, "", "timeout", "Service unavailable", ""},
}

// problemOf returns the row of a code; one that no list has comes with status 400.
func problemOf(code, diagnostics string) *problem {
	p, known := problems[code]
	if !known {
		p = problem{status: http.StatusBadRequest, issue: "processing", display: "Unheard of"}
	}
	p.code, p.diagnostics = cmp.Or(p.code, code), cmp.Or(p.diagnostics, diagnostics)
	return &p
}

type outcome struct {
	Issue        []issue `json:"issue"`
	ResourceType string  `json:"resourceType"`
}

type issue struct {
	Code        string  `json:"code"`
	Details     concept `json:"details"`
	Diagnostics string  `json:"diagnostics,omitempty"`
	Severity    string  `json:"severity"`
}

const errorSystem = "https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode"

// reply is the problem as an OperationOutcome.
func (p *problem) reply() simulator.Reply {
	severity := "error"
	if p.code == "TOO_MANY_MATCHES" || p.code == "RESOURCE_NOT_FOUND" {
		severity = "information"
	}
	r := resource(p.code, outcome{
		ResourceType: "OperationOutcome",
		Issue: []issue{{
			Code: p.issue, Severity: severity, Diagnostics: p.diagnostics,
			Details: concept{[]coding{{System: errorSystem, Version: "1", Code: p.code, Display: p.display}}},
		}},
	})
	r.Status = p.status
	if p.code == "SERVICE_UNAVAILABLE" {
		r.Header = retryAfter(5 * time.Second)
	}
	return r
}

// throttled is the answer to one request too many.
func (s *Server) throttled() simulator.Reply {
	r := problemOf("TOO_MANY_REQUESTS", "").reply()
	if s.RetryAfter > 0 {
		r.Header = retryAfter(s.RetryAfter)
	}
	return r
}

func retryAfter(d time.Duration) http.Header {
	return http.Header{"Retry-After": {strconv.Itoa(int(d.Seconds()))}}
}

// resource is a reply with a FHIR resource.
func resource(answer string, body any) simulator.Reply {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // the structs of this package can all be written
	}
	return simulator.Reply{Answer: answer, Type: mediaFHIR, Body: b}
}
