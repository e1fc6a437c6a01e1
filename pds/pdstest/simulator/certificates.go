package simulator

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
)

// Certificates are what the two sides of mutual TLS need, signed by an
// authority that is forgotten at once. All are PEM.
type Certificates struct {
	CA                     []byte // the authority's certificate
	Cert, Key              []byte // the client's
	ServerCert, ServerPriv []byte // the server's, for localhost and the loopback addresses
}

// NewCertificates makes certificates that are valid for so long.
func NewCertificates(lifetime time.Duration) (*Certificates, error) {
	ca, err := issue("simulator authority", nil, lifetime)
	if err != nil {
		return nil, fmt.Errorf("simulator: certificates: %w", err)
	}
	client, err := issue("simulator client", ca, lifetime)
	if err != nil {
		return nil, fmt.Errorf("simulator: certificates: %w", err)
	}
	server, err := issue("localhost", ca, lifetime)
	if err != nil {
		return nil, fmt.Errorf("simulator: certificates: %w", err)
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
		return nil, fmt.Errorf("simulator: client certificate: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}, RootCAs: c.pool(),
	}, nil
}

// Server returns the server's side, for clients without a certificate.
func (c *Certificates) Server() (*tls.Config, error) {
	own, err := tls.X509KeyPair(c.ServerCert, c.ServerPriv)
	if err != nil {
		return nil, fmt.Errorf("simulator: server certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}}, nil
}

// MutualServer returns the server's side that insists on a client certificate.
func (c *Certificates) MutualServer() (*tls.Config, error) {
	config, err := c.Server()
	if err != nil {
		return nil, err
	}
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, c.pool()
	return config, nil
}

func (c *Certificates) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CA)
	return pool
}

// issued is a certificate with its key.
type issued struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM []byte
}

// issue makes a certificate, signed by the authority or, if there is none, one itself.
func issue(name string, by *issued, lifetime time.Duration) (*issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	form := certificateFor(name, by == nil, lifetime)
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

func certificateFor(name string, authority bool, lifetime time.Duration) *x509.Certificate {
	now := time.Now()
	form := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.Add(lifetime),
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
