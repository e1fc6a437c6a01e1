package mllp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Handler answers messages.
type Handler interface {
	// HandleMLLP answers one message. A nil reply sends nothing. An error closes the connection; a reply that comes
	// with it is sent first. In release 2 a commit block goes before either: a negative one if there is an error.
	//
	// It is called by one goroutine for each connection, one message at a time.
	//
	// The context lives until the exchange is finished or the drain ends: neither a peer that goes away nor
	// Shutdown cancels it before the grace ends. The state of the connection is nil on a plain one, and must not be
	// changed. msg is the handler's to keep.
	HandleMLLP(ctx context.Context, peer netip.AddrPort, tls *tls.ConnectionState, msg []byte) (reply []byte, err error)
}

// FaultHandler may also be implemented by a Handler that wants to know of what never became a message. Without it a
// frame over MaxFrame closes the connection, and the rest is only logged and counted. head is what came first, at
// most 4 KiB and the handler's to keep, and size is how many bytes came.
type FaultHandler interface {
	// HandleOversize is told of a frame longer than MaxFrame when its end has come, and of one that reached
	// HardFactor times MaxFrame, after which the connection closes. A non-nil reply is sent before, and an error
	// closes the connection without one. In release 2 the connection closes in any case.
	HandleOversize(ctx context.Context, peer netip.AddrPort, tls *tls.ConnectionState, head []byte, size int64) (reply []byte, err error)

	// HandleBroken is told of bytes that never became a message. The reason is one of the Broken constants. Nothing
	// is answered.
	HandleBroken(ctx context.Context, peer netip.AddrPort, tls *tls.ConnectionState, head []byte, size int64, reason string)
}

// Server receives messages and answers them, one at a time on each connection and in the order they came. What a
// peer sends meanwhile stays in its socket. The zero value of every field but Handler is usable; none may be changed
// once Serve was called. The hooks are called by many goroutines, and must not block.
type Server struct {
	Handler Handler

	MaxFrame        int // longest message in bytes; 0 means 1 MiB
	MaxConns        int // connections at a time; 0 means 1000
	MaxConnsPerAddr int // connections at a time from one address; 0 means 200

	IdleTimeout  time.Duration // between frames; 0 means none (TCP keep-alive finds the dead ones)
	FrameTimeout time.Duration // between two bytes of a frame, which may take ten times that; 0 means 30s
	WriteTimeout time.Duration // for an answer, and in release 2 again for the peer to commit it; 0 means 10s

	Release   int            // of MLLP that every peer speaks: 2, or 1, which 0 means as well
	TLSConfig *tls.Config    // nil means plain TCP
	Allow     []netip.Prefix // who may connect; empty means everyone

	ConnState func(peer netip.AddrPort, s ConnState) // told of every change
	ErrorLog  func(peer netip.AddrPort, err error)   // told once of everything worth a line; never holds a peer's bytes
	Count     func(e Event)                          // told of every quirk that was tolerated

	mu      sync.Mutex    // taken before that of a conn
	closing chan struct{} // closed by Shutdown
	serving map[net.Listener]context.CancelFunc
	conns   map[*conn]struct{}
	perAddr map[netip.Addr]int
	running sync.WaitGroup // one for each of conns
	frames  sync.Pool      // of *[]byte, to write answers
}

// Serve accepts connections on ln, which it closes in the end, and serves each in a goroutine of its own. It may be
// called for several listeners. It returns ErrServerClosed once Shutdown was called, which alone ends the
// connections, and otherwise only if someone else closes ln: every other failure to accept is logged and tried again.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	ctx, cancel := context.WithCancel(context.Background())
	closing, err := s.register(ln, cancel)
	if err != nil {
		cancel()
		return err
	}
	var delay time.Duration
	for {
		nc, err := ln.Accept()
		if err == nil {
			delay = 0
			s.start(ctx, nc)
			continue
		}
		if isClosed(closing) {
			return ErrServerClosed
		}
		err = fmt.Errorf("mllp: accept: %w", err)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		s.log(netip.AddrPort{}, err)
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(delay):
		case <-closing:
			return ErrServerClosed
		}
	}
}

// Shutdown stops the server. It closes the listeners and the connections that wait for a frame. Frames in hand are
// finished and answered, and of one half read the rest may come as long as no more than a second passes between two
// reads. When ctx ends first, the handlers' contexts are cancelled, the connections closed, and ctx's error
// returned. In both cases all goroutines have ended, so handlers must obey their context. A Server that was shut
// down cannot serve again.
func (s *Server) Shutdown(ctx context.Context) error {
	cancel := s.drain()
	defer cancel()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	cancel()
	s.closeConns()
	<-done
	return ctx.Err()
}

// drain closes the listeners and tells the connections. It returns what cancels the handlers' contexts.
func (s *Server) drain() (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if !isClosed(s.closing) {
		close(s.closing)
	}
	var cancels []context.CancelFunc
	for ln, cancel := range s.serving {
		_ = ln.Close() // Serve sees it, or closed it before
		cancels = append(cancels, cancel)
	}
	for c := range s.conns {
		c.drain()
	}
	return func() {
		for _, cancel := range cancels {
			cancel()
		}
	}
}

func (s *Server) closeConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.raw.Close() // not the TLS connection, whose Close may wait to say goodbye
	}
}

// init makes what the zero Server lacks. s.mu is held.
func (s *Server) init() {
	if s.closing != nil {
		return
	}
	s.closing = make(chan struct{})
	s.serving = make(map[net.Listener]context.CancelFunc)
	s.conns = make(map[*conn]struct{})
	s.perAddr = make(map[netip.Addr]int)
}

func (s *Server) register(ln net.Listener, cancel context.CancelFunc) (closing <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if isClosed(s.closing) {
		return nil, ErrServerClosed
	}
	s.serving[ln] = cancel
	return s.closing, nil
}

// start serves nc in a new goroutine, or refuses it.
func (s *Server) start(ctx context.Context, nc net.Conn) {
	c := newConn(s, nc)
	if err := s.admit(c); err != nil {
		_ = nc.Close()
		if !errors.Is(err, ErrServerClosed) {
			s.state(c.peer, StateRefused)
			s.log(c.peer, err)
		}
		return
	}
	go func() {
		defer s.leave(c)
		c.serve(ctx)
	}()
}

func (s *Server) admit(c *conn) error {
	addr := c.peer.Addr()
	if !s.allowed(addr) {
		return ErrNotAllowed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case isClosed(s.closing):
		return ErrServerClosed
	case len(s.conns) >= cmp.Or(s.MaxConns, 1000):
		return fmt.Errorf("%w in all", ErrTooManyConns)
	case s.perAddr[addr] >= cmp.Or(s.MaxConnsPerAddr, 200):
		return fmt.Errorf("%w from one address", ErrTooManyConns)
	}
	s.conns[c] = struct{}{}
	s.perAddr[addr]++
	s.running.Add(1)
	return nil
}

func (s *Server) leave(c *conn) {
	_ = c.nc.Close() // whatever mattered was written and checked
	s.forget(c)
	s.state(c.peer, StateClosed)
	s.running.Done()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	addr := c.peer.Addr()
	if s.perAddr[addr]--; s.perAddr[addr] == 0 {
		delete(s.perAddr, addr)
	}
}

func (s *Server) allowed(addr netip.Addr) bool {
	for _, p := range s.Allow {
		if p.Contains(addr) {
			return true
		}
	}
	return len(s.Allow) == 0
}

func (s *Server) state(peer netip.AddrPort, st ConnState) {
	if s.ConnState != nil {
		s.ConnState(peer, st)
	}
}

func (s *Server) log(peer netip.AddrPort, err error) {
	if s.ErrorLog != nil {
		s.ErrorLog(peer, err)
	}
}

func (s *Server) count(e Event) {
	if s.Count != nil {
		s.Count(e)
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
