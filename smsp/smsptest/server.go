package smsptest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
)

const maxBody = 64 << 10 // a real request has 3 KiB

// Server is the simulator. Make one with [New], set its fields, then use it as a handler
// or start it. It is safe for concurrent use. A server that was started is found at URL, for
// example http://127.0.0.1:8680/smsp/pds; any path will do.
type Server struct {
	simulator.Server[Request]

	RefuseShortSurnames bool // SMSP-0001 for Ng, Li and Wu, by number, as some providers have it

	people *pdstest.Population
}

// New returns a server of the people that misbehaves as faults say.
func New(people *pdstest.Population, faults ...Fault) *Server {
	s := &Server{people: people}
	s.Init(simulator.Service{
		Package: "smsptest",
		Path:    "/smsp/pds",
		Name:    "a Spine Mini Service Provider",
		Hint:    "POST a mini service request to any path.",
		Handle:  s.handle,
		Bad: simulator.BadBodies{
			Type:    mediaXML,
			Garbage: []byte("<html><p>Your session has expired<br></html>\x00"),
			Flood:   `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>`,
			Bomb:    bomb,
		},
	}, people, faults)
	return s
}

// NewServer starts a server for a test, on a free port of this machine. It is closed with
// the test.
func NewServer(tb simulator.TB, people *pdstest.Population, faults ...Fault) *Server {
	tb.Helper()
	s := New(people, faults...)
	s.StartFor(tb, nil)
	return s
}

// NewTLSServer is [NewServer] with mutual TLS, and returns what its clients need for it.
func NewTLSServer(tb simulator.TB, people *pdstest.Population, faults ...Fault) (*Server, *Certificates) {
	tb.Helper()
	certs, err := NewCertificates()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	config, err := certs.MutualServer()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	s := New(people, faults...)
	s.StartFor(tb, config)
	return s, certs
}

// handle answers one question, or says what this is to whoever looks with GET.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.Page(w)
	case http.MethodPost:
		s.post(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "POST a request", http.StatusMethodNotAllowed)
	}
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	body, ok := read(r)
	if !ok {
		http.Error(w, "request too large, or cut short", http.StatusRequestEntityTooLarge)
		return
	}
	now := s.Time()
	req := readRequest(r.Header, body, now)
	s.Remember(req.Operation, req)
	if req.Problem != "" {
		reply := fault(req, "1000", req.Problem)
		s.Settle(req.Operation, &req.Answer, reply.Answer)
		simulator.Send(w, reply)
		return
	}
	s.Play(w, r, simulator.Request{
		Operation: req.Operation,
		Answer:    &req.Answer,
		Reply:     func(kind, code string) simulator.Reply { return s.reply(req, kind, code, now) },
	})
}

// read returns the whole body, unless it is too long or ends too soon.
func read(r *http.Request) ([]byte, bool) {
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(min(r.ContentLength, maxBody)) + bytes.MinRead) // the most that ReadFrom asks for
	}
	n, err := body.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	return body.Bytes(), err == nil && n <= maxBody
}

// reply answers, truly or as it is told.
func (s *Server) reply(req *Request, kind, code string, now time.Time) simulator.Reply {
	switch kind {
	case "fault":
		return fault(req, code, "the simulator was told to")
	case "code":
		return respond(req, answer{code, s.ask(req, now).person})
	case "hollow":
		return respond(req, answer{"SMSP-0000", nil})
	case "stranger":
		return respond(req, answer{"SMSP-0000", s.people.Stranger(req.Who.BirthDate)})
	}
	return respond(req, s.ask(req, now))
}

// ask puts the question to the population.
func (s *Server) ask(req *Request, now time.Time) answer {
	op := operations[req.Operation]
	if code := req.refusal(op, now, s.RefuseShortSurnames); code != "" {
		return answer{code, nil}
	}
	number, err := pds.ParseNHSNumber(req.NHSNumber)
	if err != nil && req.NHSNumber != "" {
		return answer{"SMSP-0001", nil}
	}
	finding := s.people.Ask(op.want, number, req.Who)
	return answer{finding.Code, finding.Person}
}

const mediaXML = "text/xml; charset=utf-8"

func respond(req *Request, a answer) simulator.Reply {
	return simulator.Reply{
		Answer: a.code,
		Type:   mediaXML,
		Body:   appendAnswer(make([]byte, 0, 4<<10), operations[req.Operation], req, a),
	}
}

func fault(req *Request, code, problem string) simulator.Reply {
	return simulator.Reply{
		Answer: "fault:" + code,
		Status: http.StatusInternalServerError,
		Type:   mediaXML,
		Body:   appendFault(make([]byte, 0, 2<<10), req.MessageID, code, problem),
	}
}

// bomb is a small message whose entities would expand to a gigabyte.
func bomb() []byte {
	b := []byte("<?xml version=\"1.0\"?>\n<!DOCTYPE bomb [\n<!ENTITY a0 \"boom\">\n")
	for i := range 8 {
		b = fmt.Appendf(b, "<!ENTITY a%d \"%s\">\n", i+1, strings.Repeat(fmt.Sprintf("&a%d;", i), 10))
	}
	return append(b, `]><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>&a8;</soap:Body></soap:Envelope>`...)
}
