// Package pdshttp is what the clients of national services have in common when they make an
// HTTP call: where questions about patients may be sent, how a connection is made and its
// certificates are replaced, how much of an answer is read, and what a call that failed means.
package pdshttp

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Settings say how to reach a service. Zero values mean the documented defaults.
type Settings struct {
	// HTTP is used in place of a client made from the rest. Redirects are not followed
	// whatever it says.
	HTTP *http.Client

	TLS *tls.Config // nil trusts the system's authorities; 1.2 is the minimum whatever it says

	// LiveTLS is asked before every call and used in place of TLS, so that certificates,
	// keys and authorities can be replaced while the service runs. It returns the same
	// value as before, unchanged, or another one: then the next call makes a connection of
	// its own with that, and those made before end with the calls that they carry.
	LiveTLS func() *tls.Config

	Proxy          *url.URL      // nil: none; the environment is not asked
	ConnectTimeout time.Duration // to connect, and again for the TLS handshake; default 5 s
	MaxIdle        int           // connections kept open; default 64: make it the number of calls at once
}

// Client returns a client that never follows a redirect: the question would go to somebody who
// was not configured. It speaks HTTP/1.1 only: net/http repeats an HTTP/2 stream that a server
// gave back, and a call that is made twice would be recorded once.
func (s Settings) Client() *http.Client {
	client := &http.Client{}
	if s.HTTP != nil {
		*client = *s.HTTP
	} else {
		client.Transport = &liveTransport{settings: s}
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

// Insecure tells whether the settings, as they are now, skip the verification of the server.
func (s Settings) Insecure() bool {
	confs := []*tls.Config{s.config()}
	if s.HTTP != nil {
		if t, ok := s.HTTP.Transport.(*http.Transport); ok {
			confs = append(confs, t.TLSClientConfig)
		}
	}
	for _, c := range confs {
		if c != nil && c.InsecureSkipVerify {
			return true
		}
	}
	return false
}

// config returns the TLS settings of the moment.
func (s Settings) config() *tls.Config {
	if s.LiveTLS != nil {
		return s.LiveTLS()
	}
	return s.TLS
}

// transport returns one that makes its connections with conf.
func (s Settings) transport(conf *tls.Config) *http.Transport {
	connect := cmp.Or(s.ConnectTimeout, 5*time.Second)
	idle := cmp.Or(s.MaxIdle, 64)
	if conf == nil {
		conf = new(tls.Config)
	}
	conf = conf.Clone()
	conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	conf.InsecureSkipVerify = false // nobody has seen what LiveTLS returns later
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connect}).DialContext,
		TLSHandshakeTimeout: connect,
		TLSClientConfig:     conf,
		MaxIdleConns:        idle,
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     time.Minute,

		MaxResponseHeaderBytes: 64 << 10,
	}
	if s.Proxy != nil {
		t.Proxy = http.ProxyURL(s.Proxy)
	}
	return t
}

// A liveTransport has connections that were made with the TLS settings of the moment and no
// others.
type liveTransport struct {
	settings Settings

	mu      sync.Mutex // guards the rest
	conf    *tls.Config
	current *http.Transport // made with conf; nil before the first call
}

// RoundTrip implements [http.RoundTripper].
func (l *liveTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return l.transport().RoundTrip(req)
}

func (l *liveTransport) transport() *http.Transport {
	conf := l.settings.config()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil || conf != l.conf {
		l.closeIdle()
		l.conf, l.current = conf, l.settings.transport(conf)
	}
	return l.current
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (l *liveTransport) CloseIdleConnections() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeIdle()
}

// closeIdle closes the connections that wait, and, as they come free, those that do not.
// l.mu is held.
func (l *liveTransport) closeIdle() {
	if l.current != nil {
		l.current.CloseIdleConnections()
	}
}
