package smsp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"spinetrace/pds"
)

// httpClient returns a client that never follows a redirect: the question would go to
// somebody who was not configured.
func (c *Client) httpClient() *http.Client {
	client := &http.Client{}
	if c.HTTP != nil {
		*client = *c.HTTP
	} else {
		client.Transport = &liveTransport{client: c}
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

// transport returns one that makes its connections with conf.
func (c *Client) transport(conf *tls.Config) *http.Transport {
	connect := cmp.Or(c.ConnectTimeout, 5*time.Second)
	idle := cmp.Or(c.MaxIdle, 64)
	if conf == nil {
		conf = new(tls.Config)
	}
	conf = conf.Clone()
	conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	conf.InsecureSkipVerify = false // Check has not seen what LiveTLS returns later
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connect}).DialContext,
		TLSHandshakeTimeout: connect,
		TLSClientConfig:     conf,
		MaxIdleConns:        idle,
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     90 * time.Second,

		MaxResponseHeaderBytes: 64 << 10,
	}
	if c.Proxy != nil {
		t.Proxy = http.ProxyURL(c.Proxy)
	}
	return t
}

// A liveTransport has connections that were made with the TLS settings of the moment and no
// others.
type liveTransport struct {
	client *Client

	mu      sync.Mutex // guards the rest
	conf    *tls.Config
	current *http.Transport // made with conf; nil before the first call
}

// RoundTrip implements [http.RoundTripper].
func (l *liveTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return l.transport().RoundTrip(req)
}

func (l *liveTransport) transport() *http.Transport {
	conf := l.client.tlsConfig()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil || conf != l.conf {
		l.closeIdle()
		l.conf, l.current = conf, l.client.transport(conf)
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

// A response is what came back of a call, as far as it came.
type response struct {
	status int // 0: nothing came
	header http.Header
	body   []byte
}

// post makes the call. The request has no Idempotency-Key and POST is not idempotent, so
// net/http repeats it only if not a byte of it was written: any other repetition needs
// ids and an audit row of its own.
func (c *Client) post(ctx context.Context, q *question) (r response, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, bytes.NewReader(q.call.Body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	// Asking for gzip would make net/http decode it unbounded by MaxResponse.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header["SOAPAction"] = []string{c.action(q)} // Set would spell it Soapaction

	resp, err := c.client.Do(req)
	if err != nil {
		return r, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	r.status, r.header = resp.StatusCode, resp.Header
	r.body, err = pds.ReadBody(resp, cmp.Or(c.MaxResponse, 1<<20))
	return r, err
}

func (c *Client) action(q *question) string {
	if c.UnquotedAction {
		return q.op.service
	}
	return `"` + q.op.service + `"`
}
