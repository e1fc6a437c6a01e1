package pdshttp

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"spinetrace/pds"
)

// ErrEndpoint says that questions about patients may not be sent to an endpoint.
var ErrEndpoint = errors.New("pdshttp: endpoint is not an https URL, or http of a loopback address, without user, query and fragment")

// CheckEndpoint returns [ErrEndpoint] for an endpoint that a client must refuse to ask.
func CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
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

// A failure is a way in which an HTTP call can end without a response that can be read.
type failure struct {
	is     func(error) bool
	reason string
	class  pds.Class
	retry  bool
}

// failures is asked from the top (smsp.md sections 3 and 12). The texts of the errors that
// match are about connections and certificates and may be shown.
var failures = []failure{
	{oneOf(errTooLarge), "body over the limit", pds.ResponseInvalid, false},
	{oneOf(errEncoding), "content encoding not supported", pds.ResponseInvalid, false},
	{isGzip, "not gzip", pds.ResponseInvalid, false},
	{isTimeout, "timeout", pds.SpineUnavailable, true},
	{as[*tls.CertificateVerificationError], "server certificate refused", pds.InputInvalid, false},
	{oneOf(http.ErrSchemeMismatch), "server does not speak TLS", pds.InputInvalid, false},
	{as[tls.RecordHeaderError], "server does not speak TLS", pds.InputInvalid, false},
	{isAlert, "TLS refused by the server", pds.AccessDenied, false},
	{oneOf(syscall.ECONNREFUSED), "connection refused", pds.SpineUnavailable, true},
	{oneOf(syscall.ECONNRESET, syscall.EPIPE), "connection reset", pds.SpineUnavailable, true},
	{oneOf(io.EOF, io.ErrUnexpectedEOF), "connection closed early", pds.SpineUnavailable, true},
	{as[*net.DNSError], "host name not found", pds.SpineUnavailable, true},
	{as[*net.OpError], "network error", pds.SpineUnavailable, true},
}

// errNoHTTP stands for errors of net/http that may quote what the server said.
var errNoHTTP = errors.New("no HTTP response")

// Failure classes the error that ended an HTTP call of a client, from [http.Client.Do] or
// from [ReadBody]: reason is a fixed phrase for [pds.Answer], and the error an [*pds.Error] with
// status, which is 0 if no response came. Neither has the URL called in it, nor anything
// that the server said. A call that its caller cancelled says nothing about the service:
// its error is op and [context.Canceled], wrapped.
func Failure(caller context.Context, op string, status int, err error) (reason string, _ error) {
	if errors.Is(caller.Err(), context.Canceled) {
		return "cancelled", fmt.Errorf("%s: %w", op, context.Canceled)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // a URL may hold the question
	}
	for _, f := range failures {
		if f.is(err) {
			return f.reason, &pds.Error{Class: f.class, Status: status, Retry: f.retry, Err: err}
		}
	}
	return errNoHTTP.Error(), &pds.Error{Class: pds.SpineUnavailable, Status: status, Retry: true, Err: errNoHTTP}
}

func oneOf(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &t) && t.Timeout()
}

// isAlert recognises the server's breaking off the handshake, which is how it refuses
// our certificate. The type of the alert itself is not exported.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

func isGzip(err error) bool {
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || as[flate.CorruptInputError](err)
}

var (
	errTooLarge = errors.New("body over the limit")
	errEncoding = errors.New("content encoding not supported")
)

// usualBody is as many bytes as room is made for on the word of a Content-Length. Most real
// answers are shorter.
const usualBody = 32 << 10

// ReadBody reads the body of a response, at most limit bytes of it once it is decompressed,
// and leaves closing it to the caller. With an error it returns what there is. Send
// "Accept-Encoding: identity" or "gzip" yourself with the request: net/http would otherwise
// decompress on its own. Some servers compress unasked.
func ReadBody(resp *http.Response, limit int64) ([]byte, error) {
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

// RetryAfter reads a Retry-After of either form (RFC 9110, section 10.2.3), at most a day;
// 0 when there is none that can be read.
func RetryAfter(h http.Header, now time.Time) time.Duration {
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
