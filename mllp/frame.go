package mllp

import (
	"bytes"
	"fmt"
	"io"
)

// The bytes that frame a message.
const (
	vt = 0x0b
	fs = 0x1c
	cr = '\r'
	lf = '\n'
)

const (
	defaultMaxFrame = 1 << 20
	headSize        = 4 << 10 // kept of what never becomes a message
	maxJunk         = 8 << 10
	readSize        = 4 << 10
)

// HardFactor times the frame limit is the length at which a frame's end is no longer waited for.
const HardFactor = 64

// Append appends msg to dst as one frame and returns the extended slice. The message must not contain the bytes
// FS CR, which end a frame.
func Append(dst, msg []byte) []byte {
	dst = append(dst, vt)
	dst = append(dst, msg...)
	return append(dst, fs, cr)
}

// WriteFrame writes msg to w as one frame, in one Write.
func WriteFrame(w io.Writer, msg []byte) error {
	if _, err := w.Write(Append(make([]byte, 0, len(msg)+3), msg)); err != nil {
		return fmt.Errorf("mllp: write frame: %w", err)
	}
	return nil
}

// state is where a scanner is between two bytes.
type state uint8

const (
	stIdle state = iota // between frames
	stJunk              // between frames, in bytes that belong to none
	stBody              // in a frame
	stFS                // in a frame, behind an FS that may be its end
	stVT                // in a frame, behind a VT that may start another one
)

// inFrame reports whether a frame has begun and not ended.
func (st state) inFrame() bool { return st >= stBody }

// event is what a scanner came upon. The bytes it concerns are in scanner.out.
type event uint8

const (
	evNone        event = iota
	evFrame             // a message
	evOversize          // the end of a frame over the limit
	evHardLimit         // no end within the hard limit
	evAbandoned         // a frame given up for a new one
	evJunk              // junk, ended by a VT
	evJunkTooLong       // junk of more than maxJunk bytes
	evForeign           // the greeting of another protocol
)

// part is a frame or a run of junk: its bytes, or only the first of them, and how many there were.
type part struct {
	body []byte
	size int64
	noCR bool
}

// scanner is the receiver's state machine. It is fed bytes in pieces of any size and knows neither sockets nor time.
type scanner struct {
	max  int         // longest message
	note func(Event) // may be nil

	state   state
	restart string // in stVT: the segment of which matched bytes have been seen
	matched int
	stray   bool   // in stIdle: the run of swallowed bytes has been noted
	serial  uint64 // goes up with every frame and every run of junk
	cur     part   // being collected
	out     part   // what the last event is about
}

func (s *scanner) init(max int, note func(Event)) {
	if max <= 0 {
		max = defaultMaxFrame
	}
	s.max, s.note = max, note
}

// take hands over what the last event is about, and keeps no reference to it.
func (s *scanner) take() part {
	p := s.out
	s.out = part{}
	return p
}

// scan uses bytes of p up to the first event and returns how many. It uses all of them if there is none.
func (s *scanner) scan(p []byte) (n int, ev event) {
	for n < len(p) && ev == evNone {
		var k int
		switch s.state {
		case stIdle:
			k = s.idle(p[n])
		case stJunk:
			k, ev = s.junk(p[n:])
		case stBody:
			k, ev = s.body(p[n:])
		case stFS:
			k, ev = s.afterFS(p[n])
		case stVT:
			k, ev = s.afterVT(p[n])
		}
		n += k
	}
	return n, ev
}

// finish ends the frame that waits for the byte behind its FS: there will be none.
func (s *scanner) finish() event {
	s.withoutCR()
	return s.end(stIdle)
}

// rest returns the part in hand, which nothing will follow.
func (s *scanner) rest() part {
	if s.state == stVT {
		s.goOn()
	}
	return s.cur
}

func (s *scanner) idle(b byte) (n int) {
	switch b {
	case vt:
		s.begin(stBody)
	case cr, lf, fs, 0, ' ', '\t':
		if !s.stray {
			s.stray = true
			s.count(EventStray)
		}
	default:
		s.begin(stJunk)
		return 0
	}
	return 1
}

func (s *scanner) junk(p []byte) (n int, ev event) {
	n = bytes.IndexByte(p, vt)
	ended := n >= 0
	if !ended {
		n = len(p)
	}
	s.keep(p[:n])
	switch {
	case foreign(s.cur.body) != "":
		s.emit(stIdle)
		return n, evForeign
	case s.cur.size > maxJunk:
		s.emit(stIdle)
		return n, evJunkTooLong
	case !ended:
		return n, evNone
	}
	s.emit(stBody)
	return n + 1, evJunk
}

func (s *scanner) body(p []byte) (n int, ev event) {
	n = bytes.IndexByte(p, fs)
	if n < 0 {
		n = len(p)
	}
	if i := bytes.IndexByte(p[:n], vt); i >= 0 {
		n = i
	}
	s.keep(p[:n])
	if s.cur.size > HardFactor*int64(s.max) {
		s.emit(stIdle)
		return n, evHardLimit
	}
	if n == len(p) {
		return n, evNone
	}
	switch {
	case p[n] == fs:
		s.state = stFS
	case s.cur.size > 0: // a VT before any byte is ignored
		s.state, s.matched = stVT, 0
	}
	return n + 1, evNone
}

func (s *scanner) afterFS(b byte) (n int, ev event) {
	switch b {
	case cr:
		return 1, s.end(stIdle)
	case lf:
		s.withoutCR()
		return 1, s.end(stIdle)
	case vt:
		s.withoutCR()
		return 1, s.end(stBody)
	}
	s.count(EventFSInData)
	s.keep([]byte{fs})
	s.state = stBody
	return 0, evNone
}

// restarts are the segments that a VT within a frame starts another one with.
var restarts = [...]string{"MSH", "BHS", "FHS"}

func (s *scanner) afterVT(b byte) (n int, ev event) {
	if s.matched == 0 {
		s.restart = ""
		for _, r := range restarts {
			if r[0] == b {
				s.restart = r
			}
		}
	}
	if s.restart == "" || b != s.restart[s.matched] {
		s.goOn()
		return 0, evNone
	}
	if s.matched++; s.matched < len(s.restart) {
		return 1, evNone
	}
	s.emit(stBody)
	s.keep([]byte(s.restart))
	return 1, evAbandoned
}

// goOn keeps the VT, and what was seen behind it, as data.
func (s *scanner) goOn() {
	s.keep([]byte{vt})
	s.keep([]byte(s.restart[:s.matched]))
	s.state = stBody
}

// end ends a frame.
func (s *scanner) end(next state) event {
	s.emit(next)
	switch {
	case s.out.size == 0:
		s.count(EventEmpty)
		return evNone
	case s.out.size > int64(s.max):
		return evOversize
	}
	return evFrame
}

func (s *scanner) withoutCR() {
	s.cur.noCR = true
	s.count(EventNoCR)
}

func (s *scanner) emit(next state) {
	out := s.cur
	s.begin(next)
	s.out = out
}

func (s *scanner) begin(st state) {
	s.state = st
	s.stray = false
	s.serial++
	s.cur = part{}
}

func (s *scanner) count(e Event) {
	if s.note != nil {
		s.note(e)
	}
}

// keep appends p to the part in hand, of which it holds the message, or the head once it is known to be none.
func (s *scanner) keep(p []byte) {
	s.cur.size += int64(len(p))
	limit := s.max
	if s.state == stJunk || s.cur.size > int64(s.max) {
		limit = headSize
		if len(s.cur.body) > limit {
			s.cur.body = bytes.Clone(s.cur.body[:limit]) // a clone, so that the rest is freed
		}
	}
	p = p[:min(len(p), limit-len(s.cur.body))]
	s.cur.body = append(s.grown(len(p)), p...)
}

// grown returns the body with room for n more bytes. A frame that came in one piece gets a buffer of its own
// length; one that keeps growing doubles its buffer, but never beyond the limit.
func (s *scanner) grown(n int) []byte {
	body := s.cur.body
	need := len(body) + n
	if need <= cap(body) {
		return body
	}
	size := min(max(2*cap(body), need), max(s.max, headSize))
	return append(make([]byte, 0, size), body...)
}

// greetings are the first bytes of protocols that reach this port by mistake.
var greetings = [...]struct{ prefix, reason string }{
	{"\x16\x03", BrokenTLS},
	{"SSH-", BrokenSSH},
	{"GET ", BrokenHTTP},
	{"HEAD ", BrokenHTTP},
	{"POST ", BrokenHTTP},
	{"PUT ", BrokenHTTP},
	{"DELETE ", BrokenHTTP},
	{"OPTIONS ", BrokenHTTP},
	{"CONNECT ", BrokenHTTP},
	{"PATCH ", BrokenHTTP},
	{"TRACE ", BrokenHTTP},
	{"PRI * HTTP/2", BrokenHTTP},
}

// foreign names the other protocol whose greeting head is, or returns "".
func foreign(head []byte) string {
	for _, g := range greetings {
		if bytes.HasPrefix(head, []byte(g.prefix)) {
			return g.reason
		}
	}
	return ""
}

// looksLike says what a run of junk is.
func looksLike(head []byte) string {
	if reason := foreign(head); reason != "" {
		return reason
	}
	for _, segment := range [...]string{"MSH", "FHS", "BHS"} {
		if bytes.HasPrefix(head, []byte(segment)) {
			return BrokenNoFrame
		}
	}
	return BrokenJunk
}
