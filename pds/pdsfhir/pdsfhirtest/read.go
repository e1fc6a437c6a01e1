package pdsfhirtest

import (
	"net/http"
	"regexp"
	"strings"

	"spinetrace/pds"
	"spinetrace/pds/pdstest/simulator"
)

// read answers GET Patient/{id} (pds-fhir.md section 4), or as kind says.
func (s *Server) read(r *http.Request, req *Request, kind, code string) simulator.Reply {
	number, err := pds.ParseNHSNumber(req.NHSNumber)
	known := s.people.Current(number)
	switch kind {
	case "fault", "code":
		return problemOf(code, "the simulator was told to").reply()
	case "hollow":
		return resource(kind, hollow())
	case "stranger":
		var born pds.Date
		if known != nil {
			born = known.Record.BirthDate
		}
		return found(kind, s.retrieved(s.people.Stranger(born)))
	}
	if refused, ok := s.admit(r, req); !ok {
		return refused
	}
	switch {
	case r.URL.RawQuery != "":
		return problemOf("ADDITIONAL_PROPERTIES", "Invalid request with error - Additional properties are not allowed").reply()
	case err != nil || number.Digits() != req.NHSNumber:
		return problemOf("INVALID_RESOURCE_ID", "").reply()
	case known == nil:
		return problemOf("RESOURCE_NOT_FOUND", "").reply()
	case known.Invalidated:
		return problemOf("INVALIDATED_RESOURCE", "").reply()
	}
	return found("patient", s.retrieved(known))
}

func found(answer string, p *patient) simulator.Reply {
	reply := resource(answer, p)
	reply.Header = http.Header{"Etag": {`W/"` + p.Meta.VersionID + `"`}}
	return reply
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// admit checks what both operations demand: token, pace, headers and method (section 3).
func (s *Server) admit(r *http.Request, req *Request) (refused simulator.Reply, ok bool) {
	if p := s.authorise(r.Header); p != nil {
		return p.reply(), false
	}
	if !s.within() {
		return s.throttled(), false
	}
	var p *problem
	switch {
	case r.Method != http.MethodGet:
		p = problemOf("INVALID_METHOD", "")
	case req.RequestID == "":
		p = problemOf("MISSING_VALUE", "Invalid request with error - X-Request-ID header must be supplied to access this resource")
	case !uuidForm.MatchString(req.RequestID):
		p = problemOf("INVALID_VALUE", "Invalid value - '"+req.RequestID+"' in header 'X-Request-ID'")
	case strings.Contains(req.CorrelationID, "."):
		p = problemOf("INVALID_VALUE", "Invalid value - '"+req.CorrelationID+"' in header 'X-Correlation-ID'")
	default:
		return simulator.Reply{}, true
	}
	return p.reply(), false
}

// authorise checks the token, unless there are no keys that one could be asked for with.
func (s *Server) authorise(h http.Header) *problem {
	if len(s.Keys) == 0 {
		return nil
	}
	bearer := h.Get("Authorization")
	if bearer == "" {
		return problemOf("ACCESS_DENIED", "Missing Authorization header")
	}
	token, ok := strings.CutPrefix(bearer, "Bearer ")
	s.mu.Lock()
	until, known := s.tokens[token]
	s.mu.Unlock()
	switch {
	case !ok || !known:
		return problemOf("ACCESS_DENIED", "Invalid Access Token")
	case s.Time().After(until):
		return problemOf("ACCESS_DENIED", "Access Token expired")
	}
	return nil
}
