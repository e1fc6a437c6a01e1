package smsp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLSConfig reads the PEM files of a mutual TLS connection of version 1.2 or later. An
// empty caFile trusts the system's authorities; empty certFile and keyFile show no client
// certificate; an empty serverName checks the endpoint's own host name. The error tells
// every fault, one sentence each.
func TLSConfig(certFile, keyFile, caFile, serverName string) (*tls.Config, error) {
	certificates, certErr := keyPair(certFile, keyFile)
	roots, caErr := authorities(caFile)
	if err := errors.Join(certErr, caErr); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: certificates,
		RootCAs:      roots,
		ServerName:   serverName,
	}, nil
}

func keyPair(certFile, keyFile string) ([]tls.Certificate, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case certFile == "":
		return nil, errors.New("smsp: client key given without a client certificate")
	case keyFile == "":
		return nil, errors.New("smsp: client certificate given without its key")
	}
	cert, certErr := os.ReadFile(certFile)
	key, keyErr := os.ReadFile(keyFile)
	if err := errors.Join(wrap("client certificate", certErr), wrap("client key", keyErr)); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("smsp: client certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return []tls.Certificate{pair}, nil
}

func authorities(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, wrap("certificate authorities", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("smsp: certificate authorities: %s holds no certificate in PEM form", caFile)
	}
	return roots, nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("smsp: %s: %w", what, err)
}
