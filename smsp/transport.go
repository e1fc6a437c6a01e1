package smsp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// CheckEndpoint returns [ErrEndpoint] for an endpoint that a [Client] refuses to ask.
func CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return ErrEndpoint
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return ErrEndpoint
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// httpClient returns a client that never follows a redirect: the question would go to
// somebody who was not configured.
func (c *Client) httpClient() *http.Client {
	client := &http.Client{}
	if c.HTTP != nil {
		*client = *c.HTTP
	} else {
		client.Transport = c.transport()
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

func (c *Client) transport() *http.Transport {
	connect := cmp.Or(c.ConnectTimeout, 5*time.Second)
	idle := cmp.Or(c.MaxIdle, 64)
	conf := &tls.Config{}
	if c.TLS != nil {
		conf = c.TLS.Clone()
	}
	conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connect}).DialContext,
		TLSHandshakeTimeout: connect,
		TLSClientConfig:     conf,
		MaxIdleConns:        idle,
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     90 * time.Second,
	}
	if c.Proxy != nil {
		t.Proxy = http.ProxyURL(c.Proxy)
	}
	return t
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
	r.body, err = readBody(resp, cmp.Or(c.MaxResponse, 1<<20))
	return r, err
}

func (c *Client) action(q *question) string {
	if c.UnquotedAction {
		return q.op.service
	}
	return `"` + q.op.service + `"`
}

var (
	errTooLarge = errors.New("body over the limit")
	errEncoding = errors.New("content encoding not supported")
)

// usualBody is as many bytes as room is made for on the word of a Content-Length. A real
// answer is shorter.
const usualBody = 32 << 10

// readBody returns the decoded body up to limit, with an error what there is of it.
// Providers compress unasked.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	r, err := decoded(resp)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	body.Grow(int(min(max(resp.ContentLength, 0), usualBody)) + bytes.MinRead)
	_, err = body.ReadFrom(io.LimitReader(r, limit+1))
	if int64(body.Len()) > limit {
		return body.Bytes()[:limit], errTooLarge
	}
	return body.Bytes(), err
}

func decoded(resp *http.Response) (io.Reader, error) {
	switch strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding"))) {
	case "", "identity":
		return resp.Body, nil
	case "gzip", "x-gzip":
		return gzip.NewReader(resp.Body)
	}
	return nil, errEncoding
}

// maxRetryAfter bounds what a Retry-After can ask for.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads a Retry-After of either form, 0 when there is none that can be read.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
