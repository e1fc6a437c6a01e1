package simulator

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// flood is how much a flooding answer has.
const flood = 50 << 20

const webPage = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>" +
	"<body><p>Your session has expired.</p></body></html>\n"

// Reply is an HTTP response that has not been sent yet.
type Reply struct {
	Answer string // in a word, for the list of requests and the page
	Status int    // default 200
	Type   string // Content-Type
	Header http.Header
	Body   []byte
}

// BadBodies are what a service says, in its own format, when it misbehaves.
type BadBodies struct {
	Type    string // Content-Type
	Garbage []byte // cannot be read
	Flood   string // how a message begins whose text never ends
	Bomb    func() []byte
}

// Request is one request on its way through [Server.Play].
type Request struct {
	Operation string
	Answer    *string // where to note how it was answered

	// Reply answers the request. An empty kind asks for the truth; the others are fault,
	// code, hollow and stranger of [Fault], with their code.
	Reply func(kind, code string) Reply
}

// Play answers a request, or does to it what the fault rows say.
func (s *Server[R]) Play(w http.ResponseWriter, r *http.Request, req Request) {
	do, delay := s.choose(req.Operation)
	if !s.wait(r, delay) {
		s.settle(req, "left")
		reset(w)
		return
	}
	kind, code, _ := strings.Cut(do, ":")
	switch kind {
	case "", "fault", "code", "hollow", "stranger":
		reply := req.Reply(kind, code)
		s.settle(req, reply.Answer)
		Send(w, reply)
	case "truncated":
		s.settle(req, kind)
		reply := req.Reply("", "")
		reply.Body = reply.Body[:len(reply.Body)/2]
		Send(w, reply)
	case "cut":
		s.settle(req, kind)
		sendHalf(w, req.Reply("", ""))
	default:
		s.misbehave(w, r, req, do)
	}
}

func (s *Server[R]) settle(req Request, answer string) {
	s.Settle(req.Operation, req.Answer, answer)
}

// misbehave does what needs no answer.
func (s *Server[R]) misbehave(w http.ResponseWriter, r *http.Request, req Request, do string) {
	bad := s.service.Bad
	switch do {
	case "garbage":
		s.settle(req, do)
		Send(w, Reply{Type: bad.Type, Body: bad.Garbage})
	case "html":
		s.settle(req, do)
		Send(w, Reply{Type: "text/html; charset=utf-8", Body: []byte(webPage)})
	case "bomb":
		s.settle(req, do)
		Send(w, Reply{Type: bad.Type, Body: bad.Bomb()})
	case "flood":
		s.settle(req, do)
		sendFlood(w, bad)
	case "reset":
		s.settle(req, do)
		reset(w)
	case "hang":
		s.settle(req, do)
		s.hang(r)
		reset(w)
	default:
		s.status(w, req, do)
	}
}

func (s *Server[R]) status(w http.ResponseWriter, req Request, do string) {
	code, after, ok := status(do)
	if !ok {
		code = http.StatusNotImplemented
	}
	if after != "" {
		w.Header().Set("Retry-After", after)
	}
	s.settle(req, strconv.Itoa(code))
	http.Error(w, "the simulator was told to", code)
}

// wait returns false if the client or the server went away first.
func (s *Server[R]) wait(r *http.Request, delay time.Duration) bool {
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

func (s *Server[R]) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
}

// Send sends a reply.
func Send(w http.ResponseWriter, reply Reply) {
	begin(w, reply)
	_, _ = w.Write(reply.Body) // a client that has left will not mind
}

func begin(w http.ResponseWriter, reply Reply) {
	h := w.Header()
	for name, values := range reply.Header {
		h[name] = values
	}
	h.Set("Content-Type", reply.Type)
	h.Set("Content-Length", strconv.Itoa(len(reply.Body)))
	if reply.Status == 0 {
		reply.Status = http.StatusOK
	}
	w.WriteHeader(reply.Status)
}

// sendHalf ends the connection after half of the body. The end is an orderly one of TCP: a
// reset could overtake what was sent, and the client would not see the half.
func sendHalf(w http.ResponseWriter, reply Reply) {
	begin(w, reply)
	_, _ = w.Write(reply.Body[:len(reply.Body)/2])
	_ = http.NewResponseController(w).Flush() // cannot be done better
	panic(http.ErrAbortHandler)
}

func sendFlood(w http.ResponseWriter, bad BadBodies) {
	w.Header().Set("Content-Type", bad.Type)
	_, err := w.Write([]byte(bad.Flood))
	drop := []byte(strings.Repeat("A", 64<<10))
	for sent := 0; err == nil && sent < flood; sent += len(drop) {
		_, err = w.Write(drop) // until the client has had enough
	}
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
