// Package mllp carries messages over TCP in the frames of the HL7 Minimal Lower Layer Protocol.
//
// A frame is
//
//	VT message FS CR        0x0B ... 0x1C 0x0D
//
// with no length, no checksum and no message id. One message is outstanding on a connection, and its answer comes
// back on the same connection in the same framing. The package never looks into a message: it finds where one
// begins and ends, and keeps what peers do wrong from doing harm.
//
// A [Server] hands each message to a [Handler] and writes its answer. A [Client] sends one message at a time and
// waits for the answer. A [Reader] and [WriteFrame] serve files and tests; the Reader is the one the Server uses.
//
//	srv := &mllp.Server{Handler: h}
//	go srv.Serve(ln)
//	...
//	err := srv.Shutdown(ctx)
//
// # Release 2
//
// In release 2 of the protocol, which few peers use, whoever gets a frame says first whether it was taken:
//
//	VT ACK FS CR            0x0B 0x06 0x1C 0x0D, a commit block
//	VT NAK FS CR            0x0B 0x15 0x1C 0x0D, the same, negative
//
// An answer is a frame like any other, so who asked commits it. The Release of a Server or a Client says that all
// their peers do so. The Server commits a message when its handler returns without an error, in one Write with the
// answer. After an error, and to a frame over MaxFrame, of which only the beginning is left, it says NAK, with the
// handler's answer behind it if there is one, and closes. After a commit it waits WriteTimeout for the peer's commit block, and goes on
// without one: the answer was the handler's to keep. In release 1 a commit block is swallowed, logged once for each
// connection and not answered.
//
// # TLS
//
// With a TLSConfig every connection starts with a handshake. One that fails is logged as a [HandshakeError], whose
// reason tells a peer without a certificate from one whose certificate has expired and from one that does not use
// TLS at all. To let certain peers in only, demand certificates and use [AllowNames]:
//
//	conf.ClientAuth = tls.RequireAndVerifyClientCert
//	conf.VerifyConnection = mllp.AllowNames("pas.example.nhs.uk")
//
// # What is tolerated
//
// A receiver is in one of these states, and no state knows where one packet ended and the next began:
//
//	state  byte                          what happens
//	idle   VT                            a frame starts
//	idle   CR LF NUL FS space TAB        swallowed
//	idle   another                       junk, swallowed up to the next VT; after 8 KiB or FrameTimeout: closed
//	idle   TLS, HTTP or SSH greeting     closed
//	frame  FS then CR                    the frame ends
//	frame  FS then LF, VT or end of file the frame ends; the VT starts the next one
//	frame  FS then nothing for 250 ms    the frame ends; a CR that comes later is swallowed
//	frame  FS then another               both are data
//	frame  VT before any byte            ignored
//	frame  VT then MSH, BHS or FHS       the peer gave the frame up and starts again
//	frame  VT then another               both are data
//
// These rules hold for a frame of any length. One longer than MaxFrame is counted rather than kept, up to
// [HardFactor] times MaxFrame. A frame without a byte in it is ignored and not answered.
package mllp
