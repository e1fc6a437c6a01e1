package mllp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

const handshakeTimeout = 10 * time.Second

// HandshakeError is what ErrorLog is given when a TLS handshake failed.
type HandshakeError struct {
	Reason  string // one of the Handshake constants
	Version uint16 // of TLS, as crypto/tls numbers them; 0 if none was agreed
	Err     error
}

// Reasons why a TLS handshake failed.
const (
	HandshakeNoCertificate = "no client certificate"
	HandshakeAuthority     = "unknown authority"   // nobody in ClientCAs signed the certificate
	HandshakeExpired       = "certificate expired" // or it is not valid yet
	HandshakeName          = "name not allowed"    // AllowNames
	HandshakeCertificate   = "bad certificate"     // wrong in another way, such as its purpose
	HandshakeVersion       = "protocol version"    // the peer knows only older ones
	HandshakePlainHL7      = "plain hl7"           // the peer does not use TLS
	HandshakeNotTLS        = "not tls"             // the same, and does not send HL7 either
	HandshakeRefused       = "refused by peer"     // which says why: most often, it does not trust our certificate
	HandshakeClosed        = "closed by peer"      // without saying why
	HandshakeTimeout       = "timeout"
	HandshakeOther         = "other"
)

// Error says why, and what crypto/tls says to it.
func (e *HandshakeError) Error() string {
	return "mllp: tls handshake: " + e.Reason + ": " + e.Err.Error()
}

// Unwrap returns what the handshake ended with.
func (e *HandshakeError) Unwrap() error { return e.Err }

// ErrName is what the function of AllowNames returns.
var ErrName = errors.New("mllp: no name of the certificate is on the list")

// AllowNames returns a VerifyConnection for a tls.Config that only lets peers in whose certificate was verified and
// has one of the names: as the common name of its subject, or as one of its alternative names, be they DNS names, IP
// addresses, URIs or e-mail addresses. Upper and lower case are the same, and a * stands for itself.
func AllowNames(names ...string) func(tls.ConnectionState) error {
	allowed := func(name string) bool {
		return name != "" && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	return func(state tls.ConnectionState) error {
		if len(state.VerifiedChains) == 0 {
			return ErrName
		}
		if !slices.ContainsFunc(namesOf(state.PeerCertificates[0]), allowed) {
			return ErrName
		}
		return nil
	}
}

// namesOf returns what a certificate calls its holder.
func namesOf(c *x509.Certificate) []string {
	names := slices.Concat([]string{c.Subject.CommonName}, c.DNSNames, c.EmailAddresses)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}

// handshake does the TLS handshake, if there is to be one.
func (c *conn) handshake(ctx context.Context) bool {
	tc, ok := c.nc.(*tls.Conn)
	if !ok {
		return true
	}
	c.armHandshake()
	err := tc.HandshakeContext(ctx)
	state := tc.ConnectionState()
	switch {
	case err == nil:
		c.tls = &state
		return true
	case errors.Is(err, io.EOF) && state.Version == 0: // not even greeted
		c.srv.count(EventProbe)
	case c.isDraining():
	default:
		c.log(&HandshakeError{whyHandshake(err), state.Version, err})
		linger(c.raw)
	}
	return false
}

func (c *conn) armHandshake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return // the deadline is past already
	}
	c.armed = true
	_ = c.nc.SetDeadline(time.Now().Add(handshakeTimeout)) // if it fails, so will the read
}

// whyHandshake returns the reason for what a server's handshake ended with.
func whyHandshake(err error) string {
	var (
		record    tls.RecordHeaderError
		alert     tls.AlertError
		invalid   x509.CertificateInvalidError
		authority x509.UnknownAuthorityError
		other     *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &record):
		return whoIsThis(record)
	case errors.Is(err, ErrName):
		return HandshakeName
	case errors.As(err, &authority):
		return HandshakeAuthority
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return HandshakeExpired
	case errors.As(err, &other):
		return HandshakeCertificate
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.Canceled):
		return HandshakeTimeout
	case errors.As(err, &alert), strings.HasPrefix(err.Error(), "remote error: "):
		return HandshakeRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return HandshakeClosed
	}
	return byText(err)
}

// byText finds the reasons for which crypto/tls has no type.
func byText(err error) string {
	for text, reason := range map[string]string{
		"tls: client didn't provide a certificate":      HandshakeNoCertificate,
		"tls: client offered only unsupported versions": HandshakeVersion,
	} {
		if strings.HasPrefix(err.Error(), text) {
			return reason
		}
	}
	return HandshakeOther
}

// whoIsThis returns what a peer is that does not start like TLS.
func whoIsThis(e tls.RecordHeaderError) string {
	if head := string(e.RecordHeader[:]); head[0] == vt || strings.HasPrefix(head, "MSH") {
		return HandshakePlainHL7
	}
	return HandshakeNotTLS
}
