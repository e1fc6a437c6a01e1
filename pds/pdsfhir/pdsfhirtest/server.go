package pdsfhirtest

import (
	"bytes"
	"cmp"
	"crypto/rsa"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
)

const (
	basePath  = "/personal-demographics/FHIR/R4"
	tokenPath = "/oauth2/token"
	maxBody   = 64 << 10 // a real assertion has 1 KiB
)

// Fault is one row of misbehaviour.
type Fault = simulator.Fault

// Server is the simulator. Make one with [New], set its fields, then use it as a handler or
// start it. It is safe for concurrent use. URL is the FHIR base URL of a server that was
// started.
type Server struct {
	simulator.Server[Request]

	// APIKey is that of the one application that is registered, default "simulated-app",
	// and Keys are its public keys by kid. Without keys no token is wanted, as in the
	// sandbox, and the token endpoint knows nobody.
	APIKey string
	Keys   map[string]*rsa.PublicKey

	TokenLifetime time.Duration // default 599 s

	// Rate is how many requests a second are answered, token requests included; 0 means
	// all. More than a second's worth at once gets 429, with a Retry-After if RetryAfter is
	// set, in whole seconds.
	Rate       float64
	RetryAfter time.Duration

	// TokenURL is the token endpoint of a server that was started, which assertions must be
	// made for.
	TokenURL string

	people *pdstest.Population

	mu      sync.Mutex
	tokens  map[string]time.Time // until when each is good
	used    map[string]time.Time // assertion ids, until when they could be used
	limiter *rate.Limiter
}

// New returns a server of the people that misbehaves as faults say.
func New(people *pdstest.Population, faults ...Fault) *Server {
	s := &Server{people: people, tokens: make(map[string]time.Time), used: make(map[string]time.Time)}
	s.Init(simulator.Service{
		Package: "pdsfhirtest",
		Path:    basePath,
		Name:    "the PDS FHIR API",
		Hint:    "GET " + basePath + "/Patient/{id}, or Patient with parameters.",
		Handle:  s.handle,
		Bound:   func(root string) { s.TokenURL = root + tokenPath },
		Bad: simulator.BadBodies{
			Type:    mediaFHIR,
			Garbage: []byte("{\"resourceType\":\"Patient\",\"id\":\"999\x00"),
			Flood:   `{"resourceType":"Patient","id":"`,
			Bomb:    bomb,
		},
	}, people, faults)
	return s
}

// NewServer starts a server without tokens for a test, on a free port of this machine. It is
// closed with the test.
func NewServer(tb simulator.TB, people *pdstest.Population, faults ...Fault) *Server {
	tb.Helper()
	s := New(people, faults...)
	s.StartFor(tb, nil)
	return s
}

// NewTLSServer is [NewServer] with TLS, and returns what its clients need to trust it.
func NewTLSServer(tb simulator.TB, people *pdstest.Population, faults ...Fault) (*Server, *simulator.Certificates) {
	tb.Helper()
	certs, err := simulator.NewCertificates(time.Hour)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	config, err := certs.Server()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	s := New(people, faults...)
	s.StartFor(tb, config)
	return s, certs
}

// Asked returns how many requests have come for the API itself. Token requests do not count,
// see [Server.Tokens].
func (s *Server) Asked() int { return s.Server.Asked() - s.Tokens() }

// Tokens returns how many requests have come for a token.
func (s *Server) Tokens() int { return s.AskedOf(simulator.Token) }

// Revoke forgets every token, as if each had expired.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Request is what a client sent, and what became of it.
type Request struct {
	Operation string // read, search, token, or "" for anything else
	Method    string
	Target    string // path and query as sent
	NHSNumber string // as sent in the path

	RequestID     string // X-Request-ID
	CorrelationID string // X-Correlation-ID
	ODS           string // NHSD-End-User-Organisation-ODS
	KeyID         string // of a token request's assertion

	Header http.Header // of the HTTP request
	Body   []byte
	Answer string // patient, none, one, token, an error code, a status, or what a fault row did; "" until then
}

// handle answers one request, or says what this is to whoever looks with GET.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		s.Page(w)
		return
	}
	body, ok := read(r)
	if !ok {
		http.Error(w, "request too large, or cut short", http.StatusRequestEntityTooLarge)
		return
	}
	req := &Request{
		Method: r.Method, Target: r.URL.RequestURI(), Header: r.Header, Body: body,
		RequestID:     r.Header.Get("X-Request-ID"),
		CorrelationID: r.Header.Get("X-Correlation-ID"),
		ODS:           r.Header.Get("NHSD-End-User-Organisation-ODS"),
	}
	answer := s.route(r, req)
	s.Remember(req.Operation, req)
	mirror(w.Header(), req)
	s.Play(w, r, simulator.Request{Operation: req.Operation, Answer: &req.Answer, Reply: answer})
}

// route finds out what a request is about. What it returns answers it.
func (s *Server) route(r *http.Request, req *Request) func(kind, code string) simulator.Reply {
	path, ours := strings.CutPrefix(r.URL.Path, basePath+"/Patient")
	id, named := strings.CutPrefix(path, "/")
	switch {
	case r.URL.Path == tokenPath:
		req.Operation = simulator.Token
		asked, problem := s.readTokenRequest(r, req)
		return func(kind, code string) simulator.Reply { return s.token(asked, problem, kind, code) }
	case ours && path == "":
		req.Operation = simulator.Search
		return func(kind, code string) simulator.Reply { return s.search(r, req, kind, code) }
	case ours && named && !strings.Contains(id, "/"):
		req.Operation, req.NHSNumber = simulator.Read, id
		return func(kind, code string) simulator.Reply { return s.read(r, req, kind, code) }
	}
	return func(string, string) simulator.Reply { return lost() }
}

// lost is what the gateway says of a path that no API has. It is not FHIR.
func lost() simulator.Reply {
	return simulator.Reply{
		Answer: "404",
		Status: http.StatusNotFound,
		Type:   "application/json",
		Body:   []byte(`{"fault":{"faultstring":"Unable to identify proxy for host","detail":{"errorcode":"messaging.adaptors.http.flow.ApplicationNotFound"}}}`),
	}
}

// read returns the whole body, unless it is too long or ends too soon.
func read(r *http.Request) ([]byte, bool) {
	var body bytes.Buffer
	n, err := body.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	return body.Bytes(), err == nil && n <= maxBody
}

// mirror sends a request's ids back, as the gateway does even with errors.
func mirror(h http.Header, req *Request) {
	for name, value := range map[string]string{"X-Request-ID": req.RequestID, "X-Correlation-ID": req.CorrelationID} {
		if value != "" {
			h.Set(name, value)
		}
	}
}

// within counts a request against the rate.
func (s *Server) within() bool {
	if s.Rate <= 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limiter == nil {
		s.limiter = rate.NewLimiter(rate.Limit(s.Rate), max(1, int(s.Rate)))
	}
	return s.limiter.AllowN(s.Time(), 1)
}

func (s *Server) apiKey() string { return cmp.Or(s.APIKey, "simulated-app") }

func bomb() []byte {
	const deep = 100_000
	return []byte(`{"resourceType":"Patient","contained":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`)
}
