package pdsfhirtest

import (
	"net/http"
	"strings"
	"time"

	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
)

type bundle struct {
	Entry        *[]entry `json:"entry,omitempty"`
	ResourceType string   `json:"resourceType"`
	Timestamp    string   `json:"timestamp"`
	Total        int      `json:"total"`
	Type         string   `json:"type"`
	Simulated    note     `json:"x-simulated"` // no member of FHIR
}

type entry struct {
	FullURL  string   `json:"fullUrl"`
	Resource *patient `json:"resource"`
	Search   score    `json:"search"`
}

type score struct {
	Score float64 `json:"score"`
}

// search answers GET Patient?… (pds-fhir.md section 5), or as kind says.
func (s *Server) search(r *http.Request, req *Request, kind, code string) simulator.Reply {
	query, p := readQuery(r.URL.RawQuery)
	switch kind {
	case "fault", "code":
		return problemOf(code, "the simulator was told to").reply()
	case "hollow":
		return s.bundle(kind, req, entry{Resource: hollow(), Search: score{1}})
	case "stranger":
		stranger := s.people.Stranger(query.Born.From)
		return s.bundle(kind, req, s.entry(pdstest.Hit{Person: stranger, Score: 1}))
	}
	if refused, ok := s.admit(r, req); !ok {
		return refused
	}
	if p != nil {
		return p.reply()
	}
	query.Superseded = true
	switch hits := s.people.Find(query); len(hits) {
	case 0:
		return s.bundle("none", req)
	case 1:
		return s.bundle("one", req, s.entry(hits[0]))
	}
	return problemOf("TOO_MANY_MATCHES", "").reply()
}

func (s *Server) entry(hit pdstest.Hit) entry {
	return entry{
		FullURL:  "https://api.service.nhs.uk" + basePath + "/Patient/" + hit.Person.Record.NHSNumber.Digits(),
		Resource: s.listed(hit.Person),
		Search:   score{hit.Score},
	}
}

func (s *Server) bundle(answer string, req *Request, entries ...entry) simulator.Reply {
	b := bundle{
		ResourceType: "Bundle", Type: "searchset", Total: len(entries), Simulated: notSpine,
		Timestamp: s.Time().UTC().Format(time.RFC3339),
	}
	// Of nobody there is sometimes an empty list and sometimes none.
	if len(entries) > 0 || strings.HasSuffix(req.RequestID, "0") {
		b.Entry = &entries
		if entries == nil {
			b.Entry = &[]entry{}
		}
	}
	return resource(answer, b)
}
