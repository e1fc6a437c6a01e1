package simulator

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// TB is the part of testing.TB that [Server.StartFor] uses.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// StartFor starts a server for a test, on a free port of this machine. It is closed with the
// test.
func (s *Server[R]) StartFor(tb TB, config *tls.Config) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = s.Start(ln, config)
	}
	if err != nil {
		tb.Fatalf("%s: start: %v", s.service.Package, err)
	}
	tb.Cleanup(func() { _ = s.Close() }) // its tests are over
}

// Loopback tells whether an address of the form host:port can be reached from this machine
// only. People outside the 999 range may be served nowhere else, and none elsewhere
// without being told to.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// listening is a server that was started.
type listening struct {
	name string
	http *http.Server
	done chan struct{} // closed when Serve has returned
	err  error
}

// Start serves on ln, with TLS if config is not nil, until [Server.Close]. It returns at
// once; it can be called once.
func (s *Server[R]) Start(ln net.Listener, config *tls.Config) error {
	scheme := "http"
	if config != nil {
		scheme, ln = "https", tls.NewListener(ln, config)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening != nil || s.stopped {
		_ = ln.Close()
		return fmt.Errorf("%s: started or closed before", s.service.Package)
	}
	root := scheme + "://" + ln.Addr().String()
	s.URL = root + s.service.Path
	if s.service.Bound != nil {
		s.service.Bound(root)
	}
	s.listening = &listening{
		name: s.service.Package,
		http: &http.Server{
			Handler: s,
			// No ReadTimeout: it would end a hang, as a client that has left.
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       5 * time.Minute,
			ErrorLog:          s.errorLog(),
		},
		done: make(chan struct{}),
	}
	go s.listening.serve(ln)
	return nil
}

func (s *Server[R]) errorLog() *log.Logger {
	if s.ErrorLog != nil {
		return s.ErrorLog
	}
	return log.New(io.Discard, "", 0)
}

func (l *listening) serve(ln net.Listener) {
	defer close(l.done)
	if err := l.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		l.err = fmt.Errorf("%s: serve: %w", l.name, err)
	}
}

func (l *listening) close() error {
	err := l.http.Close()
	<-l.done
	return errors.Join(l.err, err)
}
