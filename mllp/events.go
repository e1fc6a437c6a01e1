package mllp

import "errors"

// Errors of the package. The ones that a Server meets on a connection go to its ErrorLog, wrapped with where.
var (
	ErrServerClosed  = errors.New("mllp: server closed")                // Serve after Shutdown
	ErrFrameTooLarge = errors.New("mllp: frame too large")              // longer than MaxFrame
	ErrFrameTimeout  = errors.New("mllp: frame not finished in time")   // FrameTimeout
	ErrJunk          = errors.New("mllp: bytes outside a frame")        // see the package comment
	ErrAbandoned     = errors.New("mllp: frame given up for a new one") // VT MSH within a frame
	ErrNoCR          = errors.New("mllp: no CR after FS")               // logged once a connection
	ErrRelease2      = errors.New("mllp: peer uses MLLP release 2")     // logged once a connection, in release 1
	ErrNoCommit      = errors.New("mllp: answer not committed by peer") // release 2: no commit block; logged once a connection
	ErrRefused       = errors.New("mllp: refused by a negative commit") // release 2: an answer of the Server, or what Client.Send sent
	ErrTooManyConns  = errors.New("mllp: too many connections")         // MaxConns, MaxConnsPerAddr
	ErrNotAllowed    = errors.New("mllp: address not allowed")          // Allow
	ErrAnswerLost    = errors.New("mllp: answer not delivered")         // the peer is gone or does not read
	ErrNoAnswer      = errors.New("mllp: no answer")                    // Client.Send, once the message was written
	ErrClientClosed  = errors.New("mllp: client closed")                // Client.Send after Close
)

// Reasons given to FaultHandler.HandleBroken.
const (
	BrokenCutOff    = "cut off"           // the connection ended within a frame
	BrokenAbandoned = "abandoned"         // the peer started a new message within a frame
	BrokenTimeout   = "frame timeout"     // the rest of a frame did not come
	BrokenShutdown  = "shutdown"          // the rest of a frame did not come in what time a drain leaves it
	BrokenJunk      = "junk"              // bytes outside any frame
	BrokenNoFrame   = "hl7 without frame" // the same, starting like an HL7 message
	BrokenHTTP      = "http"              // the greeting of an HTTP client
	BrokenTLS       = "tls"               // a TLS ClientHello on a plain port
	BrokenSSH       = "ssh"               // an SSH banner
)

// ConnState says what a connection is doing.
type ConnState int

// The states of a connection. One that was admitted goes from StateOpen to StateClosed, with an Active and an Idle
// for each frame that is handled, whatever becomes of it; one that was not has only StateRefused.
const (
	StateOpen    ConnState = iota // admitted
	StateActive                   // a frame is being handled
	StateIdle                     // the frame has been dealt with
	StateClosed                   // ended, for whatever reason
	StateRefused                  // over a limit, or from an address that is not allowed
)

// String returns the name of the state in lower case.
func (s ConnState) String() string {
	return name(int(s), "open", "active", "idle", "closed", "refused")
}

// Event is a quirk of a peer that was tolerated.
type Event int

// The quirks that are counted.
const (
	EventProbe     Event = iota // connected and closed without a byte
	EventEmpty                  // a frame without a byte
	EventStray                  // a run of CR, LF, NUL, FS, space or TAB between frames
	EventJunk                   // a run of other bytes between frames
	EventNoCR                   // a frame ended by FS without CR
	EventFSInData               // an FS within a message
	EventAbandoned              // a frame given up for a new one
	EventOversize               // a frame over MaxFrame
	EventRelease2               // a commit block of MLLP release 2 that nobody waited for
	EventNoCommit               // an answer that the peer did not commit, or refused, in release 2
)

// String returns the name of the event in lower case.
func (e Event) String() string {
	return name(int(e), "probe", "empty frame", "stray bytes", "junk", "no cr", "fs in data", "abandoned frame",
		"oversize frame", "release 2", "no commit")
}

func name(i int, names ...string) string {
	if i < 0 || i >= len(names) {
		return "unknown"
	}
	return names[i]
}
