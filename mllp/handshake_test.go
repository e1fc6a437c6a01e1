package mllp_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"spinetrace/mllp"
)

// TestHandshakeReasons has a peer for each reason, and asserts what the log is told.
func TestHandshakeReasons(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	with := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ca.pool, ServerName: "adapter.test", Certificates: certs}
	}
	pas := ca.issue(t, "pas.test", later)
	serverOnly := ca.sign(t, serverTemplate("pas.test", later))
	old := with(pas)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	distrustful := with(pas)
	distrustful.RootCAs = other.pool

	handshake := func(c *tls.Config) func(*peer) {
		return func(p *peer) {
			tc := tls.Client(p.Conn, c)
			if tc.Handshake() == nil { // in TLS 1.3 the refusal comes behind it
				io.Copy(io.Discard, tc)
			}
		}
	}
	say := func(what string) func(*peer) {
		return func(p *peer) { p.send(what); closeWrite(t, p) }
	}
	for name, tt := range map[string]struct {
		peer func(*peer)
		want string
	}{
		"no certificate":     {handshake(with()), mllp.HandshakeNoCertificate},
		"of another CA":      {handshake(with(other.issue(t, "pas.test", later))), mllp.HandshakeAuthority},
		"expired":            {handshake(with(ca.issue(t, "pas.test", time.Now().Add(-time.Hour)))), mllp.HandshakeExpired},
		"not on the list":    {handshake(with(ca.issue(t, "pas.test.example", later))), mllp.HandshakeName},
		"a server's":         {handshake(with(serverOnly)), mllp.HandshakeCertificate},
		"TLS 1.1":            {handshake(old), mllp.HandshakeVersion},
		"does not trust us":  {handshake(distrustful), mllp.HandshakeRefused},
		"leaves":             {leaveAfterHello(t), mllp.HandshakeClosed},
		"plain HL7":          {say("\vMSH|^~\\&|PAS\r\x1c\r"), mllp.HandshakePlainHL7},
		"HL7 without frames": {say("MSH|^~\\&|PAS\r"), mllp.HandshakePlainHL7},
		"a browser":          {say("GET / HTTP/1.1\r\n\r\n"), mllp.HandshakeNotTLS},
	} {
		t.Run(name, func(t *testing.T) {
			b := &book{}
			srv := b.server()
			srv.TLSConfig = &tls.Config{
				MinVersion:       tls.VersionTLS12,
				Certificates:     []tls.Certificate{ca.issue(t, "adapter.test", later)},
				ClientAuth:       tls.RequireAndVerifyClientCert,
				ClientCAs:        ca.pool,
				VerifyConnection: mllp.AllowNames("lab.test", "PAS.test"),
			}
			p := dial(t, startServer(t, srv))
			tt.peer(p)
			p.Close()
			got := b.waitClosed(t, 1)
			var refusal *mllp.HandshakeError
			if len(got.log) != 1 || !errors.As(got.log[0], &refusal) || refusal.Reason != tt.want {
				t.Errorf("logged %v, want the reason %q", got.log, tt.want)
			}
			if got.msgs != 0 {
				t.Error("a message got through")
			}
		})
	}
}

// A client that is refused learns why even though it has sent its message by then: with bytes unread, a close would
// reset the connection and take the alert with it.
func TestRefusedClientIsToldWhy(t *testing.T) {
	ca := newAuthority(t)
	b := &book{}
	srv := b.server()
	srv.TLSConfig = &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, "adapter.test", time.Now().Add(time.Hour))},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ca.pool,
	}
	c := &mllp.Client{Addr: startServer(t, srv), TLSConfig: &tls.Config{RootCAs: ca.pool}}
	_, err := c.Send(t.Context(), make([]byte, 100<<10))
	if alert := tls.AlertError(0); err == nil || !errors.As(err, &alert) && !strings.Contains(err.Error(), "remote error: tls:") {
		t.Errorf("Send() error = %v, want the server's alert", err)
	}
}

func serverTemplate(name string, until time.Time) *x509.Certificate {
	c := clientTemplate(name, until)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return c
}

// leaveAfterHello says hello as TLS does and is gone.
func leaveAfterHello(t *testing.T) func(*peer) {
	return func(p *peer) {
		tc := tls.Client(halfConn{p.Conn}, &tls.Config{InsecureSkipVerify: true})
		if tc.Handshake() == nil {
			t.Error("a handshake without an answer")
		}
		closeWrite(t, p)
		io.Copy(io.Discard, p) // the server's part, which must not be reset
	}
}

// halfConn is a connection on which nothing is ever read.
type halfConn struct{ net.Conn }

func (halfConn) Read([]byte) (int, error) { return 0, io.EOF }

func TestAllowNames(t *testing.T) {
	ca := newAuthority(t)
	leaf := ca.issue(t, "pas.test", time.Now().Add(time.Hour)).Leaf
	verified := tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf, ca.cert}},
	}
	uri, err := url.Parse("urn:nhs-uk:rxx:pas")
	if err != nil {
		t.Fatal(err)
	}
	other := &x509.Certificate{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 7)}, URIs: []*url.URL{uri}, EmailAddresses: []string{"pas@example.nhs.uk"}}
	otherwise := tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{other}, VerifiedChains: [][]*x509.Certificate{{other, ca.cert}},
	}
	for name, tt := range map[string]struct {
		state tls.ConnectionState
		names []string
		want  error
	}{
		"an address":      {otherwise, []string{"10.0.0.7"}, nil},
		"a URI":           {otherwise, []string{"urn:nhs-uk:rxx:pas"}, nil},
		"an e-mail":       {otherwise, []string{"PAS@example.nhs.uk"}, nil},
		"no name":         {otherwise, []string{"", "10.0.0.8"}, mllp.ErrName},
		"on the list":     {verified, []string{"lab.test", "PAS.test"}, nil},
		"not on the list": {verified, []string{"lab.test"}, mllp.ErrName},
		"part of a name":  {verified, []string{"test", "*.test", ""}, mllp.ErrName},
		"an empty list":   {verified, nil, mllp.ErrName},
		"not verified":    {tls.ConnectionState{PeerCertificates: verified.PeerCertificates}, []string{"pas.test"}, mllp.ErrName},
		"no certificate":  {tls.ConnectionState{}, []string{"pas.test"}, mllp.ErrName},
	} {
		t.Run(name, func(t *testing.T) {
			if err := mllp.AllowNames(tt.names...)(tt.state); !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
		})
	}
}
