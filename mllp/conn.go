package mllp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

const (
	crWait     = 250 * time.Millisecond // for the CR behind an FS
	drainGap   = time.Second            // between two reads of a frame when shutting down
	lingerTime = 500 * time.Millisecond // for the peer to read an answer that closes the connection
	frameGaps  = 10                     // times FrameTimeout is the longest a frame may take
	keepFrame  = 64 << 10               // longest write buffer that is kept for reuse
)

// PanicError is what ErrorLog is given when a handler panicked. The text of the panic is left out unless it is the
// runtime's own, as it may hold part of a message.
type PanicError struct {
	Stack []byte // of the goroutine, as printed by runtime/debug.Stack
	text  string
}

// Error says that a handler panicked.
func (e *PanicError) Error() string { return "mllp: handler panicked" + e.text }

func newPanicError(v any) *PanicError {
	e := &PanicError{Stack: debug.Stack()}
	if err, ok := v.(runtime.Error); ok {
		e.text = ": " + err.Error()
	}
	return e
}

// conn is one connection of a Server.
type conn struct {
	srv  *Server
	raw  net.Conn
	nc   net.Conn // raw, or TLS over it
	peer netip.AddrPort
	tls  *tls.ConnectionState
	in   *Reader

	heard        bool      // a byte has come
	serial       uint64    // of the scanner's part that came at since
	since        time.Time // first byte of the part in hand
	armed        bool      // a read deadline is set
	saidNoCR     bool
	saidRelease2 bool // that the peer uses release 2, or does not

	owed     bool      // an answer was written that the peer has to commit, release 2
	commitBy time.Time // until when

	mu       sync.Mutex
	draining bool
	midway   bool // in a frame, or waiting for a commit block, as of the last deadline
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, raw: nc, nc: nc, peer: addrPort(nc.RemoteAddr())}
	if s.TLSConfig != nil {
		c.nc = tls.Server(nc, s.TLSConfig)
	}
	return c
}

// addrPort returns a as an AddrPort, or the zero value for what has none.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// keepAlive makes the system ask an idle peer every minute whether it is still there: load balancers forget a
// connection that is silent for four.
func keepAlive(nc net.Conn) {
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4})
	}
}

// serve handles the connection until it ends.
func (c *conn) serve(ctx context.Context) {
	defer func() {
		if v := recover(); v != nil {
			c.log(newPanicError(v))
		}
	}()
	c.srv.state(c.peer, StateOpen)
	keepAlive(c.raw)
	if !c.handshake(ctx) {
		return
	}
	c.in = &Reader{src: c}
	c.in.sc.init(c.srv.MaxFrame, c.srv.Count)
	for {
		ev, err := c.in.step()
		switch {
		case err != nil && c.commitLate(err): // and the peer may go on
		case err != nil:
			c.ended(ctx, err)
			return
		case !c.handle(ctx, ev):
			return
		}
	}
}

// Read reads from the peer for c.in, with the deadline that the scanner's state calls for.
func (c *conn) Read(p []byte) (int, error) {
	c.arm()
	n, err := c.nc.Read(p)
	c.heard = c.heard || n > 0
	return n, err
}

// arm sets the read deadline. A whole frame in one read, on a connection that may idle, needs none.
func (c *conn) arm() {
	t := c.deadline()
	if t.IsZero() && !c.armed {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.midway = c.owed || c.in.sc.state.inFrame()
	if c.draining {
		// Shutdown may just have set a past deadline; overwriting it would leave this read blocked.
		t = c.drainDeadline(t)
	}
	c.armed = !t.IsZero()
	_ = c.nc.SetReadDeadline(t) // if it fails, so will the read
}

// deadline returns until when the next bytes may come.
func (c *conn) deadline() time.Time {
	sc := &c.in.sc
	gap := cmp.Or(c.srv.FrameTimeout, 30*time.Second)
	switch sc.state {
	case stIdle:
		switch {
		case c.owed:
			return c.commitBy
		case c.srv.IdleTimeout > 0:
			return time.Now().Add(c.srv.IdleTimeout)
		}
		return time.Time{}
	case stFS:
		return time.Now().Add(crWait)
	default:
		return c.gapEnds(gap)
	}
}

// gapEnds returns until when the next byte of a frame, or of junk, may come.
func (c *conn) gapEnds(gap time.Duration) time.Time {
	now := time.Now()
	sc := &c.in.sc
	if c.serial != sc.serial {
		c.serial, c.since = sc.serial, now
	}
	if sc.state == stJunk {
		return c.since.Add(gap)
	}
	return earlier(now.Add(gap), c.since.Add(frameGaps*gap))
}

// drain makes the connection end: at once if it waits for a frame.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	_ = c.nc.SetReadDeadline(c.drainDeadline(time.Time{})) // fails only on a connection that has ended
}

// drainDeadline returns the read deadline when shutting down. c.mu is held.
func (c *conn) drainDeadline(t time.Time) time.Time {
	switch end := time.Now().Add(drainGap); {
	case !c.midway:
		return time.Unix(1, 0)
	case t.IsZero():
		return end
	default:
		return earlier(t, end)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// handle deals with one event and reports whether the connection goes on.
func (c *conn) handle(ctx context.Context, ev event) bool {
	p := c.in.sc.take()
	if p.noCR && !c.saidNoCR {
		c.saidNoCR = true
		c.log(ErrNoCR)
	}
	switch ev {
	case evFrame:
		return c.message(ctx, p.body)
	case evOversize:
		return c.oversize(ctx, p)
	case evHardLimit:
		if c.oversize(ctx, p) {
			linger(c.nc)
		}
		return false
	case evAbandoned:
		c.srv.count(EventAbandoned)
		c.broken(ctx, p, BrokenAbandoned, ErrAbandoned)
		return true
	default:
		c.junk(ctx, p, looksLike(p.body))
		return ev == evJunk
	}
}

func (c *conn) message(ctx context.Context, msg []byte) bool {
	if isCommitBlock(msg) {
		c.commitBlock(msg[0] == ack)
		return true
	}
	c.notCommitted(ErrNoCommit) // if it should have been
	c.srv.state(c.peer, StateActive)
	defer c.srv.state(c.peer, StateIdle)
	reply, err := c.srv.Handler.HandleMLLP(ctx, c.peer, c.tls, msg)
	return c.answer(reply, err)
}

func (c *conn) oversize(ctx context.Context, p part) bool {
	c.srv.count(EventOversize)
	c.log(fmt.Errorf("%w: %d bytes", ErrFrameTooLarge, p.size))
	h, ok := c.srv.Handler.(FaultHandler)
	if !ok {
		if c.srv.Release == 2 {
			c.notTaken(nil)
		}
		return false
	}
	c.srv.state(c.peer, StateActive)
	defer c.srv.state(c.peer, StateIdle)
	reply, err := h.HandleOversize(ctx, c.peer, c.tls, p.body, p.size)
	if err == nil && c.srv.Release == 2 {
		c.notTaken(reply) // whatever the handler thinks: most of it is gone
		return false
	}
	return c.answer(reply, err)
}

// answer writes what a handler returned.
func (c *conn) answer(reply []byte, err error) bool {
	if err != nil {
		c.log(fmt.Errorf("mllp: handle: %w", err))
		switch {
		case c.srv.Release == 2:
			c.notTaken(reply)
			return false
		case reply == nil:
			return false
		}
	}
	if err := c.reply(reply); err != nil {
		c.log(fmt.Errorf("%w: %w", ErrAnswerLost, err))
		return false
	}
	if err != nil {
		linger(c.nc) // lest the close overtake the answer
	}
	return err == nil
}

// reply writes the answer to a message, if there is one, and in release 2 commits the message before.
func (c *conn) reply(msg []byte) error {
	switch {
	case c.srv.Release == 2:
		return c.commit(msg)
	case len(msg) == 0:
		return nil
	}
	return c.write(msg)
}

// write writes each body as a frame, all in one Write.
func (c *conn) write(bodies ...[]byte) error {
	buf, ok := c.srv.frames.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	*buf = (*buf)[:0]
	for _, body := range bodies {
		*buf = Append(*buf, body)
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.writeTimeout())); err != nil {
		return err
	}
	_, err := c.nc.Write(*buf)
	if cap(*buf) <= keepFrame {
		c.srv.frames.Put(buf)
	}
	return err
}

func (c *conn) writeTimeout() time.Duration { return cmp.Or(c.srv.WriteTimeout, 10*time.Second) }

func (c *conn) junk(ctx context.Context, p part, reason string) {
	c.srv.count(EventJunk)
	c.broken(ctx, p, reason, ErrJunk)
}

// broken logs bytes that never became a message and hands them to the handler.
func (c *conn) broken(ctx context.Context, p part, reason string, err error) {
	c.log(fmt.Errorf("%w: %d bytes, %s", err, p.size, reason))
	if h, ok := c.srv.Handler.(FaultHandler); ok {
		h.HandleBroken(ctx, c.peer, c.tls, p.body, p.size, reason)
	}
}

// ended deals with what was in hand when reading failed.
func (c *conn) ended(ctx context.Context, err error) {
	st, p := c.in.sc.state, c.in.sc.rest()
	c.notCommitted(ErrNoCommit) // if it should have been
	switch {
	case !c.heard && !errors.Is(err, os.ErrDeadlineExceeded):
		c.srv.count(EventProbe)
	case st == stJunk:
		c.junk(ctx, p, looksLike(p.body))
	case !st.inFrame(): // a good end
	case !errors.Is(err, os.ErrDeadlineExceeded):
		c.broken(ctx, p, BrokenCutOff, cutOff(err))
	case c.isDraining():
		c.broken(ctx, p, BrokenShutdown, ErrServerClosed)
	default:
		c.broken(ctx, p, BrokenTimeout, ErrFrameTimeout)
	}
}

// cutOff returns the error for a connection that ended in a frame by err.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("mllp: read frame: %w", err)
}

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// linger lets the peer read what was last written. To close with bytes unread would reset the connection, and the
// last words could be lost with it.
func linger(nc net.Conn) {
	w, ok := nc.(interface{ CloseWrite() error })
	if !ok || w.CloseWrite() != nil {
		return
	}
	if nc.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.Copy(io.Discard, nc) // ends with the peer or the deadline
	}
}

func (c *conn) log(err error) { c.srv.log(c.peer, err) }
