package simulator

import (
	"errors"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"spinetrace/pds/pdstest"
)

// Marker is what the X-Simulator header of every response says.
const Marker = "spinetrace simulator, NOT SPINE, invented patients"

const kept = 1024 // requests remembered

// Service is what one simulator has of its own.
type Service struct {
	Package string // for errors, for example smsptest
	Path    string // of URL, for example /smsp/pds
	Name    string // what it stands in for, for people
	Hint    string // how to use it, for people
	Handle  http.HandlerFunc
	Bad     BadBodies
	Bound   func(root string) // if not nil, told scheme, host and port before the first request comes
}

// Server is the common part of a simulator whose requests are of type R. Embed one, call
// [Server.Init], set its fields, then use it as a handler or [Server.Start] it. It is safe
// for concurrent use.
type Server[R any] struct {
	Now      func() time.Time // default time.Now
	Random   func() float64   // for rates and jitter, from 0 up to 1, asked by one at a time; default math/rand/v2
	Jitter   time.Duration    // the most by which an answer is delayed at random; default 0
	ErrorLog *log.Logger      // of net/http, for a server that was started; default none

	// URL is where the service of a server that was started is found.
	URL string

	service Service
	people  *pdstest.Population
	closed  chan struct{} // ends hangs and delays

	mu       sync.Mutex
	rows     []row
	ring     []*R
	asked    int            // requests of every operation
	askedOf  map[string]int // by operation
	counts   map[count]int
	stopped  bool
	handlers sync.WaitGroup

	listening *listening
}

type count struct{ operation, answer string }

// Init makes a server of the people that misbehaves as faults say. It is called once, before
// anything else.
func (s *Server[R]) Init(service Service, people *pdstest.Population, faults []Fault) {
	s.service, s.people = service, people
	s.closed = make(chan struct{})
	s.counts, s.askedOf = make(map[count]int), make(map[string]int)
	s.rows = rowsOf(faults)
}

// SetFaults replaces all rows of misbehaviour and starts their counts anew.
func (s *Server[R]) SetFaults(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = rowsOf(faults)
}

// Requests returns what was asked, oldest first: the last 1024 requests, malformed ones
// included.
func (s *Server[R]) Requests() []R {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]R, 0, len(s.ring))
	for i := max(0, s.asked-kept); i < s.asked; i++ {
		all = append(all, *s.ring[i%kept])
	}
	return all
}

// Asked returns how many requests have come, malformed ones included.
func (s *Server[R]) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// AskedOf returns how many requests of one operation have come; "" stands for those whose
// operation could not be told.
func (s *Server[R]) AskedOf(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.askedOf[operation]
}

// ServeHTTP hands a request to the service, unless it is about the simulator itself.
func (s *Server[R]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Simulator", Marker)
	if !s.enter() {
		panic(http.ErrAbortHandler) // what net/http offers to drop a connection
	}
	defer s.handlers.Done()
	if r.URL.Path == ControlPath {
		s.control(w, r)
		return
	}
	s.service.Handle(w, r)
}

// enter counts a handler in, unless the server is closed: Close waits for those inside.
func (s *Server[R]) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.handlers.Add(1)
	}
	return !s.stopped
}

// Time returns the simulator's time.
func (s *Server[R]) Time() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Server[R]) random() float64 {
	if s.Random != nil {
		return s.Random()
	}
	return rand.Float64()
}

// Remember puts a request on the list of those that came.
func (s *Server[R]) Remember(operation string, req *R) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ring) < kept {
		s.ring = append(s.ring, req)
	} else {
		s.ring[s.asked%kept] = req
	}
	s.asked++
	s.askedOf[operation]++
}

// Settle notes how a remembered request was answered, in the request's field for it.
func (s *Server[R]) Settle(operation string, field *string, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*field = answer
	s.counts[count{operation, answer}]++
}

// choose says what shall happen to a request, and when.
func (s *Server[R]) choose(operation string) (do string, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do, delay = choose(s.rows, operation, s.random)
	if s.Jitter > 0 {
		delay += time.Duration(s.random() * float64(s.Jitter))
	}
	return do, delay
}

// Close ends hangs and delays, closes the listener and every connection, and waits for
// all of it. A second Close does nothing.
func (s *Server[R]) Close() error {
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
