package mllp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"spinetrace/mllp"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	c := a.sign(t, tmpl)
	a.cert, a.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(t *testing.T, name string, until time.Time) tls.Certificate {
	t.Helper()
	return a.sign(t, clientTemplate(name, until))
}

func clientTemplate(name string, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: until,
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
}

func (a *authority) sign(t *testing.T, tmpl *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestMutualTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	w := &witness{}
	srv := w.server()
	srv.Handler = w
	srv.TLSConfig = &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, "adapter.test", later)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ca.pool,
	}
	addr := startServer(t, srv)
	client := func(certs ...tls.Certificate) *mllp.Client {
		return &mllp.Client{Addr: addr, TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "adapter.test", Certificates: certs}}
	}
	for name, c := range map[string]*mllp.Client{
		"no certificate": client(),
		"expired":        client(ca.issue(t, "pas.test", time.Now().Add(-time.Hour))),
		"wrong CA":       client(other.issue(t, "pas.test", later)),
	} {
		if _, err := c.Send(t.Context(), []byte("a")); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got := w.waitClosed(t, 3); len(got.log) != 3 || got.msgs != 0 {
		t.Errorf("logged %v, %d messages, want three refusals", got.log, got.msgs)
	}

	good := client(ca.issue(t, "pas.test", later))
	for _, msg := range []string{"a", "b"} { // the session ticket that comes with the first is nothing unasked
		if got, err := good.Send(t.Context(), []byte(msg)); err != nil || string(got) != "ACK "+msg {
			t.Errorf("Send(%s) = %q, %v", msg, got, err)
		}
	}
	good.Close()
	w.waitClosed(t, 4)
	if w.states[mllp.StateOpen] != 4 {
		t.Errorf("%d connections, want 4", w.states[mllp.StateOpen])
	}
	if got := w.state.PeerCertificates[0].Subject.CommonName; got != "pas.test" {
		t.Errorf("handler was told of %q, want pas.test", got)
	}
}

func TestTLSPortMetByOthers(t *testing.T) {
	ca := newAuthority(t)
	b := &book{}
	srv := b.server()
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "adapter.test", time.Now().Add(time.Hour))}}
	addr := startServer(t, srv)
	dial(t, addr).Close()
	if got := b.waitClosed(t, 1); got.counts[mllp.EventProbe] != 1 || len(got.log) != 0 {
		t.Errorf("counts %v, log %v, want one probe", got.counts, got.log)
	}
	p := dial(t, addr)
	p.send("\vMSH|plain\x1c\r")
	io.Copy(io.Discard, p)
	got := b.waitClosed(t, 2)
	var record tls.RecordHeaderError
	if len(got.log) != 1 || !errors.As(got.log[0], &record) {
		t.Errorf("logged %v, want that it was no TLS", got.log)
	}
}

func TestTLSShutdown(t *testing.T) {
	ca := newAuthority(t)
	b := &book{}
	srv := b.server()
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "adapter.test", time.Now().Add(time.Hour))}}
	addr := startServer(t, srv)
	c := &mllp.Client{Addr: addr, TLSConfig: &tls.Config{RootCAs: ca.pool}}
	defer c.Close()
	if _, err := c.Send(t.Context(), []byte("a")); err != nil {
		t.Fatal(err)
	}
	dial(t, addr) // never says hello
	b.wait(t, "both connections", func() bool { return b.states[mllp.StateOpen] == 2 })
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	if len(b.log) != 0 {
		t.Errorf("logged %v, want nothing", b.log)
	}
}
