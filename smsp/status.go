package smsp

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"spinetrace/pds"
)

// A treatment is what becomes of a response by its HTTP status alone.
type treatment struct {
	read  bool // an answer or a fault may be in it
	fault bool // a fault may be in it; the rest holds if there is none
	class pds.Class
	retry bool
}

// statuses is the table of section 3: single statuses, then the hundreds for the others.
var statuses = map[int]treatment{
	200: {read: true},
	202: {class: pds.ResponseInvalid}, // the asynchronous pattern, which these services do not have
	401: {class: pds.AccessDenied},
	403: {class: pds.AccessDenied},
	429: {class: pds.Busy, retry: true},
	500: {fault: true, class: pds.ProviderError, retry: true},
	503: {class: pds.Busy, retry: true},

	3: {class: pds.InputInvalid},
	4: {class: pds.InputInvalid},
	5: {class: pds.ProviderError, retry: true},
}

func treatmentOf(status int) treatment {
	for _, key := range []int{status, status / 100} {
		if t, ok := statuses[key]; ok {
			return t
		}
	}
	return treatment{class: pds.ResponseInvalid}
}

// A failure is a way in which a call can end without a response that can be read.
type failure struct {
	is     func(error) bool
	reason string
	class  pds.Class
	retry  bool
}

// failures is asked from the top. The texts of the errors that match are about
// connections and certificates and may be shown.
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

// failed classes the error of a call. One that the caller cancelled says nothing about
// the service and is no [*pds.Error].
func failed(caller context.Context, op string, status int, err error) (reason string, _ error) {
	if errors.Is(caller.Err(), context.Canceled) {
		return "cancelled", fmt.Errorf("smsp: %s: %w", op, context.Canceled)
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
