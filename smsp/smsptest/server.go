package smsptest

import (
	"bytes"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
)

// Marker is what the X-Simulator header of every response says.
const Marker = "spinetrace simulator, NOT SPINE, invented patients"

const (
	maxBody = 64 << 10 // a real request has 3 KiB
	kept    = 1024     // requests remembered
)

// Server is the simulator. Make one with [New], set its fields, then use it as a handler
// or [Server.Start] it. It is safe for concurrent use.
type Server struct {
	Now                 func() time.Time // default time.Now
	Random              func() float64   // for rates and jitter, from 0 up to 1, asked by one at a time; default math/rand/v2
	Jitter              time.Duration    // the most by which an answer is delayed at random; default 0
	RefuseShortSurnames bool             // SMSP-0001 for Ng, Li and Wu, by number, as some providers have it
	ErrorLog            *log.Logger      // of net/http, for a server that was started; default none

	// URL is where a server that was started is found, for example
	// http://127.0.0.1:8680/smsp/pds. Any path will do.
	URL string

	people *pdstest.Population
	closed chan struct{} // ends hangs and delays

	mu       sync.Mutex
	rows     []row
	ring     []*Request
	asked    int
	counts   map[count]int
	stopped  bool
	handlers sync.WaitGroup

	listening *listening
}

type count struct{ operation, answer string }

// New returns a server of the people that misbehaves as faults say.
func New(people *pdstest.Population, faults ...Fault) *Server {
	s := &Server{people: people, closed: make(chan struct{}), counts: make(map[count]int)}
	s.SetFaults(faults...)
	return s
}

// SetFaults replaces all rows of misbehaviour and starts their counts anew.
func (s *Server) SetFaults(faults ...Fault) {
	rows := make([]row, len(faults))
	for i, f := range faults {
		rows[i].Fault = f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = rows
}

// Requests returns what was asked, oldest first: the last 1024 POST requests, malformed
// ones included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Request, 0, len(s.ring))
	for i := max(0, s.asked-kept); i < s.asked; i++ {
		all = append(all, *s.ring[i%kept])
	}
	return all
}

// Asked returns how many POST requests have come.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// ServeHTTP answers one question, or says what this is to whoever looks with GET.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Simulator", Marker)
	if !s.enter() {
		panic(http.ErrAbortHandler) // what net/http offers to drop a connection
	}
	defer s.handlers.Done()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.page(w)
	case http.MethodPost:
		s.post(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "POST a request", http.StatusMethodNotAllowed)
	}
}

// enter counts a handler in, unless the server is closed: Close waits for those inside.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.handlers.Add(1)
	}
	return !s.stopped
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	body, ok := read(r)
	if !ok {
		http.Error(w, "request too large, or cut short", http.StatusRequestEntityTooLarge)
		return
	}
	now := s.now()
	req := readRequest(r.Header, body, now)
	do, delay := s.admit(req)
	if req.Problem != "" {
		s.fault(w, req, "1000", req.Problem)
		return
	}
	if !s.wait(r, delay) {
		s.settle(req, "left")
		reset(w)
		return
	}
	s.act(w, r, req, do, now)
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

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Server) random() float64 {
	if s.Random != nil {
		return s.Random()
	}
	return rand.Float64()
}

// admit remembers a request and says what shall happen to it, and when.
func (s *Server) admit(req *Request) (do string, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ring) < kept {
		s.ring = append(s.ring, req)
	} else {
		s.ring[s.asked%kept] = req
	}
	s.asked++
	if req.Problem != "" {
		return "", 0
	}
	do, delay = choose(s.rows, req.Operation, s.random)
	if s.Jitter > 0 {
		delay += time.Duration(s.random() * float64(s.Jitter))
	}
	return do, delay
}

// settle notes how a request was answered.
func (s *Server) settle(req *Request, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	req.Answer = answer
	s.counts[count{req.Operation, answer}]++
}

// wait returns false if the client or the server went away first.
func (s *Server) wait(r *http.Request, delay time.Duration) bool {
	if delay <= 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closed:
	}
	return false
}

// act does what the fault rows say, or answers.
func (s *Server) act(w http.ResponseWriter, r *http.Request, req *Request, do string, now time.Time) {
	kind, code, _ := strings.Cut(do, ":")
	switch kind {
	case "":
		s.answer(w, req, s.ask(req, now))
	case "code":
		s.answer(w, req, answer{code, s.ask(req, now).person})
	case "hollow":
		s.answer(w, req, answer{"SMSP-0000", nil})
	case "stranger":
		s.answer(w, req, answer{"SMSP-0000", stranger(s.people, req.Who.BirthDate)})
	case "fault":
		s.fault(w, req, code, "the simulator was told to")
	case "garbage":
		s.settle(req, kind)
		write(w, http.StatusOK, []byte("<html><p>Your session has expired<br></html>\x00"))
	case "reset":
		s.settle(req, kind)
		reset(w)
	case "hang":
		s.settle(req, kind)
		s.hang(r)
		reset(w)
	default:
		s.status(w, req, do)
	}
}

func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
}

func (s *Server) status(w http.ResponseWriter, req *Request, do string) {
	status, err := strconv.Atoi(do)
	if err != nil || !doable(do) {
		status = http.StatusNotImplemented
	}
	s.settle(req, strconv.Itoa(status))
	http.Error(w, "the simulator was told to", status)
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

func (s *Server) answer(w http.ResponseWriter, req *Request, a answer) {
	s.settle(req, a.code)
	write(w, http.StatusOK, appendAnswer(make([]byte, 0, 4<<10), operations[req.Operation], req, a))
}

func (s *Server) fault(w http.ResponseWriter, req *Request, code, problem string) {
	s.settle(req, "fault:"+code)
	write(w, http.StatusInternalServerError, appendFault(make([]byte, 0, 2<<10), req.MessageID, code, problem))
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left will not mind
}

// reset drops the connection with a TCP reset, or as hard as it can.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // what net/http offers instead
	}
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn() // below TLS, or the client would see an orderly end
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Close ends hangs and delays, closes the listener and every connection, and waits for
// all of it. A second Close does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return nil
	}
	s.stopped = true
	close(s.closed)
	s.mu.Unlock()
	var err error
	if s.listening != nil {
		err = s.listening.close()
	}
	s.handlers.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
