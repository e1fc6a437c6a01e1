package smsptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"spinetrace/pds/pdstest"
)

// Certificates are what the two sides of mutual TLS need, made for one test and signed by
// an authority that is forgotten at once. All are PEM.
type Certificates struct {
	CA                     []byte // the authority's certificate
	Cert, Key              []byte // the client's
	ServerCert, ServerPriv []byte // the server's, for localhost and the loopback addresses
}

// NewCertificates makes certificates that are valid for an hour.
func NewCertificates() (*Certificates, error) {
	ca, err := issue("smsptest authority", nil)
	if err != nil {
		return nil, fmt.Errorf("smsptest: certificates: %w", err)
	}
	client, err := issue("smsptest client", ca)
	if err != nil {
		return nil, fmt.Errorf("smsptest: certificates: %w", err)
	}
	server, err := issue("localhost", ca)
	if err != nil {
		return nil, fmt.Errorf("smsptest: certificates: %w", err)
	}
	return &Certificates{
		CA: ca.certPEM, Cert: client.certPEM, Key: client.keyPEM,
		ServerCert: server.certPEM, ServerPriv: server.keyPEM,
	}, nil
}

// Client returns the client's side.
func (c *Certificates) Client() (*tls.Config, error) {
	own, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("smsptest: client certificate: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}, RootCAs: c.pool(),
	}, nil
}

// Server returns the server's side, which insists on a client certificate.
func (c *Certificates) Server() (*tls.Config, error) {
	own, err := tls.X509KeyPair(c.ServerCert, c.ServerPriv)
	if err != nil {
		return nil, fmt.Errorf("smsptest: server certificate: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.pool(),
	}, nil
}

func (c *Certificates) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CA)
	return pool
}

// NewTLSServer is [NewServer] with mutual TLS, and returns what its clients need for it.
func NewTLSServer(tb TB, people *pdstest.Population, faults ...Fault) (*Server, *Certificates) {
	tb.Helper()
	certs, err := NewCertificates()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	config, err := certs.Server()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	s := New(people, faults...)
	s.startFor(tb, config)
	return s, certs
}

// issued is a certificate with its key.
type issued struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM []byte
}

// issue makes a certificate, signed by the authority or, if there is none, one itself.
func issue(name string, by *issued) (*issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	form := certificateFor(name, by == nil)
	parent, signer := form, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, form, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &issued{
		cert: cert, key: key,
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

func certificateFor(name string, authority bool) *x509.Certificate {
	now := time.Now()
	form := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  authority,
	}
	if authority {
		form.KeyUsage = x509.KeyUsageCertSign
		return form
	}
	form.KeyUsage = x509.KeyUsageDigitalSignature
	form.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	form.DNSNames = []string{"localhost"}
	form.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	return form
}
